use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tidings_net::{Activity, Hubs, Portion, Sending, Stall};

use crate::body::{BoxError, Next, ResponseBody};

tokio::task_local! {
    /// Of the stream whose task this is.
    static SENDING: Arc<Sending>;
}

/// Has tokio run the streams of a connection of HTTP/2, and ends those that are stalled: hyper does not poll the response of a
/// stream whose client opens no window for it, but resets one whose task is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    activity: Activity,
    limit: Option<Duration>,
    hubs: Hubs,
}

impl Streams {
    pub(crate) fn new(activity: Activity, limit: Option<Duration>, hubs: Hubs) -> Self {
        Self { activity, limit, hubs }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // Also of one that was upgraded.
        let answering = self.activity.answer();
        let stream = async move {
            stream.await;
            drop(answering);
        };
        let Some(limit) = self.limit else {
            tokio::spawn(stream);
            return;
        };
        let sending = Arc::new(Sending::default());
        let stall = Stall::new(sending.clone(), self.activity.clone(), limit);
        let hubs = self.hubs.clone();
        tokio::spawn(async move { stall.watch(SENDING.scope(sending, stream), &hubs).await });
    }
}

/// The body of a response on a stream of HTTP/2, which says how much of it was sent.
pub(crate) struct StreamBody<B> {
    body: ResponseBody<B>,
    /// None if the stream's time is not limited.
    sending: Option<Arc<Sending>>,
    /// The body's end, while more than a little waits before it.
    last: Option<Box<Next>>,
}

impl<B> StreamBody<B> {
    /// To be called by the stream's task.
    pub(crate) fn new(body: ResponseBody<B>) -> Self {
        Self { body, sending: SENDING.try_with(Arc::clone).ok(), last: None }
    }
}

impl<B> Body for StreamBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Portion;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Portion>, BoxError>>> {
        let this = self.get_mut();
        let next = match this.last.take() {
            Some(last) => *last,
            None => ready!(Pin::new(&mut this.body).poll_frame(cx)),
        };
        let sending = this.sending.as_ref();
        // With its end, a stream gives up its task.
        let is_last = next.as_ref().is_none_or(|next| next.as_ref().is_ok_and(Frame::is_trailers));
        if is_last && sending.is_some_and(|sending| sending.poll_almost_sent(cx).is_pending()) {
            this.last = Some(Box::new(next));
            return Poll::Pending;
        }
        let portion = |bytes| Portion::new(bytes, sending);
        Poll::Ready(next.map(|next| next.map(|frame| frame.map_data(portion))))
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none()
            && self.body.is_end_stream()
            && self.sending.as_ref().is_none_or(|sending| sending.is_almost_sent())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
