use std::convert::Infallible;
use std::net::SocketAddr;

use tidings::Resume;
use tidings::response::LAST_EVENT_ID;
use warp::Filter;
use warp::http::HeaderMap;

/// Where a request's client left off, and its address. Pass it to
/// [`Subscribe::resume`](tidings::Subscribe::resume).
///
/// [`request()`] is the filter that extracts it.
#[derive(Debug, Clone)]
pub struct SseRequest(Resume);

impl SseRequest {
    /// The client's address, if the server knows it.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.0.remote_addr()
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
///     Sse::from(hub.subscribe(["news"]).history(History::Last(10)).resume(request))
/// });
/// ```
pub fn request() -> impl Filter<Extract = (SseRequest,), Error = Infallible> + Copy {
    warp::header::headers_cloned().and(query()).and(remote_addr()).map(
        |headers: HeaderMap, query: String, remote_addr: Option<SocketAddr>| {
            let ids = headers.get_all(LAST_EVENT_ID).iter().map(|value| value.as_bytes());
            let resume = Resume::from_request(ids, Some(&query));
            SseRequest(resume.with_remote_addr(remote_addr))
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
