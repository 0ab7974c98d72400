use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::Request as ActixRequest;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::test::TestRequest;
use actix_web::{Error, HttpResponse};
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderName, HeaderValue, Request, Response};

use super::{Answer, App, IntoApp};
use crate::stream::ByteStream;

struct Actix<S>(S);

impl<S, B> super::Service for Actix<S>
where
    S: Service<ActixRequest, Response = ServiceResponse<B>, Error: Into<Error>>,
    B: MessageBody + 'static,
{
    fn call(&self, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(async move {
            match self.0.call(to_actix(request)?).await {
                Ok(response) => from_actix(response.into_parts().1),
                // As actix-web's server answers it.
                Err(error) => from_actix(error.into().error_response()),
            }
        })
    }
}

/// A service.
#[derive(Debug)]
pub struct ByService;

impl<'a, S, B> IntoApp<'a, (ByService, B)> for S
where
    S: Service<ActixRequest, Response = ServiceResponse<B>, Error: Into<Error>> + 'a,
    B: MessageBody + 'static,
{
    fn into_app(self) -> App<'a> {
        App(Rc::new(Actix(self)))
    }
}

// actix-web has its own types of HTTP, from an older version of the same crate.

fn to_actix(request: Request<Bytes>) -> Result<ActixRequest, String> {
    use actix_web::http::Method;
    use actix_web::http::header::{HeaderName, HeaderValue};

    let (head, body) = request.into_parts();
    let method = Method::from_bytes(head.method.as_str().as_bytes());
    let mut request = TestRequest::with_uri(&head.uri.to_string())
        .method(method.map_err(|error| error.to_string())?);
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        let name = name.map_err(|error| error.to_string())?;
        request = request.append_header((name, value.map_err(|error| error.to_string())?));
    }
    if !body.is_empty() {
        request = request.set_payload(body);
    }
    Ok(request.to_request())
}

fn from_actix<B: MessageBody + 'static>(
    response: HttpResponse<B>,
) -> Result<Response<ByteStream>, String> {
    let (head, body) = response.into_parts();
    let mut response = Response::builder().status(head.status().as_u16());
    for (name, value) in head.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        let name = name.map_err(|error| error.to_string())?;
        response = response.header(name, value.map_err(|error| error.to_string())?);
    }
    let body: ByteStream = Box::pin(Body(Box::pin(body)));
    response.body(body).map_err(|error| error.to_string())
}

struct Body<B>(Pin<Box<B>>);

impl<B: MessageBody> Stream for Body<B> {
    type Item = Result<Bytes, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.0.as_mut().poll_next(cx);
        next.map(|next| next.map(|bytes| bytes.map_err(|error| error.into().to_string())))
    }
}
