//! For axum, with the feature `axum`.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{OriginalUri, Request as HttpRequest, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response as HttpResponse};
use axum::routing::any;
use tidings_axum::{Sse, SseRequest};

use crate::{Answer, Console, Request, Response};

/// The routes of the console, to be merged with the application's: see [the crate](crate).
///
/// Merge it into the outermost router, not into one that is nested under a path: the console knows its whole path.
///
/// ```
/// use axum::Router;
/// use tidings_axum::Hub;
/// use tidings_console::Console;
///
/// let hub = Hub::new();
/// let console = Console::new(&hub, "a long random token")?;
/// let app: Router = Router::new().merge(tidings_console::axum::router(console));
/// # Ok::<(), tidings_console::ConsoleError>(())
/// ```
pub fn router<S: Clone + Send + Sync + 'static>(console: Console) -> Router<S> {
    let path = console.path();
    let paths = [path.to_owned(), format!("{path}/"), format!("{path}/{{*part}}")];
    let routes = paths.iter().fold(Router::new(), |router, path| router.route(path, any(respond)));
    routes.with_state(console)
}

async fn respond(
    State(console): State<Console>,
    OriginalUri(uri): OriginalUri,
    sse: SseRequest,
    request: HttpRequest,
) -> HttpResponse {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, Request::MAX_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut request = Request::new(parts.method.as_str(), uri.path()).query(uri.query());
    for (name, value) in &parts.headers {
        request = request.header(name.as_str(), value.as_bytes());
    }
    match console.respond(request.body(&body).resume(sse.into())).await {
        Answer::Response(response) => whole(response),
        Answer::Stream(stream) => Sse::from(stream).into_response(),
    }
}

fn whole(response: Response) -> HttpResponse {
    let mut whole = HttpResponse::new(Body::from(response.body.into_owned()));
    // The console sets valid ones.
    *whole.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            whole.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    whole
}
