use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::reception::{LINGER, LINGER_BYTES};

/// The end of a connection on which everything was sent: its client may still send for a moment, and nobody gets what it does.
#[derive(Debug)]
pub(super) struct Lingering {
    /// How many bytes it may still send.
    left: usize,
    end: Alarm,
    /// Why the connection ends, if the server does not know it.
    why: Option<io::Error>,
}

impl Lingering {
    pub(super) fn new(why: Option<io::Error>) -> Self {
        Self { left: LINGER_BYTES, end: Alarm::at(Instant::now() + LINGER), why }
    }

    /// Reads until the client has closed, or has had its time. Then it is an error if the server does not know why.
    pub(super) fn poll<IO: AsyncRead + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.left > 0 {
            let mut some = [0; 2048];
            let mut some = ReadBuf::new(&mut some);
            match Pin::new(&mut *io).poll_read(cx, &mut some) {
                Poll::Ready(Ok(())) if !some.filled().is_empty() => {
                    self.left = self.left.saturating_sub(some.filled().len());
                }
                Poll::Pending if self.end.poll(cx).is_pending() => return Poll::Pending,
                _ => break,
            }
        }
        Poll::Ready(self.why.take().map_or(Ok(()), Err))
    }
}
