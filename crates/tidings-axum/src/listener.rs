use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tidings_net::{Io, Limits, Progress};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A listener of axum for Tidings' server. What is TCP is found at run time, because axum's trait does not tell.
#[derive(Debug)]
pub struct Listener<L>(pub(crate) L);

impl<L> tidings_net::Listener for Listener<L>
where
    L: axum::serve::Listener,
    L::Addr: Clone + Sync + 'static,
{
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> io::Result<(Self::Io, L::Addr)> {
        // axum's way to accept sleeps on errors, about which Tidings' server would do something.
        let (io, addr) = match (&mut self.0 as &mut dyn Any).downcast_mut::<TcpListener>() {
            Some(listener) => {
                let (io, addr) = TcpListener::accept(listener).await?;
                let (Ok(io), Ok(addr)) = (cast(io), cast(addr)) else {
                    unreachable!("this listener has these types");
                };
                (io, addr)
            }
            None => self.0.accept().await,
        };
        Ok((Connection(io), addr))
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

    fn prepare_connection(&self, io: &Connection<L::Io>, limits: &Limits) {
        let Some(socket) = io.tcp() else {
            return;
        };
        match (&self.0 as &dyn Any).downcast_ref::<TcpListener>() {
            Some(listener) => listener.prepare_connection(socket, limits),
            // It fails if the connection is gone already, which its server will notice.
            None => drop(limits.apply(socket)),
        }
    }

    fn from_tcp(socket: TcpStream) -> Option<(Connection<L::Io>, L::Addr)> {
        let addr = cast(socket.peer_addr().ok()?).ok()?;
        Some((Connection(cast(socket).ok()?), addr))
    }
}

/// A connection of a listener of axum.
#[derive(Debug)]
pub struct Connection<IO>(IO);

impl<IO: 'static> Connection<IO> {
    fn tcp(&self) -> Option<&TcpStream> {
        (&self.0 as &dyn Any).downcast_ref()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for Connection<IO> {
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

    fn is_tcp(&self) -> bool {
        self.tcp().is_some()
    }

    fn into_tcp(self) -> Result<TcpStream, Self> {
        cast(self.0).map_err(Self)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Connection<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
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
