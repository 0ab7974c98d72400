use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The first bytes of a client that knows that the server speaks HTTP/2: RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection before a writer has it. Bytes that were read too early are read again, and it knows
/// whether everything that was written was flushed.
#[derive(Debug)]
pub(crate) struct Io {
    socket: TcpStream,
    /// Bytes that were read already.
    before: Bytes,
    unflushed: Arc<AtomicBool>,
}

impl Io {
    pub(crate) fn new(socket: TcpStream, before: Bytes) -> Self {
        Self { socket, before, unflushed: Arc::default() }
    }

    /// Whether something was written and not flushed.
    pub(crate) fn unflushed(&self) -> Arc<AtomicBool> {
        self.unflushed.clone()
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Bytes that were read already, and that hyper does not return.
    pub(crate) fn before(&self) -> &Bytes {
        &self.before
    }

    /// Whether the client begins with HTTP/2.
    pub(crate) async fn begins_with_http2(&mut self) -> io::Result<bool> {
        let mut read = Vec::from(std::mem::take(&mut self.before));
        while read.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&read) {
            let mut more = [0; HTTP2_PREFACE.len()];
            match self.socket.read(&mut more).await? {
                0 => break,
                length => read.extend_from_slice(&more[..length]),
            }
        }
        self.before = read.into();
        Ok(self.before.starts_with(HTTP2_PREFACE))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let length = self.before.len().min(buf.remaining());
        buf.put_slice(&self.before[..length]);
        self.before.advance(length);
        if self.before.is_empty() {
            self.before = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unflushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes only when it has written everything.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.unflushed.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
