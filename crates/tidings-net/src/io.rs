use std::io;
use std::task::{Context, Poll};

use tidings_sys::Progress;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection, as a [`Listener`](crate::Listener) accepts it.
///
/// What the methods say is an optimisation; their defaults do for any connection.
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

    fn reregister(self) -> io::Result<Self> {
        Self::from_std(self.into_std()?)
    }
}

#[cfg(feature = "tls")]
impl<IO: Io> Io for tokio_rustls::server::TlsStream<IO> {
    fn progress(&self) -> Option<Progress> {
        self.get_ref().0.progress()
    }
}

#[cfg(test)]
impl Io for tokio::io::DuplexStream {}
