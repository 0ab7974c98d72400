//! The looks of the small examples' pages, which they serve as `/page.css`.

/// The style sheet: light or dark, as the browser prefers.
pub const CSS: &str = include_str!("page.css");

/// Its `Content-Type`.
pub const CONTENT_TYPE: &str = "text/css; charset=utf-8";

/// Text within HTML, in an element or in an attribute with double quotes.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
