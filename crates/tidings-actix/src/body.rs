use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use futures_core::Stream;
use tidings::error::StreamError;

use crate::turns;

/// A stream of bytes as actix-web's body: a subscription, or a stream of events.
///
/// Under this crate's [`Server`](crate::Server), it gives others their turn; under another server it goes on at once.
#[derive(Debug)]
pub struct StreamBody<S> {
    stream: S,
    /// How many bytes it has sent in this turn.
    sent: usize,
}

impl<S> StreamBody<S> {
    /// A body of these bytes.
    pub fn new(stream: S) -> Self {
        Self { stream, sent: 0 }
    }
}

impl<S: Stream<Item = Result<Bytes, StreamError>> + Unpin> MessageBody for StreamBody<S> {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.sent >= turns::BYTES {
            self.sent = 0;
            turns::wait(cx.waker());
            return Poll::Pending;
        }
        let item = Pin::new(&mut self.stream).poll_next(cx);
        match &item {
            Poll::Ready(Some(Ok(bytes))) => self.sent += bytes.len(),
            _ => self.sent = 0,
        }
        item.map_err(Into::into)
    }
}
