use std::any::Any;
use std::io;
use std::net::SocketAddr;

use tidings_net::{AnyIo, Limits};
use tokio::net::{TcpListener, TcpStream};

/// A listener of axum for Tidings' server. What is TCP is found at run time, because axum's trait does not tell.
#[derive(Debug)]
pub struct Listener<L>(pub(crate) L);

impl<L> tidings_net::Listener for Listener<L>
where
    L: axum::serve::Listener,
    L::Addr: Clone + Sync + 'static,
{
    type Io = AnyIo<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> io::Result<(Self::Io, L::Addr)> {
        // axum's way to accept sleeps on errors, about which Tidings' server would do something.
        if let Some(listener) = (&mut self.0 as &mut dyn Any).downcast_mut::<TcpListener>() {
            let (io, addr) = TcpListener::accept(listener).await?;
            if let (Some(io), Some(addr)) = (AnyIo::of_tcp(io), as_addr(&addr)) {
                return Ok((io, addr));
            }
        }
        let (io, addr) = self.0.accept().await;
        Ok((AnyIo::new(io), addr))
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.0.local_addr()
    }

    fn prepare(&self, limits: &Limits) -> io::Result<()> {
        match (&self.0 as &dyn Any).downcast_ref::<TcpListener>() {
            Some(listener) => listener.prepare(limits),
            None => Ok(()),
        }
    }

    fn prepare_connection(&self, io: &AnyIo<L::Io>, limits: &Limits) {
        let Some(socket) = io.tcp() else {
            return;
        };
        match (&self.0 as &dyn Any).downcast_ref::<TcpListener>() {
            Some(listener) => listener.prepare_connection(socket, limits),
            // It fails if the connection is gone already, which its server will notice.
            None => drop(limits.apply(socket)),
        }
    }

    fn from_tcp(socket: TcpStream) -> Option<(AnyIo<L::Io>, L::Addr)> {
        let addr = as_addr(&socket.peer_addr().ok()?)?;
        Some((AnyIo::of_tcp(socket)?, addr))
    }
}

/// An address of TCP as that of the listener, if it is TCP.
fn as_addr<A: Clone + 'static>(addr: &SocketAddr) -> Option<A> {
    (addr as &dyn Any).downcast_ref().cloned()
}
