use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use super::body::BodyData;
use super::{Answer, App, IntoApp};

struct Tower<S>(S);

impl<S, B> super::Service for Tower<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error: fmt::Display> + Clone,
    B: http_body::Body<Error: fmt::Display> + 'static,
{
    fn call(&self, request: Request<Bytes>) -> Answer<'_> {
        // As servers do: a service is asked by whoever has readied it.
        let mut service = self.0.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(|error| error.to_string())?;
            let response = service.call(request.map(Body::from)).await;
            let response = response.map_err(|error| error.to_string())?;
            Ok(response.map(|body| Box::pin(BodyData::new(body)) as _))
        })
    }
}

/// A service by value.
#[derive(Debug)]
pub struct Owned;

impl<'a, S, B> IntoApp<'a, (Owned, B)> for S
where
    S: Service<Request<Body>, Response = Response<B>, Error: fmt::Display> + Clone + 'a,
    B: http_body::Body<Error: fmt::Display> + 'static,
{
    fn into_app(self) -> App<'a> {
        App(Rc::new(Tower(self)))
    }
}

/// A service by reference.
#[derive(Debug)]
pub struct Borrowed;

impl<'a, S, B> IntoApp<'a, (Borrowed, B)> for &S
where
    S: Service<Request<Body>, Response = Response<B>, Error: fmt::Display> + Clone + 'a,
    B: http_body::Body<Error: fmt::Display> + 'static,
{
    fn into_app(self) -> App<'a> {
        App(Rc::new(Tower(self.clone())))
    }
}
