//! HTTP as plain text, for adapters: every framework has its own types for it.

/// The response headers of an event stream, whose status is 200.
///
/// - `content-type`: the media type (HTML standard, 9.2.7); the text is always UTF-8, which clients that were not written
///   for event streams take for ISO-8859-1 unless they are told. It is the first, because Chromium and Firefox do not come
///   back when a connection ends before it has arrived.
/// - `cache-control`: no cache may answer, and `no-transform` keeps intermediaries from compressing, which would delay
///   events.
/// - `x-accel-buffering`: nginx, and proxies that follow it, do not buffer.
/// - `x-content-type-options`: a browser that opens the URL shows text, and does not guess another type.
///
/// There is no `content-length`, and no `connection`, which HTTP/2 forbids.
pub const HEADERS: [(&str, &str); 4] = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
    ("x-content-type-options", "nosniff"),
];

/// The request header in which a client says where it left off.
pub const LAST_EVENT_ID: &str = "last-event-id";
