use http::Response;
use http::header::{HeaderName, HeaderValue};
use tidings::response::HEADERS;

use crate::claim::SubscriptionBody;

/// A response of server-sent events: 200, with the headers of [`tidings::response::HEADERS`].
pub fn stream_response<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    for &(name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl SubscriptionBody {
    /// The response of the subscription, with a mark by which the direct transport knows it.
    ///
    /// Layers may wrap the body. If one changes its bytes, the response is sent as that layer makes
    /// it.
    pub fn into_response(self) -> Response<Self> {
        let claim = self.claim();
        let mut response = stream_response(self);
        if let Some(claim) = claim {
            response.extensions_mut().insert(claim);
        }
        response
    }
}
