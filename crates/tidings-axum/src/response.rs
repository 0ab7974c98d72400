use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use tidings::{EventStream, StreamItem, Subscribe, Subscription};
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
/// use tidings_axum::tidings::{error::EventError, Event, EventStream};
///
/// async fn answer() -> Result<Sse, String> {
///     let tokens = stream::iter(["Hel", "lo"].map(|token| Event::json_data(&token)));
///     Ok(Sse::new(tokens))
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
#[derive(Debug)]
#[must_use = "a response is sent when the handler returns it"]
pub struct Sse(Result<Response, Error>);

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
}

impl From<Subscribe> for Sse {
    fn from(subscribe: Subscribe) -> Self {
        match subscribe.open() {
            Ok(subscription) => subscription.into(),
            Err(error) => Self(Err(error.into())),
        }
    }
}

impl From<Subscription> for Sse {
    fn from(subscription: Subscription) -> Self {
        Self(Ok(SubscriptionBody::new(subscription).into_response().map(Body::new)))
    }
}

impl<S> From<EventStream<S>> for Sse
where
    S: Stream + Send + 'static,
    S::Item: StreamItem,
{
    fn from(events: EventStream<S>) -> Self {
        Self(Ok(stream_response(Body::new(events))))
    }
}

impl IntoResponse for Sse {
    fn into_response(self) -> Response {
        self.0.unwrap_or_else(IntoResponse::into_response)
    }
}
