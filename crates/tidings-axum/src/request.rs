use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::Deref;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use tidings::Resume;
use tidings::response::LAST_EVENT_ID;

use crate::error::Error;

/// Where a request's client left off, and its address: a [`Resume`] that subscribes the client.
///
/// It reads the `Last-Event-ID` header or, without one, the query parameter `lastEventId`. It knows
/// the client's address under [`serve`](crate::serve()), and under axum's own server with
/// [`into_make_service_with_connect_info`](axum::Router::into_make_service_with_connect_info).
///
/// The extractor never rejects: the answer to a bad id is a reset in the stream.
///
/// ```
/// use axum::extract::State;
/// use tidings_axum::tidings::{History, Hub};
/// use tidings_axum::{Sse, SseRequest};
///
/// async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
///     request.subscribe(&hub, "news").history(History::Last(10)).into()
/// }
/// ```
///
/// A stream without a hub has ids of its own, and goes on after the one that its client has. Text from a client is never
/// to be trusted:
///
/// ```
/// use futures_util::stream;
/// use tidings_axum::tidings::{Event, EventId};
/// use tidings_axum::{Sse, SseRequest};
///
/// async fn words(request: SseRequest) -> Sse {
///     let last = request.last_event_id().and_then(|id| id.as_str()?.parse().ok());
///     let next = last.map_or(0, |last: usize| last.saturating_add(1));
///     let words = ["Hello", "again"].into_iter().enumerate().skip(next);
///     Sse::new(stream::iter(words.map(|(n, word)| {
///         EventId::new(n.to_string()).map(|id| Event::new(word).with_id(id))
///     })))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct SseRequest(Resume);

impl Deref for SseRequest {
    type Target = Resume;

    fn deref(&self) -> &Resume {
        &self.0
    }
}

impl SseRequest {
    /// An error as a response in the form that the request's `Accept` headers prefer: for one that does not come from the
    /// request's own subscription, such as a publication's.
    pub fn error(&self, error: impl Into<tidings::error::Error>) -> Error {
        Error::from(error.into().with_format(self.0.error_format()))
    }
}

impl From<SseRequest> for Resume {
    fn from(request: SseRequest) -> Self {
        request.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SseRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let ids = parts.headers.get_all(LAST_EVENT_ID).iter().map(|value| value.as_bytes());
        let client = parts.extensions.get().map(|Client(addr)| *addr);
        let remote_addr = client.or(parts.extensions.get().map(|ConnectInfo(addr)| *addr));
        let resume = Resume::from_request(ids, parts.uri.query()).with_remote_addr(remote_addr);
        let accept = parts.headers.get_all(ACCEPT).iter().map(|value| value.as_bytes());
        Ok(Self(resume.with_accept(accept)))
    }
}

/// The client's address, in the extensions of requests under [`serve`](crate::serve()). A make-service may set
/// [`ConnectInfo`] to a proxy's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) SocketAddr);
