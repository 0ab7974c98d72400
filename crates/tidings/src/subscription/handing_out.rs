//! How a stream hands out its bytes: as pieces that a server may keep, and no faster than the server sends them.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::Subscription;
use crate::error::StreamError;
use crate::outlet::Cut;
use crate::pinned::Pinned;

/// What a stream sends next.
pub(crate) struct Item {
    pub(crate) bytes: Bytes,
    /// Of a chunk, whose memory has a budget of its own.
    pub(super) is_chunk: bool,
}

impl From<Bytes> for Item {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, is_chunk: false }
    }
}

impl Subscription {
    /// A larger event is handed out in copied pieces of this size. Servers keep up to 16 pieces when a client stalls, and
    /// none of them keeps the event.
    const PIECE: usize = Pinned::COUNTED;

    /// The next bytes for a server that polls the stream as a body.
    ///
    /// Servers poll a body until it is pending, and only then let others run. So a stream that always has more would keep
    /// its thread. It pauses after a burst.
    ///
    /// They also poll three times for each event: for the event, for more, and again after writing. So it returns at once
    /// if nothing has happened since the last poll.
    #[inline]
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        self.client.heartbeat.turn.end();
        if self.is_quiet(cx.waker()) {
            return Poll::Pending;
        }
        if self.pace.is_spent() && self.pauses(cx) {
            return Poll::Pending;
        }
        if self.has_rest {
            return self.next_piece(cx);
        }
        let next = self.poll_bytes(None, cx);
        match next {
            Poll::Ready(Some(Ok(item))) => Poll::Ready(Some(Ok(self.hand_out(item)))),
            Poll::Ready(next) => Poll::Ready(next.map(|next| next.map(|item| item.bytes))),
            Poll::Pending => {
                self.pace.rest();
                Poll::Pending
            }
        }
    }

    /// The next bytes for a transport that takes events whole, up to the event at `limit`.
    pub(crate) fn poll_whole(
        &mut self,
        limit: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        if std::mem::take(&mut self.has_rest)
            && let Some(rest) = self.client.outlet.take_rest()
        {
            return Poll::Ready(Some(Ok(rest)));
        }
        self.poll_bytes(Some(limit), cx).map_ok(|item| item.bytes)
    }

    #[cold]
    fn pauses(&mut self, cx: &mut Context<'_>) -> bool {
        let mut pace = std::mem::take(&mut self.pace);
        let client = &self.client;
        let pauses = pace.pauses(|| self.has_more(), &client.heartbeat, client, cx);
        self.pace = pace;
        pauses
    }

    /// Whether the next poll would probably yield something.
    fn has_more(&self) -> bool {
        self.has_rest
            || self.out_of_band.is_some()
            || self.shared.watermark() > self.cursor.offset
                && self.feed().has_news(self.cursor.offset)
    }

    #[inline]
    fn hand_out(&mut self, item: Item) -> Bytes {
        let Item { bytes, is_chunk } = item;
        if !is_chunk && bytes.len() > Self::PIECE {
            return self.hand_out_large(bytes);
        }
        self.pace.count(bytes.len());
        bytes
    }

    /// Hands out the first piece.
    #[cold]
    fn hand_out_large(&mut self, mut bytes: Bytes) -> Bytes {
        let first = Bytes::copy_from_slice(&bytes.split_to(Self::PIECE));
        self.client.outlet.put(bytes, self.shared.clock.recent());
        self.has_rest = true;
        self.pace.count(Self::PIECE);
        // What no topic has is pinned from the beginning, and has not evicted anything.
        self.shared.keep_pinned_limit();
        first
    }

    #[cold]
    fn next_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        match self.client.outlet.next_piece(Self::PIECE, self.shared.clock.recent()) {
            Ok((piece, is_last)) => {
                self.has_rest = !is_last;
                self.pace.count(Self::PIECE);
                Poll::Ready(Some(Ok(piece)))
            }
            Err(Cut) => {
                self.has_rest = false;
                self.poll_end(cx).map_ok(|item| item.bytes)
            }
        }
    }

    /// Tells the hub that the transport holds bytes of this stream which the client does not take. To be called again
    /// when the client has taken some of them.
    ///
    /// For transports that poll the stream through a [`Cohort`](crate::transport::Cohort). When too much memory is
    /// [pinned](crate::HubBuilder::pinned_limit) and no other client has taken nothing for longer, the stream [is
    /// cut](Self::is_cut), and `waker` is woken. The transport then drops the stream and what it holds.
    pub fn hold(&mut self, bytes: usize, waker: &Waker) {
        if bytes >= Pinned::COUNTED {
            self.client.outlet.hold(bytes, waker.clone(), self.shared.clock.now());
            self.shared.keep_pinned_limit();
        }
    }

    /// Tells the hub that the transport [holds](Self::hold) nothing any more.
    pub fn release(&mut self) {
        self.client.outlet.release();
    }

    /// Whether the stream must end because of what its transport holds.
    pub fn is_cut(&self) -> bool {
        self.client.outlet.is_cut()
    }
}
