//! What a test sends its requests to.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};

use crate::stream::ByteStream;

#[cfg(feature = "actix-web")]
mod actix_web;
#[cfg(feature = "axum")]
mod axum;
#[cfg(any(feature = "axum", feature = "warp"))]
mod body;
#[cfg(feature = "warp")]
mod warp;

/// An application of any of the frameworks, for what takes one without being generic. Cloning gives a handle.
///
/// [`TestClient::get`](crate::TestClient::get) takes an application of any framework, and also this.
///
/// ```
/// use tidings_test::{App, TestClient};
///
/// async fn assert_forbidden(app: &App<'_>, path: &str) {
///     assert_eq!(TestClient::get(app, path).connect().await.status_code(), 403);
/// }
/// # #[cfg(feature = "axum")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
///
/// let router = axum::Router::new().fallback(async || axum::http::StatusCode::FORBIDDEN);
/// assert_forbidden(&App::new(router), "/admin").await;
/// # }
/// # #[cfg(not(feature = "axum"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct App<'a>(Rc<dyn Service + 'a>);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<ByteStream>, String>> + 'a>>;

trait Service {
    fn call(&self, request: Request<Bytes>) -> Answer<'_>;
}

impl<'a> App<'a> {
    /// An application, by value or by reference.
    pub fn new<Framework>(app: impl IntoApp<'a, Framework>) -> Self {
        app.into_app()
    }

    pub(crate) async fn call(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<ByteStream>, String> {
        self.0.call(request).await
    }
}

/// An application, or a reference to one. `Framework` says of which framework, and is never written out.
///
/// - With the feature `axum`: a `Router` without a missing state, and any [`tower::Service`] that is `Clone` and takes a
///   request with axum's body. Its response may have any body.
/// - With the feature `actix-web`: the service that `actix_web::test::init_service` makes of an `App`, or any other service of
///   actix-web.
/// - With the feature `warp`: any filter whose result is a reply.
///
/// [`tower::Service`]: https://docs.rs/tower/latest/tower/trait.Service.html
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an application that a test can call",
    label = "not an application of a framework whose feature of tidings-test is on",
    note = "axum: a `Router` or `&Router`, after `with_state`, with the feature `axum`",
    note = "actix-web: `&app` for `let app = actix_web::test::init_service(…).await`, with the feature `actix-web`",
    note = "warp: a filter, with the feature `warp`"
)]
pub trait IntoApp<'a, Framework> {
    /// The application.
    fn into_app(self) -> App<'a>;
}

impl fmt::Debug for App<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("App")
    }
}

/// One that a test has made already, for functions that take any application.
impl<'a> IntoApp<'a, ()> for &App<'a> {
    fn into_app(self) -> App<'a> {
        self.clone()
    }
}
