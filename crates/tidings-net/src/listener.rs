use std::any::Any;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::{Io, Limits};

/// What a server listens on.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: Io;

    /// The address of an end.
    type Addr: Clone + Send + Sync + 'static;

    /// Accepts the next connection.
    ///
    /// Errors are the system's. [`Connections`](crate::Connections) knows what to do with them: an error that is only of that
    /// one connection, no files, no memory.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Self::Addr)>> + Send;

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The system's.
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// Prepares the listener before the first connection is accepted: its options, and the length of its queue. By default
    /// there is nothing to prepare.
    ///
    /// # Errors
    ///
    /// If the system refuses an option.
    fn prepare(&self, limits: &Limits) -> io::Result<()> {
        let _ = limits;
        Ok(())
    }

    /// Prepares a connection, for what it does not inherit from its listener. By default there is nothing to prepare. It
    /// fails if the connection is gone already, which its server will notice.
    fn prepare_connection(&self, io: &Self::Io, limits: &Limits) {
        let _ = (io, limits);
    }

    /// Makes a connection of this listener of a TCP connection that [`Io::into_tcp`] gave away, when its stream by the direct
    /// transport has ended. By default it does not, and the connection ends with the stream.
    fn from_tcp(socket: TcpStream) -> Option<(Self::Io, Self::Addr)> {
        let _ = socket;
        None
    }

    /// An address as that of a socket, if it is one. By default it is if its type is [`SocketAddr`].
    fn socket_addr(addr: &Self::Addr) -> Option<SocketAddr> {
        (addr as &dyn Any).downcast_ref().copied()
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        TcpListener::accept(self).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    fn prepare(&self, limits: &Limits) -> io::Result<()> {
        limits.apply(self)?;
        lengthen_queue(self);
        Ok(())
    }

    /// On Linux, a connection inherits all options from its listener.
    fn prepare_connection(&self, io: &TcpStream, limits: &Limits) {
        #[cfg(not(any(target_os = "android", target_os = "linux")))]
        let _ = limits.apply(io);
        #[cfg(any(target_os = "android", target_os = "linux"))]
        let _ = (io, limits);
    }

    fn from_tcp(socket: TcpStream) -> Option<(TcpStream, SocketAddr)> {
        let addr = socket.peer_addr().ok()?;
        Some((socket, addr))
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Io = tokio::net::UnixStream;
    type Addr = std::sync::Arc<tokio::net::unix::SocketAddr>;

    async fn accept(&mut self) -> io::Result<(Self::Io, Self::Addr)> {
        let (io, addr) = tokio::net::UnixListener::accept(self).await?;
        Ok((io, addr.into()))
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        tokio::net::UnixListener::local_addr(self).map(Into::into)
    }

    fn prepare(&self, _: &Limits) -> io::Result<()> {
        lengthen_queue(self);
        Ok(())
    }
}

/// Gives a listener the longest queue of new connections that the system allows (`net.core.somaxconn` on Linux): tokio and the
/// standard library ask for 1,024 and 128. Where listening again is not possible, the queue stays as it is.
#[cfg(unix)]
fn lengthen_queue(listener: &impl std::os::fd::AsFd) {
    let _ = rustix::net::listen(listener, i32::MAX);
}

#[cfg(not(unix))]
fn lengthen_queue<T>(_: &T) {}
