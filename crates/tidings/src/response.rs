//! What an adapter needs of HTTP, as plain text: every framework has its own types for it.

/// The response headers of an event stream, beside the status 200.
///
/// - `content-type`: the media type of section 9.2.7 of the HTML standard; always UTF-8.
/// - `cache-control`: no cache may answer, and `no-transform` keeps intermediaries from
///   compressing, which would hold events back.
/// - `x-accel-buffering`: tells nginx, and others that follow it, not to buffer.
/// - `x-content-type-options`: a browser that is led to the URL shows text, not what it guesses.
///
/// There is no `content-length`, and no `connection`, which HTTP/2 forbids.
pub const HEADERS: [(&str, &str); 4] = [
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
    ("x-content-type-options", "nosniff"),
];

/// The request header in which a client says where it left off.
pub const LAST_EVENT_ID: &str = "last-event-id";
