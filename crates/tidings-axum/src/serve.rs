use std::io;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use tidings::Hub;
use tidings_hyper::RequestBody;
use tidings_net::{Graceful, Options, Peer, Server};
use tokio::net::TcpListener;
use tower_service::Service;

/// Serves an application as axum's own server does, and its event streams by the direct transport.
///
/// It adds to [`axum::serve`](axum::serve()):
///
/// - the [`Limits`](tidings_net::Limits) on every connection;
/// - a graceful shutdown that ends the hub's streams and has a time limit;
/// - the client's address as [`ConnectInfo<SocketAddr>`](ConnectInfo), for the registry and for
///   handlers;
/// - the direct transport of [`tidings_hyper`], by which a subscription costs less than a kilobyte
///   and no task.
///
/// Requests go through the router and all its layers. hyper sends what the direct transport cannot
/// send, such as HTTP/2 and bodies that a layer changes; and everything with
/// [`transport(Transport::Body)`](tidings_net::Serve::transport).
///
/// ```no_run
/// use axum::Router;
/// use tidings_axum::tidings::Hub;
///
/// # async fn example(app: Router, hub: Hub) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// tidings_axum::serve(listener, app, &hub)
///     .with_graceful_shutdown(async {
///         tokio::signal::ctrl_c().await.ok();
///     })
///     .await
/// # }
/// ```
pub fn serve(listener: TcpListener, app: Router, hub: &Hub) -> Serve {
    tidings_net::Serve::new(Axum { listener, app }, hub)
}

/// A server that is being set up: see [`serve`]. It runs when it is awaited.
pub type Serve = tidings_net::Serve<Axum>;

/// An application of axum on its listener, for [`Serve`].
#[derive(Debug)]
pub struct Axum {
    listener: TcpListener,
    app: Router,
}

impl Server for Axum {
    type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn run(self, options: Options, graceful: Graceful) -> Self::Running {
        let Self { listener, mut app } = self;
        let app = move |mut request: Request<RequestBody>, peer: Peer| {
            request.extensions_mut().insert(ConnectInfo(peer.client.unwrap_or(peer.addr)));
            app.call(request.map(Body::new))
        };
        let hubs = options.hubs.clone();
        let server = move |begun| tidings_hyper::serve(listener, app, options, begun);
        Box::pin(graceful.run(move || hubs.close(), server))
    }
}
