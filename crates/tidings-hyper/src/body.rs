use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tidings_net::{Activity, AddressPermit, Answering, ReadingBody};
use tokio::time::{Sleep, sleep};

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

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// What a body says; `None` is its end.
pub(crate) type Next = Option<Result<Frame<Bytes>, BoxError>>;

/// What a body has said when it was probed. It is sent before the rest.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) next: Next,
    /// The size of the body before that.
    pub(crate) size: SizeHint,
}

/// The body of a response: when it is dropped, the request has been answered.
pub(crate) struct ResponseBody<B> {
    /// None if the server answers, or the response may not have one.
    body: Option<B>,
    kept: Option<Box<Kept>>,
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
        Self { body: Some(body), kept, _answering: answering, _address: address }
    }

    /// No body.
    pub(crate) fn none(answering: Answering) -> Self {
        Self { body: None, kept: None, _answering: answering, _address: None }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = self.get_mut();
        if let Some(kept) = this.kept.take() {
            return Poll::Ready(kept.next);
        }
        match &mut this.body {
            Some(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.kept.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let before = self.kept.as_ref().map(|kept| &kept.size).cloned();
        before.unwrap_or_else(|| match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        })
    }
}
