use std::io;

use crate::Listener;

/// What becomes a [`Listener`] on a runtime: a listener of `std`, or one that is a [`Listener`] already.
pub trait IntoListener: 'static {
    /// The listener.
    type Listener: Listener;

    /// The address that it listens on.
    type Addr;

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system's.
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// Makes the listener, on the runtime that calls this.
    ///
    /// # Errors
    ///
    /// If the system does not let it not block.
    fn into_listener(self) -> io::Result<Self::Listener>;
}

impl<L: Listener> IntoListener for L {
    type Listener = L;
    type Addr = L::Addr;

    fn local_addr(&self) -> io::Result<L::Addr> {
        Listener::local_addr(self)
    }

    fn into_listener(self) -> io::Result<L> {
        Ok(self)
    }
}

impl IntoListener for std::net::TcpListener {
    type Listener = tokio::net::TcpListener;
    type Addr = std::net::SocketAddr;

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.local_addr()
    }

    fn into_listener(self) -> io::Result<Self::Listener> {
        self.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(self)
    }
}

#[cfg(unix)]
impl IntoListener for std::os::unix::net::UnixListener {
    type Listener = tokio::net::UnixListener;
    type Addr = std::os::unix::net::SocketAddr;

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.local_addr()
    }

    fn into_listener(self) -> io::Result<Self::Listener> {
        self.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(self)
    }
}
