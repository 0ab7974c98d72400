//! The files of the page, in the binary.

use crate::answer::Response;

/// A file with its name and `Content-Type`.
struct Asset(&'static str, &'static str, &'static str);

const ASSETS: [Asset; 5] = [
    Asset("console.css", "text/css; charset=utf-8", include_str!("../assets/console.css")),
    Asset("console.js", "text/javascript; charset=utf-8", include_str!("../assets/console.js")),
    Asset("chart.js", "text/javascript; charset=utf-8", include_str!("../assets/chart.js")),
    Asset("tail.js", "text/javascript; charset=utf-8", include_str!("../assets/tail.js")),
    Asset("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];

/// One of the files that the page loads.
pub(crate) fn file(name: &str) -> Option<Response> {
    let Asset(_, content_type, text) =
        ASSETS.into_iter().find(|Asset(known, ..)| *known == name)?;
    Some(Response::file(content_type, text))
}

/// The page, for a console at this path.
pub(crate) fn page(path: &str) -> Response {
    // The path has no character that would have to be escaped.
    let html = include_str!("../assets/index.html").replace("{path}", path);
    Response::file("text/html; charset=utf-8", html)
}
