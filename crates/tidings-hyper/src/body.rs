use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tidings_net::{Activity, AddressPermit, Answering, Portion, ReadingBody, Sending};
use tokio::time::{Sleep, sleep};

use crate::streams::Streams;

/// The body of a request. It fails if it brings no bytes for [`Limits::body_timeout`](tidings_net::Limits::body_timeout).
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    timeout: Option<Duration>,
    /// While the body waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Until it has ended.
    reading: Option<ReadingBody>,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, timeout: Option<Duration>, activity: &Activity) -> Self {
        let reading = (!incoming.is_end_stream()).then(|| activity.read_body());
        Self { incoming, timeout, waiting: None, reading }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let Some(timeout) = self.timeout else {
                return Poll::Pending;
            };
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(timeout)));
            ready!(waiting.as_mut().poll(cx));
            return Poll::Ready(Some(Err(RequestBodyError(Cause::TimedOut(timeout)))));
        };
        self.waiting = None;
        if (frame.is_none() || self.incoming.is_end_stream())
            && let Some(reading) = self.reading.take()
        {
            reading.finish();
        }
        let error = |error| RequestBodyError(Cause::Failed(error));
        Poll::Ready(frame.map(|frame| frame.map_err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The body of a request has not come to its end.
#[derive(Debug)]
pub struct RequestBodyError(Cause);

#[derive(Debug)]
enum Cause {
    TimedOut(Duration),
    Failed(hyper::Error),
}

impl RequestBodyError {
    /// Whether the body has brought no bytes for too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Cause::TimedOut(_))
    }
}

impl fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::TimedOut(limit) => write!(f, "request body has brought no bytes for {limit:?}"),
            Cause::Failed(_) => f.write_str("request body has failed"),
        }
    }
}

impl Error for RequestBodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Cause::TimedOut(_) => None,
            Cause::Failed(error) => Some(error),
        }
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

/// What a body has said before its time: when it was probed, or at its end. It is sent before the rest.
#[derive(Debug)]
pub(crate) struct Kept {
    /// `None` is the body's end.
    pub(crate) next: Option<Result<Frame<Bytes>, BoxError>>,
    /// The size of the body before that.
    pub(crate) size: SizeHint,
}

/// The body of a response: when it is dropped, the request has been answered.
pub(crate) struct ResponseBody<B> {
    /// None if the server answers.
    body: Option<B>,
    kept: Option<Box<Kept>>,
    sending: Option<Arc<Sending>>,
    _answering: Answering,
    _address: Option<AddressPermit>,
}

impl<B> ResponseBody<B> {
    pub(crate) fn new(
        body: B,
        kept: Option<Box<Kept>>,
        answering: Answering,
        address: Option<AddressPermit>,
    ) -> Self {
        let sending = Streams::sending();
        Self { body: Some(body), kept, sending, _answering: answering, _address: address }
    }

    /// No body, of the server's own answer.
    pub(crate) fn none(answering: Answering) -> Self {
        Self { body: None, kept: None, sending: None, _answering: answering, _address: None }
    }
}

impl<B> Body for ResponseBody<B>
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
        let next = match (this.kept.take(), &mut this.body) {
            (Some(kept), _) => kept.next,
            (None, Some(body)) => {
                let next = ready!(Pin::new(body).poll_frame(cx));
                next.map(|next| next.map_err(Into::into))
            }
            (None, None) => None,
        };
        let sending = this.sending.as_ref();
        // With its end, a stream gives up its task.
        let is_last = next.as_ref().is_none_or(|next| next.as_ref().is_ok_and(Frame::is_trailers));
        if is_last && sending.is_some_and(|sending| sending.poll_almost_sent(cx).is_pending()) {
            this.kept = Some(Box::new(Kept { next, size: SizeHint::default() }));
            return Poll::Pending;
        }
        let portion = |bytes| Portion::new(bytes, sending);
        Poll::Ready(next.map(|next| next.map(|frame| frame.map_data(portion))))
    }

    fn is_end_stream(&self) -> bool {
        self.kept.is_none()
            && self.body.as_ref().is_none_or(Body::is_end_stream)
            && self.sending.as_ref().is_none_or(|sending| sending.is_almost_sent())
    }

    fn size_hint(&self) -> SizeHint {
        let before = self.kept.as_ref().map(|kept| &kept.size).cloned();
        before.unwrap_or_else(|| match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        })
    }
}
