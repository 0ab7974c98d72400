//! The application, as a connection sees it.

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::body::{self, BodySize, BoxBody, EitherBody, MessageBody};
use actix_http::error::PayloadError;
use actix_http::{Method, Payload, Request, Response, StatusCode, Version};
use actix_service::Service;
use actix_web::HttpResponse;
use actix_web::http::header::X_FORWARDED_FOR;
use actix_web::web::Bytes;
use futures_core::Stream;
use tidings_net::{Activity, AddressPermit, Answering, Connections, ReadingBody};
use tokio::time::{Sleep, sleep};

use crate::workers::Local;

/// A service that tells the connection of each request what is done with it, and limits the time in
/// which a request's body must make progress.
pub(crate) struct Watched<S, B> {
    service: Rc<S>,
    connections: Connections,
    body: PhantomData<fn() -> B>,
}

impl<S, B> Watched<S, B> {
    pub(crate) fn new(service: S, connections: &Connections) -> Self {
        Self { service: Rc::new(service), connections: connections.clone(), body: PhantomData }
    }
}

impl<S, B> Clone for Watched<S, B> {
    fn clone(&self) -> Self {
        let Self { service, connections, body } = self;
        Self { service: service.clone(), connections: connections.clone(), body: *body }
    }
}

impl<S, B> Watched<S, B>
where
    S: Service<Request, Error = HttpResponse>,
    S::Response: Into<Response<B>>,
    S::Future: 'static,
    B: 'static,
{
    /// Answers a request of the connection with this activity.
    pub(crate) fn answer(
        &self,
        mut request: Request,
        activity: &Activity,
    ) -> impl Future<Output = Response<Answer<B>>> + 'static + use<S, B> {
        let answering = activity.answer();
        let limits = self.connections.limits();
        // Also of a request that is refused: what is not read of it may be in the way.
        if !matches!(request.payload(), Payload::None) {
            let payload = Box::pin(RequestBody {
                payload: request.take_payload(),
                reading: Some(activity.read_body()),
                timeout: limits.body_timeout_value(),
                activity: activity.clone(),
                timer: None,
            });
            *request.payload() = Payload::Stream { payload };
        }
        let values = request.head().headers.get_all(X_FORWARDED_FOR).map(|value| value.as_bytes());
        let client = limits.forwarded(activity, values.collect::<Vec<_>>().into_iter());
        let admitted = client.map_or(Ok(None), |client| self.connections.admit_address(client));
        if let Some(client) = client {
            request.head_mut().peer_addr = Some(SocketAddr::new(client, 0));
        }
        let is_connect = request.method() == Method::CONNECT;
        // There, only a stream would be another protocol's.
        let is_http2 = request.version() == Version::HTTP_2;
        let activity = activity.clone();
        let called = admitted.map(|address| (self.service.call(request), address));
        async move {
            let (answer, address) = match called {
                Ok((answer, address)) => (answer.await, address),
                Err(_) => (Err(HttpResponse::TooManyRequests().finish()), None),
            };
            let response = match answer {
                Ok(response) => {
                    let response: Response<B> = response.into();
                    response.map_body(|_, body| EitherBody::left(body))
                }
                Err(error) => {
                    let response: Response<BoxBody> = error.into();
                    response.map_body(|_, body| EitherBody::right(body))
                }
            };
            let status = response.status();
            let is_upgraded =
                status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && status.is_success());
            let response = if is_upgraded && !is_http2 {
                activity.upgrade();
                response
            } else if status.is_informational() {
                // Nothing would follow it.
                Response::internal_server_error().map_body(|_, body| EitherBody::right(body))
            } else if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
                // actix-http would send it.
                response.map_body(|_, _| EitherBody::right(BoxBody::new(body::None::new())))
            } else {
                response
            };
            response.map_body(|_, body| Answer { body, _open: (answering, address) })
        }
    }
}

impl<S, B> Service<Request> for Watched<S, B>
where
    S: Service<Request, Error = HttpResponse>,
    S::Response: Into<Response<B>>,
    S::Future: 'static,
    B: 'static,
{
    type Response = Response<Answer<B>>;
    type Error = HttpResponse;
    type Future = Local<Result<Response<Answer<B>>, HttpResponse>>;

    actix_service::forward_ready!(service);

    fn call(&self, request: Request) -> Self::Future {
        let activity = request.conn_data::<Activity>().cloned().unwrap_or_default();
        let answer = self.answer(request, &activity);
        Box::pin(async move { Ok(answer.await) })
    }
}

pin_project_lite::pin_project! {
    /// The body of a response, while which its request is being answered.
    pub(crate) struct Answer<B> {
        // The application's, or that of an error.
        #[pin]
        body: EitherBody<B>,
        // An address counts for its client.
        _open: (Answering, Option<AddressPermit>),
    }
}

impl<B: MessageBody + 'static> MessageBody for Answer<B> {
    type Error = actix_http::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().body.poll_next(cx)
    }
}

/// The body of a request, which fails when it brings no bytes for too long.
struct RequestBody {
    payload: Payload,
    reading: Option<ReadingBody>,
    timeout: Option<Duration>,
    activity: Activity,
    /// Exists while it is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(item) = Pin::new(&mut this.payload).poll_next(cx) {
            this.timer = None;
            match &item {
                Some(Ok(_)) => {}
                Some(Err(_)) => drop(this.reading.take()),
                None => this.reading.take().into_iter().for_each(ReadingBody::finish),
            }
            return Poll::Ready(item);
        }
        // What has become another protocol, such as WebSocket, may be silent.
        let Some(timeout) = this.timeout.filter(|_| !this.activity.is_upgraded()) else {
            return Poll::Pending;
        };
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        timer.as_mut().poll(cx).map(|()| {
            this.reading = None;
            let text = format!("request's body has brought no bytes for {timeout:?}");
            Some(Err(PayloadError::Io(io::Error::new(io::ErrorKind::TimedOut, text))))
        })
    }
}
