use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::{Connections, Io, Permit, Protocol};

/// A connection as an HTTP server sees it, with the limits that its [`Limits`](crate::Limits) set.
///
/// It gives the bytes back that were read already. The server must say what it does, by [`activity`](Self::activity):
/// without that, the connection counts as idle.
#[derive(Debug)]
pub struct Guarded<IO> {
    io: IO,
    /// Bytes that were read already.
    before: Bytes,
    write_timeout: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
    unflushed: Arc<AtomicBool>,
    activity: Activity,
    permit: Permit,
}

/// What a [`Guarded`] connection consists of.
#[derive(Debug)]
pub struct GuardedParts<IO> {
    /// The connection.
    pub io: IO,
    /// Bytes that were read from it, and not by the server.
    pub before: Bytes,
    /// Its right to exist.
    pub permit: Permit,
}

/// What a server does with a connection, for its [`Guarded`]. Clones are of the same connection.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    answering: AtomicUsize,
    reading: AtomicUsize,
}

impl Activity {
    /// A request has begun, and is being answered until the result is dropped: with the response's body.
    pub fn answer(&self) -> Answering {
        self.0.answering.fetch_add(1, Ordering::Relaxed);
        Answering(self.0.clone())
    }

    /// Whether no request is being answered.
    pub fn is_idle(&self) -> bool {
        self.0.answering.load(Ordering::Relaxed) == 0
    }

    /// A request has a body, which is wanted until the result is dropped.
    pub fn read_body(&self) -> ReadingBody {
        self.0.reading.fetch_add(1, Ordering::Relaxed);
        ReadingBody(self.0.clone())
    }
}

/// A request that is being answered: see [`Activity::answer`].
#[derive(Debug)]
pub struct Answering(Arc<Counts>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's body that is being read: see [`Activity::read_body`].
#[derive(Debug)]
pub struct ReadingBody(Arc<Counts>);

impl Drop for ReadingBody {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<IO: Io> Guarded<IO> {
    pub(crate) fn new(
        io: IO,
        before: Bytes,
        _protocol: Protocol,
        connections: Connections,
        permit: Permit,
    ) -> Self {
        Self {
            io,
            before,
            write_timeout: connections.limits().write_timeout_value(),
            stalled: None,
            unflushed: Arc::default(),
            activity: Activity::default(),
            permit,
        }
    }

    /// Where the server says what it does.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Whether something was written and not flushed.
    pub fn unflushed(&self) -> Arc<AtomicBool> {
        self.unflushed.clone()
    }

    /// Whether it is [TCP and nothing more](Io::is_tcp).
    pub fn is_tcp(&self) -> bool {
        self.io.is_tcp()
    }

    /// What it consists of.
    pub fn into_parts(self) -> GuardedParts<IO> {
        GuardedParts { io: self.io, before: self.before, permit: self.permit }
    }

    /// Returns the outcome of a write, or an error if writes were stalled for too long.
    fn watch<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let Some(limit) = self.write_timeout.filter(|_| outcome.is_pending()) else {
            self.stalled = None;
            return outcome;
        };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("connection has taken no bytes for {limit:?}"),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<IO: Io> AsyncRead for Guarded<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
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

impl<IO: Io> AsyncWrite for Guarded<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unflushed.store(true, Ordering::Relaxed);
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed.store(true, Ordering::Relaxed);
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Servers flush only when they have written everything.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush that is ready is no progress of a stalled write: there may be nothing to flush.
        match ready!(Pin::new(&mut self.io).poll_flush(cx)) {
            Ok(()) => {
                self.unflushed.store(false, Ordering::Relaxed);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watch(outcome, cx)
    }
}
