use std::convert::Infallible;
use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::ACCEPT;
use actix_web::{FromRequest, HttpRequest};
use tidings::Resume;
use tidings::response::LAST_EVENT_ID;

use crate::error::Error;

/// Where a request's client left off, and its address: a [`Resume`] that subscribes the client.
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
///     request.subscribe(&hub, "news").history(History::Last(10)).into()
/// }
/// ```
///
/// A stream without a hub has ids of its own, and goes on after the one that its client has. Text from a client is never
/// to be trusted:
///
/// ```
/// use futures_util::stream;
/// use tidings_actix_web::tidings::{Event, EventId};
/// use tidings_actix_web::{Sse, SseRequest};
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

impl FromRequest for SseRequest {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let ids = request.headers().get_all(LAST_EVENT_ID).map(|value| value.as_bytes());
        let resume = Resume::from_request(ids, request.uri().query());
        let accept = request.headers().get_all(ACCEPT).map(|value| value.as_bytes());
        let resume = resume.with_remote_addr(request.peer_addr());
        ready(Ok(Self(resume.with_accept(accept))))
    }
}
