//! HTTP as plain text, for adapters: every framework has its own types for it.

use std::fmt::Write as _;

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
pub const HEADERS: &[(&str, &str)] = &[
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache, no-transform"),
    ("x-accel-buffering", "no"),
    ("x-content-type-options", "nosniff"),
];

/// The request header in which a client says where it left off.
pub const LAST_EVENT_ID: &str = "last-event-id";

/// In which form a client is told an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ErrorFormat {
    /// One line of plain text.
    #[default]
    Text,
    /// `application/problem+json` (RFC 9457).
    Problem,
}

impl ErrorFormat {
    /// The form that the `Accept` headers of a request prefer: [`Problem`](Self::Problem) if one of
    /// `application/problem+json` and `application/json` is preferred to `text/plain`, otherwise [`Text`](Self::Text), as
    /// for a client that accepts everything, or only `text/event-stream`.
    ///
    /// ```
    /// use tidings::response::ErrorFormat;
    ///
    /// let of = |accept: &str| ErrorFormat::from_accept([accept.as_bytes()]);
    /// assert_eq!(of("application/json"), ErrorFormat::Problem);
    /// assert_eq!(of("text/plain;q=0.5, application/problem+json"), ErrorFormat::Problem);
    /// assert_eq!(of("text/event-stream"), ErrorFormat::Text);
    /// assert_eq!(of("*/*"), ErrorFormat::Text);
    /// ```
    #[must_use]
    pub fn from_accept<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut preferences = Preferences::default();
        for header in headers {
            // What is not text is not a media range.
            let ranges = std::str::from_utf8(header).unwrap_or_default().split(',');
            ranges.for_each(|range| preferences.add(range));
        }
        let Preferences { text, json, problem, .. } = preferences;
        match json.1.max(problem.1) > text.1 {
            true => Self::Problem,
            false => Self::Text,
        }
    }
}

/// For each media type, how specific the range is that decides, and its quality in thousandths.
#[derive(Debug, Default)]
struct Preferences {
    text: (u8, u16),
    json: (u8, u16),
    problem: (u8, u16),
}

impl Preferences {
    fn add(&mut self, range: &str) {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let quality = quality.map_or(Some(1.0), |q| q.trim().parse::<f32>().ok());
        let Some(quality) = quality.filter(|quality| (0.0..=1.0).contains(quality)) else {
            return;
        };
        let found = |specific| (specific, (quality * 1000.0) as u16);
        let all = match &*range {
            "*/*" => [Some(1), Some(1), Some(1)],
            "text/*" => [Some(2), None, None],
            "application/*" => [None, Some(2), Some(2)],
            "text/plain" => [Some(3), None, None],
            "application/json" => [None, Some(3), None],
            "application/problem+json" => [None, None, Some(3)],
            _ => return,
        };
        for (known, specific) in
            [&mut self.text, &mut self.json, &mut self.problem].into_iter().zip(all)
        {
            // The most specific range decides (RFC 9110, section 12.5.1).
            if specific.is_some_and(|specific| specific > known.0) {
                *known = found(specific.unwrap_or_default());
            }
        }
    }
}

/// An [error](crate::error::Error) as a response, for adapters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// All headers that it needs, except those about its length.
    pub headers: &'static [(&'static str, &'static str)],
    /// The text.
    pub body: String,
}

impl ErrorResponse {
    const TEXT: &[(&str, &str)] = &[
        ("content-type", "text/plain; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ];

    const PROBLEM: &[(&str, &str)] = &[
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ];

    const EMPTY: &[(&str, &str)] = &[("cache-control", "no-store")];

    /// Without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Self::EMPTY, body: String::new() }
    }

    pub(crate) fn new(status: u16, detail: &str, format: ErrorFormat) -> Self {
        match format {
            ErrorFormat::Text => Self { status, headers: Self::TEXT, body: detail.to_owned() },
            ErrorFormat::Problem => {
                // Without a `type`, the title is that of the status (RFC 9457, section 4.2.1).
                let title = title(status);
                let mut body = format!(r#"{{"title":"{title}","status":{status},"detail":"#);
                // A string is always written.
                let _ = write!(body, "{}}}", serde_json::Value::from(detail));
                Self { status, headers: Self::PROBLEM, body }
            }
        }
    }
}

fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        409 => "Conflict",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_form_follows_from_accept() {
        use ErrorFormat::{Problem, Text};

        for (accept, expected) in [
            ("", Text),
            ("*/*", Text),
            ("text/event-stream", Text),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Text),
            ("application/json, text/plain, */*", Text),
            ("application/json", Problem),
            ("APPLICATION/JSON", Problem),
            ("application/problem+json, */*;q=0.1", Problem),
            ("application/problem+json;q=0.2, text/plain;q=0.3", Text),
            ("text/event-stream, application/*;q=0.5", Problem),
            ("application/json;q=0, */*", Text),
            ("application/json;q=2, application/json;q=x", Text),
            ("*/*, text/plain;q=0.5", Problem),
        ] {
            assert_eq!(ErrorFormat::from_accept([accept.as_bytes()]), expected, "{accept}");
        }
        let several: [&[u8]; 3] = [b"\xff", b"text/plain;q=0.1", b"application/json"];
        assert_eq!(ErrorFormat::from_accept(several), Problem);
    }

    #[test]
    fn a_problem_is_json_whatever_the_detail_is() {
        let response = ErrorResponse::new(400, "a \"quote\"\n", ErrorFormat::Problem);
        let body: serde_json::Value = serde_json::from_str(&response.body).unwrap();
        let expected =
            serde_json::json!({ "title": "Bad Request", "status": 400, "detail": "a \"quote\"\n" });
        assert_eq!(body, expected);
    }
}
