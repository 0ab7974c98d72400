use std::fmt;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tidings::error;
use tidings::response::ErrorResponse;

/// An error of Tidings as a response, for handlers that end with `?`.
///
/// It is made from the errors of subscribing, publishing and making events:
///
/// ```
/// use axum::extract::State;
/// use tidings_axum::{Event, Hub};
/// use tidings_axum::{Error, Sse, SseRequest};
///
/// async fn events(State(hub): State<Hub>, request: SseRequest) -> Result<Sse, Error> {
///     Ok(request.subscribe(&hub, "news").open()?.into())
/// }
///
/// async fn publish(State(hub): State<Hub>, headline: String) -> Result<String, Error> {
///     let published = hub.publish("news", Event::named("headline", headline)?).await?;
///     Ok(published.id().to_string())
/// }
/// ```
///
/// The response is that of [`tidings::error::Error::response`], which lists the statuses. Its text is plain or
/// `application/problem+json`, as the request's `Accept` prefers, where the error comes from a subscription of an
/// [`SseRequest`](crate::SseRequest) or was made by [`SseRequest::error`](crate::SseRequest::error); otherwise plain.
///
/// A handler that has other errors, too, returns [`axum::response::Result`], and makes this one first:
///
/// ```
/// use axum::extract::{Path, State};
/// use axum::http::StatusCode;
/// use tidings_axum::{Error, Hub, Sse, SseRequest};
///
/// async fn room(State(hub): State<Hub>, Path(room): Path<u64>, request: SseRequest) -> axum::response::Result<Sse> {
///     let topic = (room < 10).then(|| format!("room:{room}")).ok_or(StatusCode::NOT_FOUND)?;
///     Ok(request.subscribe(&hub, topic).open().map_err(Error::from)?.into())
/// }
/// ```
#[derive(Debug)]
pub struct Error(error::Error);

impl<E: Into<error::Error>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let ErrorResponse { status, headers, body, .. } = self.0.response();
        let mut response = Response::new(body.into());
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for &(name, value) in headers {
            let name = HeaderName::from_static(name);
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
