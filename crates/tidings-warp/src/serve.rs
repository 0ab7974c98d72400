use tidings::Hub;
use tidings_hyper::{RequestBody, Server};
use tidings_net::{Listener, Peer};
use tower_service::Service;
use warp::http::Request;
use warp::{Filter, Rejection, Reply};

use crate::request::Client;

/// Serves a filter as warp's own server does, and its event streams by the direct transport.
///
/// The listener is tokio's `TcpListener` or `UnixListener`, or any other [`Listener`].
///
/// It adds to [`warp::serve`](warp::serve()):
///
/// - the [`Limits`](tidings_net::Limits) on every connection;
/// - a shutdown at SIGTERM or Ctrl-C that ends the hub's streams, and has a time limit: see [`Serve`];
/// - with the feature `tls`, TLS;
/// - responses to HEAD that end at once, where over HTTP/2 warp would send the body;
/// - the direct transport of [`tidings_hyper`], by which a subscription costs about a kilobyte
///   and no task.
///
/// Requests go through all filters. hyper sends what the direct transport cannot send, such as HTTP/2,
/// TLS, Unix sockets, and bodies that a wrapper changes; and everything with
/// [`transport(Transport::Body)`](tidings_net::Serve::transport).
///
/// One thing is different: [`warp::addr::remote`] knows a client's address only under warp's own
/// server, and yields nothing here. Use [`remote_addr`](crate::remote_addr).
///
/// ```no_run
/// use tidings_warp::Hub;
/// use warp::Filter;
///
/// # async fn example(hub: Hub, another: Hub) -> std::io::Result<()> {
/// let routes = warp::path("hello").map(|| "world");
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// tidings_warp::serve(listener, routes, &hub).hub(&another).await
/// # }
/// ```
pub fn serve<L, F, R>(listener: L, filter: F, hub: &Hub) -> Serve<L>
where
    L: Listener,
    F: Filter<Extract = (R,)> + Clone + Send + Sync + 'static,
    F::Error: Into<Rejection>,
    R: Reply + 'static,
{
    let mut service = warp::service(filter.boxed());
    let app = move |mut request: Request<RequestBody>, peer: Peer<L::Addr>| {
        if let Some(client) = peer.client {
            request.extensions_mut().insert(Client(client));
        }
        service.call(request)
    };
    Serve::new(Server::new(listener, app), hub)
}

/// A server that is being set up: see [`serve`]. It runs when it is awaited.
pub type Serve<L = tokio::net::TcpListener> = tidings_net::Serve<Server<L>>;
