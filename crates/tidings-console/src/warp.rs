//! For warp, with the feature `warp`.

use std::future::ready;

use bytes::Bytes;
use tidings_warp::{Sse, SseRequest};
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use warp::path::FullPath;
use warp::reply::Response as HttpResponse;
use warp::{Filter, Reply};

use crate::{Answer, Console, Request, Response};

/// The routes of the console, for `or` after the application's: see [the crate](crate).
///
/// ```
/// use tidings_warp::Hub;
/// use tidings_console::Console;
/// use warp::Filter;
///
/// let hub = Hub::new();
/// let console = Console::new(&hub, "a long random token")?;
/// let app = warp::path("news").map(|| "…").or(tidings_console::warp::filter(console));
/// # let _ = app;
/// # Ok::<(), tidings_console::ConsoleError>(())
/// ```
pub fn filter(console: Console) -> BoxedFilter<(HttpResponse,)> {
    let own = console.clone();
    let path = warp::path::full().and_then(move |path: FullPath| {
        let is_own = own.part(path.as_str()).is_some();
        ready(if is_own { Ok(path) } else { Err(warp::reject::not_found()) })
    });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let limit = Request::MAX_BODY_BYTES as u64;
    // The filter of the length refuses a request that has none.
    let body = warp::body::content_length_limit(limit).and(warp::body::bytes());
    let body = body.or(warp::any().map(Bytes::new)).unify();
    path.and(warp::method())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(tidings_warp::request())
        .and(body)
        .then(
            move |path: FullPath,
                  method: Method,
                  query: String,
                  headers: HeaderMap,
                  sse: SseRequest,
                  body: Bytes| {
                let console = console.clone();
                async move {
                    let mut request =
                        Request::new(method.as_str(), path.as_str()).query(Some(&query));
                    for (name, value) in &headers {
                        request = request.header(name.as_str(), value.as_bytes());
                    }
                    match console.respond(request.body(&body).resume(sse.into())).await {
                        Answer::Response(response) => whole(response),
                        Answer::Stream(stream) => Sse::from(stream).into_response(),
                    }
                }
            },
        )
        .boxed()
}

fn whole(response: Response) -> HttpResponse {
    let mut whole = response.body.into_owned().into_response();
    // The console sets valid ones.
    *whole.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole.headers_mut().clear();
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            whole.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    whole
}
