use std::fmt;
use std::pin::Pin;

use futures_core::Stream;
use sync_wrapper::SyncStream;
use tidings::{
    EventStream, Heartbeat, StreamItem, Subscribe, Subscription, transport::AnyEventStream,
};
use tidings_hyper::{SubscriptionBody, stream_response};
use warp::Reply;
use warp::http;
use warp::reply::Response;

use crate::error::Error;

/// A reply of server-sent events.
///
/// It is made from a subscription to a hub:
///
/// ```
/// # use tidings_warp::{Sse, SseRequest, tidings::Hub};
/// # use warp::Filter;
/// # let hub = Hub::new();
/// let events = tidings_warp::request().map(move |request: SseRequest| {
///     Sse::from(request.subscribe(&hub, "news"))
/// });
/// ```
///
/// or of any stream of events, such as the answer of a language model, without a hub, ids or a
/// status event:
///
/// ```
/// use futures_util::stream;
/// use tidings_warp::Sse;
/// use tidings_warp::tidings::{Event, EventStream};
/// use warp::Filter;
///
/// let answer = warp::path("answer").map(|| {
///     let tokens = stream::iter(["Hel", "lo"].map(|token| Event::json_data(&token)));
///     Sse::new(tokens)
/// });
///
/// let without_heartbeats = warp::path("quiet").map(|| {
///     let events = stream::iter([Event::new("[DONE]")]);
///     Sse::from(EventStream::new(events).heartbeat(None))
/// });
/// ```
///
/// The response is 200 with the headers of [`tidings::response::HEADERS`]. A subscription that
/// cannot be opened (a bad topic name, or no topic) is answered with its [`Error`]; to answer it otherwise, call
/// [`Subscribe::open`] and convert its result.
#[must_use = "a reply is sent when the filter returns it"]
pub struct Sse(Result<Content, Error>);

enum Content {
    Subscription(Subscription),
    Stream(Pin<Box<dyn AnyEventStream + Send>>),
}

impl Sse {
    /// Sends the events of any stream, with the defaults of [`EventStream`].
    ///
    /// The items are events or results of events. An error ends the response after the last whole
    /// event, and reaches the server as the body's error.
    pub fn new<S>(events: S) -> Self
    where
        S: Stream + Send + 'static,
        S::Item: StreamItem,
    {
        EventStream::new(events).into()
    }

    /// Sets what the response sends when it is idle, and how long it is idle before; `None` for
    /// nothing, and a duration for an empty comment. Default: that of the subscription and its hub,
    /// or of [`EventStream`].
    ///
    /// ```
    /// use futures_util::stream;
    /// use tidings_warp::Sse;
    /// use tidings_warp::tidings::{Event, Heartbeat};
    ///
    /// let events = stream::pending::<Event>();
    /// let response = Sse::new(events).heartbeat(Heartbeat::event("ping"));
    /// ```
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        match &mut self.0 {
            Ok(Content::Subscription(subscription)) => subscription.set_heartbeat(heartbeat),
            Ok(Content::Stream(events)) => events.as_mut().set_heartbeat(heartbeat.into()),
            Err(_) => {}
        }
        self
    }
}

impl From<Subscribe> for Sse {
    fn from(subscribe: Subscribe) -> Self {
        Self(subscribe.open().map(Content::Subscription).map_err(Error::from))
    }
}

impl From<Subscription> for Sse {
    fn from(subscription: Subscription) -> Self {
        Self(Ok(Content::Subscription(subscription)))
    }
}

impl<S> From<EventStream<S>> for Sse
where
    S: Stream + Send + 'static,
    S::Item: StreamItem,
{
    fn from(events: EventStream<S>) -> Self {
        Self(Ok(Content::Stream(Box::pin(events))))
    }
}

/// Makes warp's response of one whose body is a stream.
fn reply<S>(response: http::Response<S>) -> Response
where
    S: Stream<Item = <Subscription as Stream>::Item> + Send + 'static,
{
    // warp requires bodies that threads could share, which streams need not be.
    response.map(|body| warp::reply::stream(SyncStream::new(body)).into_response().into_body())
}

impl Reply for Sse {
    fn into_response(self) -> Response {
        match self.0 {
            Ok(Content::Subscription(subscription)) => {
                reply(SubscriptionBody::new(subscription).into_response())
            }
            Ok(Content::Stream(events)) => reply(stream_response(events)),
            Err(error) => error.into_response(),
        }
    }
}

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sse").field(&self.0.as_ref().map(|_| "body")).finish()
    }
}
