use std::net::SocketAddr;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer<A = SocketAddr> {
    /// The other end's address, as the listener knows it: a proxy's, if there is one.
    pub addr: A,
    /// The client's address: what a proxy of [`Limits::proxies`](crate::Limits::proxies) said, or else the other end's. A
    /// proxy that says no port leaves it at 0. `None` if the connection is not known to be TCP and nobody said it.
    pub client: Option<SocketAddr>,
}

impl<A> Peer<A> {
    /// A peer at this address, for this client.
    pub fn new(addr: A, client: Option<SocketAddr>) -> Self {
        Self { addr, client }
    }
}
