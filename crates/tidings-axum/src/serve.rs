use tidings::Hub;
use tidings_hyper::Server;

use crate::application::Application;
use crate::listener::Listener;

/// Serves an application as axum's own server does, and its event streams by the direct transport.
///
/// The listener is any [`axum::serve::Listener`]: TCP, a Unix socket, or the application's own, whose `accept` must be
/// cancel-safe: it is dropped and called anew while the server waits, and awaits nothing once it has taken a connection. The
/// application is any [`Application`]: a router, another service, or a make-service.
///
/// It adds to [`axum::serve`](axum::serve()):
///
/// - the [`Limits`](tidings_net::Limits) on every connection;
/// - a shutdown at SIGTERM or Ctrl-C that ends the hub's streams, and has a time limit: see [`Serve`];
/// - with the feature `tls`, TLS;
/// - the client's address as [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo), for the registry and for
///   handlers;
/// - the direct transport of [`tidings_hyper`], by which a subscription costs about a kilobyte
///   and no task.
///
/// Requests go through the application and all its layers. hyper sends what the direct transport cannot
/// send, such as HTTP/2, TLS, Unix sockets, and bodies that a layer changes; and everything with
/// [`transport(Transport::Body)`](tidings_net::Serve::transport).
///
/// ```no_run
/// use axum::Router;
/// use tidings_axum::Hub;
///
/// # async fn example(hub: Hub, another: Hub) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// tidings_axum::serve(listener, Router::new(), &hub).hub(&another).await
/// # }
/// ```
pub fn serve<L, A, Kind>(listener: L, app: A, hub: &Hub) -> Serve<L>
where
    L: axum::serve::Listener,
    L::Addr: Clone + Sync + 'static,
    A: Application<L::Addr, Kind>,
{
    Serve::new(Server::new(Listener(listener), app.into_app()), hub)
}

/// A server that is being set up: see [`serve`]. It runs when it is awaited.
pub type Serve<L = tokio::net::TcpListener> = tidings_net::Serve<Server<Listener<L>>>;
