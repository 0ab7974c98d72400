//! On axum.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

/// The files of all pages.
pub fn files<S: Clone + Send + Sync + 'static>() -> Router<S> {
    super::FILES.into_iter().fold(Router::new(), |router, (path, content_type, text)| {
        router.route(path, get(([(CONTENT_TYPE, content_type)], text)))
    })
}
