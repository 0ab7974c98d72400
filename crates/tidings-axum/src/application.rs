use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::IntoResponse;
use tidings_hyper::{App, RequestBody};
use tidings_net::Peer;
use tokio::sync::Mutex;
use tower_service::Service;

use crate::request::Client;

/// What [`serve`](crate::serve()) serves: any service of requests, or a make-service.
///
/// - A service of requests is a `Router`, a `MethodRouter`, a handler's service, or what a layer such as
///   `NormalizePath` makes of them. Its requests have the client's address as [`ConnectInfo`], if they come over TCP: from a
///   listener whose connections are `TcpStream`s, or whose addresses are `SocketAddr`s.
/// - A make-service makes such a service for each connection, at its first request: it is `into_make_service()` or
///   `into_make_service_with_connect_info::<C>()` of these. It gets the other end's address: `C` must be
///   [`Connected<L::Addr>`](axum::extract::connect_info::Connected), because only axum's own server can make an
///   `IncomingStream`. For TCP, `SocketAddr` is that already.
///
/// `Kind` says which of the two it is. The compiler finds it.
pub trait Application<Addr, Kind>: sealed::IntoApp<Addr, Kind> {}

impl<T: sealed::IntoApp<Addr, Kind>, Addr, Kind> Application<Addr, Kind> for T {}

/// A service of requests is one kind of [`Application`].
#[derive(Debug)]
pub struct OfRequests(());

/// A make-service is another, with the service that it makes.
#[derive(Debug)]
pub struct OfConnections<S>(S);

mod sealed {
    use super::{App, Body};

    pub trait IntoApp<Addr, Kind> {
        fn into_app(self) -> impl App<Addr, Body>;
    }
}

impl<S, Addr> sealed::IntoApp<Addr, OfRequests> for S
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    fn into_app(self) -> impl App<Addr, Body> {
        move |request: axum::http::Request<RequestBody>, peer: Peer<Addr>| {
            answer(self.clone(), request_of(request, &peer))
        }
    }
}

impl<M, S, Addr> sealed::IntoApp<Addr, OfConnections<S>> for M
where
    M: Service<Addr, Response = S, Error = Infallible> + Send + 'static,
    M::Future: Send,
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    Addr: Send + 'static,
{
    fn into_app(self) -> impl App<Addr, Body> {
        let make = Arc::new(Mutex::new(self));
        // Each connection has a clone of the function, and its own service from its first request on.
        let mut service: Option<Arc<Mutex<Option<S>>>> = None;
        move |request: axum::http::Request<RequestBody>, peer: Peer<Addr>| {
            let request = request_of(request, &peer);
            let make = make.clone();
            let service = service.get_or_insert_default().clone();
            async move {
                // Not locked while it answers: HTTP/2 has several requests at a time.
                let service = {
                    let mut service = service.lock().await;
                    match &*service {
                        Some(service) => service.clone(),
                        None => service.insert(made(&make, peer.addr).await?).clone(),
                    }
                };
                answer(service, request).await
            }
        }
    }
}

async fn made<M: Service<Addr>, Addr>(
    make: &Mutex<M>,
    addr: Addr,
) -> Result<M::Response, M::Error> {
    let making = {
        let mut make = make.lock().await;
        poll_fn(|cx| make.poll_ready(cx)).await?;
        make.call(addr)
    };
    making.await
}

async fn answer<S>(mut service: S, request: Request) -> Result<axum::response::Response, Infallible>
where
    S: Service<Request, Error = Infallible>,
    S::Response: IntoResponse,
{
    poll_fn(|cx| service.poll_ready(cx)).await?;
    Ok(service.call(request).await?.into_response())
}

/// axum's request, which knows the client's address.
fn request_of<Addr>(request: axum::http::Request<RequestBody>, peer: &Peer<Addr>) -> Request {
    let mut request = request.map(Body::new);
    if let Some(client) = peer.client {
        request.extensions_mut().insert(ConnectInfo(client));
        request.extensions_mut().insert(Client(client));
    }
    request
}
