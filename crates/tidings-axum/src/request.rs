use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use tidings::Resume;
use tidings::response::LAST_EVENT_ID;

/// What a request says of its client: where it left off, and where it calls from. To be passed to
/// [`Subscribe::resume`](tidings::Subscribe::resume).
///
/// It reads the `Last-Event-ID` header or, where there is none, the query parameter
/// `lastEventId`; and the address of the other end, if the application is served with
/// [`into_make_service_with_connect_info`](axum::Router::into_make_service_with_connect_info).
///
/// The extractor never rejects: a bad id is answered in the stream, by a reset.
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
    /// The address of the other end, where the server tells.
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
        let remote_addr = parts.extensions.get().map(|ConnectInfo(addr)| *addr);
        let resume = Resume::from_request(ids, parts.uri.query()).with_remote_addr(remote_addr);
        Ok(Self(resume))
    }
}
