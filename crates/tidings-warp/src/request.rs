use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::Deref;

use tidings::Resume;
use tidings::response::LAST_EVENT_ID;
use warp::Filter;
use warp::http::HeaderMap;
use warp::http::header::ACCEPT;

use crate::error::Error;

/// Where a request's client left off, and its address: a [`Resume`] that subscribes the client.
///
/// [`request()`] is the filter that extracts it.
///
/// A stream without a hub has ids of its own, and goes on after the one that its client has. Text from a client is never
/// to be trusted:
///
/// ```
/// use futures_util::stream;
/// use tidings_warp::tidings::{Event, EventId};
/// use tidings_warp::{Sse, SseRequest};
///
/// fn words(request: SseRequest) -> Sse {
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

/// A filter that extracts an [`SseRequest`].
///
/// It reads the `Last-Event-ID` header or, without one, the query parameter `lastEventId`.
///
/// The filter never rejects: the answer to a bad id is a reset in the stream.
///
/// ```
/// use tidings_warp::tidings::{History, Hub};
/// use tidings_warp::{Sse, SseRequest};
/// use warp::Filter;
///
/// # let hub = Hub::new();
/// let events = warp::path("events").and(tidings_warp::request()).map(move |request: SseRequest| {
///     Sse::from(request.subscribe(&hub, "news").history(History::Last(10)))
/// });
/// ```
pub fn request() -> impl Filter<Extract = (SseRequest,), Error = Infallible> + Copy {
    warp::header::headers_cloned().and(query()).and(remote_addr()).map(
        |headers: HeaderMap, query: String, remote_addr: Option<SocketAddr>| {
            let ids = headers.get_all(LAST_EVENT_ID).iter().map(|value| value.as_bytes());
            let resume = Resume::from_request(ids, Some(&query));
            let accept = headers.get_all(ACCEPT).iter().map(|value| value.as_bytes());
            SseRequest(resume.with_remote_addr(remote_addr).with_accept(accept))
        },
    )
}

/// A filter that extracts the client's address, under [`serve`](crate::serve()) and under
/// [`warp::serve`](warp::serve()). [`warp::addr::remote`] works only under the latter.
///
/// ```
/// use std::net::SocketAddr;
/// use warp::Filter;
///
/// let who = tidings_warp::remote_addr().map(|addr: Option<SocketAddr>| format!("{addr:?}"));
/// ```
pub fn remote_addr() -> impl Filter<Extract = (Option<SocketAddr>,), Error = Infallible> + Copy {
    warp::ext::optional().and(warp::addr::remote()).map(
        |client: Option<Client>, remote: Option<SocketAddr>| {
            client.map(|Client(addr)| addr).or(remote)
        },
    )
}

/// The client's address, in the extensions of requests under [`serve`](crate::serve()).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) SocketAddr);

/// The query, or an empty one: warp's own filter rejects a request without a query.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}
