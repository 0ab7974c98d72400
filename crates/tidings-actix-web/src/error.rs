use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use tidings::error;
use tidings::response::ErrorResponse;

/// An error of Tidings as a response, for handlers that end with `?`.
///
/// It is made from the errors of subscribing, publishing and making events:
///
/// ```
/// use actix_web::web::Data;
/// use tidings_actix_web::{Event, Hub};
/// use tidings_actix_web::{Error, Sse, SseRequest};
///
/// async fn events(hub: Data<Hub>, request: SseRequest) -> Result<Sse, Error> {
///     Ok(request.subscribe(&hub, "news").open()?.into())
/// }
///
/// async fn publish(hub: Data<Hub>, headline: String) -> Result<String, Error> {
///     let published = hub.publish("news", Event::named("headline", headline)?).await?;
///     Ok(published.id().to_string())
/// }
/// ```
///
/// The response is that of [`tidings::error::Error::response`], which lists the statuses. Its text is plain or
/// `application/problem+json`, as the request's `Accept` prefers, where the error comes from a subscription of an
/// [`SseRequest`](crate::SseRequest) or was made by [`SseRequest::error`](crate::SseRequest::error); otherwise plain.
///
/// A handler that has other errors, too, returns [`actix_web::Result`], and makes this one first:
///
/// ```
/// use actix_web::{error::ErrorNotFound, web};
/// use tidings_actix_web::{Error, Hub, Sse, SseRequest};
///
/// async fn room(hub: web::Data<Hub>, room: web::Path<u64>, request: SseRequest) -> actix_web::Result<Sse> {
///     let topic = (*room < 10).then(|| format!("room:{room}")).ok_or_else(|| ErrorNotFound("no such room"))?;
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

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.response().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let ErrorResponse { headers, body, .. } = self.0.response();
        let mut response = HttpResponse::build(self.status_code());
        for header in headers {
            response.insert_header(*header);
        }
        response.body(body)
    }
}
