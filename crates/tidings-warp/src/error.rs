use std::fmt;

use tidings::error;
use tidings::response::ErrorResponse;
use warp::http::{HeaderValue, StatusCode, header::HeaderName};
use warp::reject::{Reject, Rejection};
use warp::reply::{Reply, Response};

/// An error of Tidings as a response, for handlers that end with `?`.
///
/// It is made from the errors of subscribing, publishing and making events:
///
/// ```
/// use tidings_warp::Hub;
/// use tidings_warp::{Error, Sse, SseRequest};
/// use warp::Filter;
///
/// # let hub = Hub::new();
/// let events = tidings_warp::request()
///     .map(move |request: SseRequest| -> Result<Sse, Error> {
///         Ok(request.subscribe(&hub, "news").open()?.into())
///     });
/// ```
///
/// The response is that of [`tidings::error::Error::response`], which lists the statuses. Its text is plain or
/// `application/problem+json`, as the request's `Accept` prefers, where the error comes from a subscription of an
/// [`SseRequest`](crate::SseRequest) or was made by [`SseRequest::error`](crate::SseRequest::error); otherwise plain.
///
/// An async handler that ends with `?` goes into `then`, because a `Result` of two replies is a reply:
///
/// ```
/// use tidings_warp::{Error, Event, Hub};
/// use warp::Filter;
///
/// async fn publish(headline: String, hub: Hub) -> Result<String, Error> {
///     let published = hub.publish("news", Event::named("headline", headline)?).await?;
///     Ok(published.id().to_string())
/// }
///
/// # let hub = Hub::new();
/// let publish = warp::path!("publish" / String).and(warp::any().map(move || hub.clone())).then(publish);
/// ```
///
/// It is a rejection, too: `.map_err(warp::reject::custom)` in a filter with `and_then`, and [`recover`] makes the reply.
#[derive(Debug)]
pub struct Error(error::Error);

/// Answers rejections with an [`Error`], and passes all others on: for
/// [`Filter::recover`](warp::Filter::recover).
///
/// ```
/// use tidings_warp::{Event, Hub};
/// use tidings_warp::{Error, recover};
/// use warp::Filter;
///
/// # let hub = Hub::new();
/// let publish = warp::path!("publish" / String)
///     .and_then(move |text: String| {
///         let published = hub.publish("news", Event::new(text));
///         async move {
///             let published = published.await.map_err(|error| warp::reject::custom(Error::from(error)))?;
///             Ok::<_, warp::Rejection>(published.id().to_string())
///         }
///     })
///     .recover(recover);
/// ```
pub async fn recover(rejection: Rejection) -> Result<Response, Rejection> {
    rejection.find().map(Error::reply).ok_or(rejection)
}

impl Error {
    fn reply(&self) -> Response {
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

impl Reply for Error {
    fn into_response(self) -> Response {
        self.reply()
    }
}

impl Reject for Error {}
