use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use tidings::Resume;
use tidings::response::LAST_EVENT_ID;

/// Where a request's client left off, and its address. Pass it to
/// [`Subscribe::resume`](tidings::Subscribe::resume).
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
///     hub.subscribe(["news"]).history(History::Last(10)).resume(request).into()
/// }
/// ```
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

impl<S: Send + Sync> FromRequestParts<S> for SseRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let ids = parts.headers.get_all(LAST_EVENT_ID).iter().map(|value| value.as_bytes());
        let client = parts.extensions.get().map(|Client(addr)| *addr);
        let remote_addr = client.or(parts.extensions.get().map(|ConnectInfo(addr)| *addr));
        let resume = Resume::from_request(ids, parts.uri.query()).with_remote_addr(remote_addr);
        Ok(Self(resume))
    }
}

/// The client's address, in the extensions of requests under [`serve`](crate::serve()). A make-service may set
/// [`ConnectInfo`] to a proxy's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client(pub(crate) SocketAddr);
