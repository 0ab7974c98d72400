use std::fmt;
use std::pin::Pin;

use actix_web::body::{self, BodyStream, BoxBody};
use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, UPGRADE};
use actix_web::http::{ConnectionType, Method, Version};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use futures_core::Stream;
use tidings::response::HEADERS;
use tidings::{
    EventStream, Heartbeat, StreamItem, Subscribe, Subscription, transport::AnyEventStream,
};

use crate::error::Error;

/// A response of server-sent events.
///
/// It is made from a subscription to a hub:
///
/// ```
/// # use actix_web::web::Data;
/// # use tidings_actix_web::{Sse, SseRequest, tidings::Hub};
/// async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
///     request.subscribe(&hub, "news").into()
/// }
/// ```
///
/// or of any stream of events, such as the answer of a language model, without a hub, ids or a
/// status event:
///
/// ```
/// use futures_util::stream;
/// use tidings_actix_web::Sse;
/// use tidings_actix_web::tidings::{Event, EventStream};
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
/// The response is 200 with the headers of [`tidings::response::HEADERS`]; and `Content-Encoding:
/// identity` if the request accepts others, so that actix-web's `Compress` does not change it. A
/// subscription that cannot be opened (a bad topic name, or no topic) is answered with its [`Error`]; to
/// answer it otherwise, call [`Subscribe::open`] and convert its result.
#[must_use = "a response is sent when the handler returns it"]
pub struct Sse(Result<Content, Error>);

enum Content {
    Subscription(Subscription),
    Stream(Pin<Box<dyn AnyEventStream>>),
}

impl Sse {
    /// Sends the events of any stream, with the defaults of [`EventStream`].
    ///
    /// The items are events or results of events. An error ends the response after the last whole
    /// event, and reaches the server as the body's error.
    pub fn new<S>(events: S) -> Self
    where
        S: Stream + 'static,
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
    /// use tidings_actix_web::Sse;
    /// use tidings_actix_web::tidings::{Event, Heartbeat};
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
    S: Stream + 'static,
    S::Item: StreamItem,
{
    fn from(events: EventStream<S>) -> Self {
        Self(Ok(Content::Stream(Box::pin(events))))
    }
}

impl Responder for Sse {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        match self.0 {
            Ok(content) => {
                let mut response = HttpResponse::Ok();
                for header in HEADERS {
                    response.insert_header(*header);
                }
                if request.headers().contains_key(ACCEPT_ENCODING) {
                    response.insert_header((CONTENT_ENCODING, "identity"));
                }
                // actix-web sends no body to HEAD, but polls it to its end, which a stream does not
                // have.
                if request.method() == Method::HEAD {
                    return response.body(body::None::new()).map_into_boxed_body();
                }
                let mut response = response.body(match content {
                    Content::Subscription(body) => BoxBody::new(BodyStream::new(body)),
                    Content::Stream(body) => BoxBody::new(BodyStream::new(body)),
                });
                // Where the end of the connection is the end of the body, actix-web would say that it is
                // chunked.
                if request.version() < Version::HTTP_11 || is_tunnel(request) {
                    response.head_mut().no_chunking(true);
                    response.head_mut().set_connection_type(ConnectionType::Close);
                }
                response
            }
            Err(error) => error.error_response(),
        }
    }
}

/// Whether everything that the client sends from now on belongs to this request, for actix-web.
fn is_tunnel(request: &HttpRequest) -> bool {
    let is_websocket =
        |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    request.method() == Method::CONNECT || request.headers().get_all(UPGRADE).any(is_websocket)
}

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sse").field(&self.0.as_ref().map(|_| "body")).finish()
    }
}
