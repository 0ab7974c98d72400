use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::{Hubs, Limits, Listener, Options, Reception};

/// The connections of a server: accepts them, counts them, and refuses or evicts what is too much.
///
/// Clones are the same connections.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    hubs: Hubs,
}

impl Connections {
    /// None yet, with the limits of these options.
    pub fn new(options: &Options) -> Self {
        Self(Arc::new(Shared { limits: options.limits.clone(), hubs: options.hubs.clone() }))
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// The hubs that are told what happens.
    pub fn hubs(&self) -> &Hubs {
        &self.0.hubs
    }

    /// The next connection that there is room for, with its place in the lobby. It may be cancelled. While it waits, it
    /// ends what has been in the lobby for too long: it must be called again and again.
    pub async fn accept<L: Listener>(&self, listener: &mut L) -> (L::Io, L::Addr, Reception) {
        /// How long to wait when there are no files, or no memory, left for a connection.
        const PAUSE: Duration = Duration::from_millis(100);

        loop {
            match listener.accept().await {
                Ok((io, addr)) => {
                    listener.prepare_connection(&io, self.limits());
                    let client = L::socket_addr(&addr);
                    return (
                        io,
                        addr,
                        Reception::new(self.clone(), Permit(Some(self.clone())), client),
                    );
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// A place in the lobby for a connection whose response has ended, with bytes of its next request that were read
    /// already: it may be idle.
    pub fn readmit(&self, permit: Permit) -> Reception {
        Reception::new(self.clone(), permit, None)
    }
}

/// Whether accepting has failed because of that one connection.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The right of one connection to exist. Whatever has the connection has it, and drops it with the connection. It is as
/// large as a pointer.
///
/// The default is the permit of a connection that nobody counts.
#[derive(Debug, Default)]
pub struct Permit(#[expect(dead_code, reason = "nothing is counted yet")] Option<Connections>);
