use std::borrow::Cow;

use serde_json::json;
use tidings::Subscription;
use tidings::error::SubscribeError;

/// How the console answers a request.
#[derive(Debug)]
#[must_use = "an answer is sent by the server"]
pub enum Answer {
    /// A whole response.
    Response(Response),
    /// A stream, for the adapter's `Sse`.
    Stream(Subscription),
}

/// A response that is not a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// All headers that it needs, except those about its length. Names are in lower case.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; empty if it has none.
    pub body: Cow<'static, str>,
}

/// Headers of every response that is not a stream.
const HEADERS: [(&str, &str); 5] = [
    // Scripts, styles and requests of the console itself, and nothing else: no inline scripts, no frames, no forms that are
    // sent without the script.
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

impl Response {
    fn new(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        let headers = HEADERS.map(|(name, value)| (name, Cow::Borrowed(value))).to_vec();
        Self { status, headers, body: body.into() }
    }

    pub(crate) fn file(content_type: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(200, text).with_header("content-type", content_type)
    }

    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::new(200, value.to_string()).with_header("content-type", "application/json")
    }

    pub(crate) fn no_content() -> Self {
        Self::new(204, "")
    }

    pub(crate) fn refusal(status: u16, reason: &str) -> Self {
        let body = json!({ "error": reason }).to_string();
        Self::new(status, body).with_header("content-type", "application/json")
    }

    pub(crate) fn with_header(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl From<SubscribeError> for Answer {
    fn from(error: SubscribeError) -> Self {
        let response = tidings::error::Error::from(error).response();
        match response.status {
            // All that is to be read was read.
            204 => Response::no_content().into(),
            status => Response::refusal(status, &response.body).into(),
        }
    }
}
