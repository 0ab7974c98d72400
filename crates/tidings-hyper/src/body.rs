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

/// The body of a response: when it is dropped, the request has been answered.
pub(crate) struct ResponseBody<B> {
    /// None if the server answers.
    body: Option<B>,
    answering: Answering,
    _address: Option<AddressPermit>,
}

impl<B> ResponseBody<B> {
    pub(crate) fn new(body: B, mut answering: Answering, address: Option<AddressPermit>) -> Self {
        // Until the server asks for it.
        answering.moved(true);
        Self { body: Some(body), answering, _address: address }
    }

    /// No body, of the server's own answer.
    pub(crate) fn none(answering: Answering) -> Self {
        Self { body: None, answering, _address: None }
    }
}

impl<B: Body + Unpin> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let next = match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        };
        self.answering.moved(next.is_ready());
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
