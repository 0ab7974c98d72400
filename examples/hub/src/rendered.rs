//! `GET /rendered`: a page that shows what was published, and goes on with the stream. Nothing is missing between the two,
//! and nothing comes twice.

use std::fmt::Write;

use tidings::{EventHistory, Hub};

use crate::query;
use crate::refusal::Refusal;

/// The `Content-Type` of [`render`].
pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";

/// The page, to be served with [`HEADERS`](crate::page::HEADERS). Its script is one of the
/// [`ASSETS`](crate::page::ASSETS): it reads from the list where to open the stream, and what to listen to.
///
/// # Errors
///
/// As those of [`history::read`](crate::history::read).
pub async fn render(hub: &Hub, query: Option<&str>) -> Result<String, Refusal> {
    let history = query::History::parse(query)?;
    let names = query::listened_to(query);
    let stream = history.stream();
    let EventHistory { events, position, .. } = history.read(hub).await?;
    let mut html = String::from(
        r#"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Rendered, and live</title>
  <link rel="icon" href="/icon.svg" type="image/svg+xml">
  <script type="module" src="/rendered.js"></script>
</head>
<body>
"#,
    );
    let stream = escaped(&format!("/events?{stream}&lastEventId={position}"));
    let listened_to = escaped(&names.join("\n"));
    // A string is always written.
    let _ = writeln!(html, r#"<ol id="events" data-stream="{stream}" data-names="{listened_to}">"#);
    // What the page does not listen to would be shown now and not later.
    for event in events.iter().filter(|event| names.iter().any(|name| name == event.event())) {
        let _ = writeln!(html, "<li>{}</li>", escaped(event.data()));
    }
    html.push_str("</ol>\n</body>\n</html>\n");
    Ok(html)
}

/// Text for an element's content, or for an attribute's value in double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("<i a=\"b\">&amp;é"), "&lt;i a=&quot;b&quot;>&amp;amp;é");
    }
}
