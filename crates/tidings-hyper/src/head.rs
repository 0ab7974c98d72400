//! The head of a response, as hyper would write it.

use std::time::SystemTime;

use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body::Body;

/// How a response is framed, by its request: RFC 9112, sections 6 and 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// If not, the end of the connection is the end of the body: HTTP/1.0.
    pub(crate) chunked: bool,
    /// Whether the connection goes on after the response.
    pub(crate) keep_alive: bool,
}

impl Framing {
    /// `None` where the direct transport does not apply: the response has no body, the protocol is
    /// not HTTP/1, or the request has a body, which may not have been read to its end.
    pub(crate) fn of<B: Body>(request: &Request<B>) -> Option<Self> {
        let has_response_body = !matches!(*request.method(), Method::HEAD | Method::CONNECT);
        let switches = request.headers().contains_key(UPGRADE);
        if !has_response_body || switches || !request.body().is_end_stream() {
            return None;
        }
        match request.version() {
            Version::HTTP_11 => {
                Some(Self { chunked: true, keep_alive: !asks_to_close(request.headers()) })
            }
            Version::HTTP_10 => Some(Self { chunked: false, keep_alive: false }),
            _ => None,
        }
    }
}

fn asks_to_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("close"))
}

/// Whether the direct transport may write this head: it leaves the framing to the server.
pub(crate) fn is_plain(head: &Parts) -> bool {
    head.status == StatusCode::OK
        && ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE]
            .iter()
            .any(|name| head.headers.contains_key(name))
}

/// The bytes of the head, with the empty line at its end.
pub(crate) fn write(head: &Parts, framing: Framing) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(match framing.chunked {
        true => b"HTTP/1.1 200 OK\r\n",
        false => b"HTTP/1.0 200 OK\r\n",
    });
    for (name, value) in &head.headers {
        field(name.as_str(), value.as_bytes(), &mut out);
    }
    if framing.chunked {
        field("transfer-encoding", b"chunked", &mut out);
        if !framing.keep_alive {
            field("connection", b"close", &mut out);
        }
    }
    if !head.headers.contains_key(DATE) {
        field("date", httpdate::fmt_http_date(SystemTime::now()).as_bytes(), &mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
