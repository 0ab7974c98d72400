use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;
use warp::filters::BoxedFilter;
use warp::{Filter, Rejection, Reply};

use super::body::BodyData;
use super::{Answer, App, IntoApp};

struct Warp(BoxedFilter<(warp::reply::Response,)>);

impl super::Service for Warp {
    fn call(&self, request: Request<Bytes>) -> Answer<'_> {
        let mut service = warp::service(self.0.clone());
        Box::pin(async move {
            let Ok::<Response<_>, Infallible>(response) =
                service.call(request.map(|bytes| Full(Some(bytes)))).await;
            Ok(response.map(|body| Box::pin(BodyData::new(body)) as _))
        })
    }
}

/// A filter by value.
#[derive(Debug)]
pub struct Owned;

impl<'a, F, R> IntoApp<'a, (Owned, R)> for F
where
    F: Filter<Extract = (R,), Error: Into<Rejection>> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    fn into_app(self) -> App<'a> {
        App(Rc::new(Warp(self.boxed().map(R::into_response).boxed())))
    }
}

/// A filter by reference.
#[derive(Debug)]
pub struct Borrowed;

impl<'a, F, R> IntoApp<'a, (Borrowed, R)> for &F
where
    F: Filter<Extract = (R,), Error: Into<Rejection>> + Clone + Send + Sync + 'static,
    R: Reply + 'static,
{
    fn into_app(self) -> App<'a> {
        self.clone().into_app()
    }
}

/// A body of bytes.
struct Full(Option<Bytes>);

impl Body for Full {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
