//! Subscriptions and event streams as bodies of the `http-body` crate, which hyper, axum and warp can send.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame};

use crate::error::StreamError;
use crate::event_stream::{EventStream, StreamItem};
use crate::subscription::Subscription;

impl Subscription {
    /// The bytes of what `poll_frame` yields: all frames of a subscription are data. The same as the stream's `poll_next`.
    #[inline]
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        self.poll_body(cx)
    }
}

/// Each frame is one chunk of the stream: see [`Subscription`].
impl Body for Subscription {
    type Data = Bytes;
    type Error = StreamError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.get_mut().poll_data(cx).map_ok(Frame::data)
    }
}

impl<S> Body for EventStream<S>
where
    S: Stream,
    S::Item: StreamItem,
{
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.poll_next(cx).map_ok(Frame::data)
    }
}
