use std::fmt::Debug;

use actix_http::{Request, Response};
use actix_service::IntoServiceFactory;
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use tidings::Hub;
use tidings_actix::Server;
use tidings_net::IntoListener;

/// Serves an application of actix-web, with a server for event streams.
///
/// `app` makes the application, as for [`HttpServer::new`](actix_web::HttpServer::new): once for each
/// [worker](tidings_net::Serve::workers). The listener is one of `std`, as for
/// [`HttpServer::listen`](actix_web::HttpServer::listen), or of tokio, for TCP or Unix sockets, or any
/// [`Listener`](tidings_net::Listener). Clients speak HTTP/1, with the feature
/// `http2` also HTTP/2, and with `tls` over TLS.
///
/// It is actix-web's HTTP on Tidings' connections, and adds to `HttpServer`:
///
/// - [`Limits`](tidings_net::Limits) in time and number, from when a connection is accepted;
/// - streams that end as soon as their clients close;
/// - a graceful shutdown that ends the hub's streams and has a time limit.
///
/// What `HttpServer` sets for its connections (`keep_alive`, `client_request_timeout`,
/// `max_connections` and others) is in the limits. Its `client_disconnect_timeout` is a second here: so
/// long, a client that was answered may send what was not read of its request's body.
///
/// ```no_run
/// use actix_web::App;
/// use tidings_actix_web::Hub;
///
/// # async fn example(hub: Hub) -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:3000")?;
/// tidings_actix_web::serve(listener, App::new, &hub).await
/// # }
/// ```
pub fn serve<L, F, I, S, B>(listener: L, app: F, hub: &Hub) -> Serve<L>
where
    L: IntoListener,
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    tidings_net::Serve::new(Server::new(listener, app), hub)
}

/// A server that is being set up: see [`serve`]. It runs when it is awaited.
pub type Serve<L = std::net::TcpListener> = tidings_net::Serve<Server<L>>;
