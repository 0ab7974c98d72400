use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tidings_sys::Progress;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection, as a [`Listener`](crate::Listener) accepts it.
///
/// The defaults of all methods do for any connection. Most of them are an optimisation; but a client whose address nobody
/// says counts for none, and a Unix socket that does not say that it is one is no proxy's.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Waits until there is something to read, or the other end has closed. By default it does not wait: then a connection
    /// needs a buffer while it waits.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Waits until there is certainly something to read, which [`poll_readable`](Self::poll_readable) may be wrong about, or
    /// the other end has closed. By default it does not wait.
    fn poll_first_byte(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// How far what was written has come, if the system tells. By default it does not. Then a write that waits is the only
    /// sign of a client that does not read.
    fn progress(&self) -> Option<Progress> {
        None
    }

    /// The address of the other end, if this is TCP or in TCP: for listeners whose addresses do not tell. By default it is
    /// not known.
    fn peer_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// Whether this is a Unix socket, or in one: then its other end is a proxy, if there are
    /// [`Limits::proxies`](crate::Limits::proxies). By default it is not.
    fn is_unix(&self) -> bool {
        false
    }

    /// Moves the connection to the runtime that calls this, whose thread is woken when something comes. By default it stays
    /// where it is.
    ///
    /// # Errors
    ///
    /// The system's.
    fn reregister(self) -> io::Result<Self>
    where
        Self: Sized,
    {
        Ok(self)
    }

    /// Whether [`into_tcp`](Self::into_tcp) succeeds.
    fn is_tcp(&self) -> bool {
        false
    }

    /// The TCP connection itself, which the direct transport needs, if this is nothing more. By default it is not.
    fn into_tcp(self) -> Result<TcpStream, Self>
    where
        Self: Sized,
    {
        Err(self)
    }
}

impl Io for TcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn poll_first_byte(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map_ok(drop)
    }

    fn progress(&self) -> Option<Progress> {
        tidings_sys::progress(self)
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        Self::peer_addr(self).ok()
    }

    fn reregister(self) -> io::Result<Self> {
        Self::from_std(self.into_std()?)
    }

    fn is_tcp(&self) -> bool {
        true
    }

    fn into_tcp(self) -> Result<TcpStream, Self> {
        Ok(self)
    }
}

#[cfg(unix)]
impl Io for tokio::net::UnixStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn is_unix(&self) -> bool {
        true
    }

    fn reregister(self) -> io::Result<Self> {
        Self::from_std(self.into_std()?)
    }
}

#[cfg(feature = "tls")]
impl<IO: Io> Io for tokio_rustls::server::TlsStream<IO> {
    fn progress(&self) -> Option<Progress> {
        self.get_ref().0.progress()
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.get_ref().0.peer_addr()
    }

    fn is_unix(&self) -> bool {
        self.get_ref().0.is_unix()
    }
}

#[cfg(test)]
impl Io for tokio::io::DuplexStream {}
