use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection that ends when its writes make no progress for some time.
///
/// When a client does not read, its socket takes no more bytes, and servers stop polling the
/// response. They still poll the connection's writes, so the limit is set there: a write fails with
/// [`TimedOut`](io::ErrorKind::TimedOut), and the server drops the connection with its response.
///
/// A timer exists only while a write is stalled. It needs tokio's time driver.
///
/// ```
/// # async fn example(connection: tokio::net::TcpStream) {
/// use std::time::Duration;
/// use tidings_net::WriteLimit;
///
/// let connection = WriteLimit::new(connection, Duration::from_secs(30));
/// # }
/// ```
#[derive(Debug)]
pub struct WriteLimit<IO> {
    io: IO,
    limit: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<IO> WriteLimit<IO> {
    /// Limits how long a write may be stalled; `None` for no limit.
    pub fn new(io: IO, limit: impl Into<Option<Duration>>) -> Self {
        Self { io, limit: limit.into(), stalled: None }
    }

    /// The connection.
    pub fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The connection, without limit.
    pub fn into_inner(self) -> IO {
        self.io
    }

    /// Returns the outcome of a write, or an error if writes were stalled for too long.
    fn watch<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let Some(limit) = self.limit.filter(|_| outcome.is_pending()) else {
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

impl<IO: AsyncRead + Unpin> AsyncRead for WriteLimit<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for WriteLimit<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush that is ready is no progress of a stalled write: there may be nothing to flush.
        match Pin::new(&mut self.io).poll_flush(cx) {
            Poll::Pending => self.watch(Poll::Pending, cx),
            ready => ready,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(cx);
        self.watch(outcome, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_stalled_for_the_limit_fails() {
        let (io, _client) = duplex(10);
        let mut limited = WriteLimit::new(io, Duration::from_secs(30));
        limited.write_all(&[0; 10]).await.unwrap();
        let began = tokio::time::Instant::now();
        let error = limited.write_all(&[0; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_restarts_the_limit() {
        let (io, mut client) = duplex(10);
        let mut limited = WriteLimit::new(io, Duration::from_secs(30));
        let writing = tokio::spawn(async move { limited.write_all(&[0; 50]).await });
        for _ in 0..5 {
            tokio::time::advance(Duration::from_secs(29)).await;
            let mut buf = [0; 10];
            client.read_exact(&mut buf).await.unwrap();
        }
        writing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_not_stalled() {
        let (io, mut client) = duplex(10);
        let mut limited = WriteLimit::new(io, Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(3600)).await;
        limited.write_all(b"still").await.unwrap();
        limited.flush().await.unwrap();
        let mut buf = [0; 5];
        client.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"still");
    }
}
