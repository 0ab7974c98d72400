//! On warp.

use warp::http::header::CONTENT_TYPE;
use warp::reply::{WithHeader, with_header};
use warp::{Filter, Rejection};

/// The files of all pages.
pub fn files() -> impl Filter<Extract = (WithHeader<&'static str>,), Error = Rejection> + Clone {
    let [style, script] = super::FILES.map(|(path, content_type, text)| {
        warp::path(path.trim_start_matches('/'))
            .and(warp::path::end())
            .and(warp::get())
            .map(move || with_header(text, CONTENT_TYPE, content_type))
    });
    style.or(script).unify()
}
