use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a client of HTTP/2 begins with when it knows that the server speaks it: RFC 9113,
/// section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection, before a writer has it: what was read of it too early is read again, and it is
/// known whether everything that was written has left.
#[derive(Debug)]
pub(crate) struct Io {
    socket: TcpStream,
    /// Read already.
    before: Bytes,
    unflushed: Arc<AtomicBool>,
}

impl Io {
    pub(crate) fn new(socket: TcpStream, before: Bytes) -> Self {
        Self { socket, before, unflushed: Arc::default() }
    }

    /// Tells whether something was written that waits for the socket to take more.
    pub(crate) fn unflushed(&self) -> Arc<AtomicBool> {
        self.unflushed.clone()
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()
    }

    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// What was read already, and is not part of what hyper returns.
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

    /// hyper flushes when it has written all it has, and only then.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.unflushed.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
