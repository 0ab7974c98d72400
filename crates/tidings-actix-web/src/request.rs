use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use tidings::Resume;
use tidings::response::LAST_EVENT_ID;

/// Where a request's client left off, and its address. Pass it to
/// [`Subscribe::resume`](tidings::Subscribe::resume).
///
/// It reads the `Last-Event-ID` header or, without one, the query parameter `lastEventId`.
///
/// The extractor never rejects: the answer to a bad id is a reset in the stream.
///
/// ```
/// use actix_web::web::Data;
/// use tidings_actix_web::tidings::{History, Hub};
/// use tidings_actix_web::{Sse, SseRequest};
///
/// async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
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

impl FromRequest for SseRequest {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let ids = request.headers().get_all(LAST_EVENT_ID).map(|value| value.as_bytes());
        let resume = Resume::from_request(ids, request.uri().query());
        ready(Ok(Self(resume.with_remote_addr(request.peer_addr()))))
    }
}
