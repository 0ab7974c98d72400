use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tidings::Hub;
use tidings_hyper::{RequestBody, Server};
use tidings_net::{Listener, Peer};
use tower_service::Service;
use warp::http::header::CONTENT_TYPE;
use warp::http::{Method, Request};
use warp::reply::Response;
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
/// - responses to HEAD that end at once, where over HTTP/2 warp would send the stream;
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
    let filter = filter.boxed().map(R::into_response).boxed();
    let mut service = warp::service(warp::method().and(filter).map(without_body).boxed());
    let app = move |mut request: Request<RequestBody>, peer: Peer<L::Addr>| {
        if let Some(client) = peer.client {
            request.extensions_mut().insert(Client(client));
        }
        service.call(request)
    };
    Serve::new(Server::new(listener, app), hub)
}

/// Removes the stream from a response to HEAD, whose body warp would send over HTTP/2.
fn without_body(method: Method, mut response: Response) -> Response {
    let content_type = response.headers().get(CONTENT_TYPE);
    let is_stream =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    if method == Method::HEAD && is_stream {
        let nothing = warp::reply::stream(Nothing).into_response();
        *response.body_mut() = nothing.into_body();
    }
    response
}

/// A body of unknown length, so that the headers are the same as for GET.
struct Nothing;

impl Stream for Nothing {
    type Item = Result<Vec<u8>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}

/// A server that is being set up: see [`serve`]. It runs when it is awaited.
pub type Serve<L = tokio::net::TcpListener> = tidings_net::Serve<Server<L>>;
