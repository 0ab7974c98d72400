use std::fmt;
use std::pin::Pin;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use tidings::{
    EventStream, Heartbeat, StreamItem, Subscribe, Subscription, transport::AnyEventStream,
};
use tidings_hyper::{SubscriptionBody, stream_response};

use crate::error::Error;

/// A response of server-sent events.
///
/// It is made from a subscription to a hub:
///
/// ```
/// # use axum::extract::State;
/// # use tidings_axum::{Sse, SseRequest, tidings::Hub};
/// async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
///     request.subscribe(&hub, "news").into()
/// }
/// ```
///
/// or of any stream of events, such as the answer of a language model, without a hub, ids or a
/// status event:
///
/// ```
/// use futures_util::stream;
/// use tidings_axum::Sse;
/// use tidings_axum::tidings::{Event, EventStream};
///
/// async fn answer() -> Sse {
///     let tokens = stream::iter(["Hel", "lo"].map(|token| Event::json_data(&token)));
///     Sse::new(tokens)
/// }
///
/// async fn without_heartbeats() -> Sse {
///     let events = stream::iter([Event::new("[DONE]")]);
///     EventStream::new(events).heartbeat(None).into()
/// }
/// ```
///
/// The response is 200 with the headers of [`tidings::response::HEADERS`]. A subscription that
/// cannot be opened (a bad topic name, or no topic) is answered with its [`Error`]; to answer it otherwise, call
/// [`Subscribe::open`] and convert its result.
#[must_use = "a response is sent when the handler returns it"]
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
    /// use tidings_axum::Sse;
    /// use tidings_axum::tidings::{Event, Heartbeat};
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

impl IntoResponse for Sse {
    fn into_response(self) -> Response {
        match self.0 {
            Ok(Content::Subscription(subscription)) => {
                SubscriptionBody::new(subscription).into_response().map(Body::new)
            }
            Ok(Content::Stream(events)) => stream_response(Body::from_stream(events)),
            Err(error) => error.into_response(),
        }
    }
}

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sse").field(&self.0.as_ref().map(|_| "body")).finish()
    }
}
