use std::any::Any;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tidings_sys::Progress;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::Io;

/// A connection of any type as an [`Io`]. What is TCP or a Unix socket is found at run time: for listeners that do not tell.
#[derive(Debug)]
pub struct AnyIo<IO>(IO);

impl<IO: 'static> AnyIo<IO> {
    /// This connection.
    pub fn new(io: IO) -> Self {
        Self(io)
    }

    /// This connection, if they are TCP.
    pub fn of_tcp(socket: TcpStream) -> Option<Self> {
        cast(socket).ok().map(Self)
    }

    /// The connection, if it is TCP.
    pub fn tcp(&self) -> Option<&TcpStream> {
        (&self.0 as &dyn Any).downcast_ref()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for AnyIo<IO> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let io = &mut self.0 as &mut dyn Any;
        if let Some(socket) = io.downcast_mut::<TcpStream>() {
            return socket.poll_readable(cx);
        }
        #[cfg(unix)]
        if let Some(socket) = io.downcast_mut::<tokio::net::UnixStream>() {
            return socket.poll_readable(cx);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_first_byte(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match (&mut self.0 as &mut dyn Any).downcast_mut::<TcpStream>() {
            Some(socket) => socket.poll_first_byte(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn progress(&self) -> Option<Progress> {
        self.tcp()?.progress()
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.tcp()?.peer_addr().ok()
    }

    fn is_unix(&self) -> bool {
        #[cfg(unix)]
        {
            (&self.0 as &dyn Any).is::<tokio::net::UnixStream>()
        }
        #[cfg(not(unix))]
        {
            false
        }
    }

    fn is_tcp(&self) -> bool {
        self.tcp().is_some()
    }

    fn into_tcp(self) -> Result<TcpStream, Self> {
        cast(self.0).map_err(Self)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for AnyIo<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for AnyIo<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A value as one of another type, if both are the same.
fn cast<T: 'static, U: 'static>(value: T) -> Result<U, T> {
    let mut value = Some(value);
    let same = (&mut value as &mut dyn Any).downcast_mut::<Option<U>>().and_then(Option::take);
    same.ok_or_else(|| value.expect("it is there if it is not the same"))
}
