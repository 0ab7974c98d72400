//! The direct transport of Tidings: a server for hyper's requests whose event streams cost no task,
//! no buffer and no body.
//!
//! Applications use it through `tidings-axum` and `tidings-warp`, whose `serve` is this one. It
//! serves any application that answers hyper's requests:
//!
//! ```no_run
//! use std::convert::Infallible;
//! use std::net::SocketAddr;
//!
//! use http::{Request, Response};
//! use hyper::body::Incoming;
//! use tidings::Hub;
//! use tidings::response::HEADERS;
//! use tidings_hyper::{SubscriptionBody, serve};
//! use tidings_net::{SocketSettings, Transport};
//!
//! # async fn example(hub: Hub) -> std::io::Result<()> {
//! let app = move |_request: Request<Incoming>, _peer: SocketAddr| {
//!     let subscription = hub.subscribe(["news"]).open().expect("a topic");
//!     let body = SubscriptionBody::new(subscription);
//!     let claim = body.claim();
//!     let mut response = Response::new(body);
//!     for (name, value) in HEADERS {
//!         response.headers_mut().insert(name, value.parse().expect("a header's value"));
//!     }
//!     if let Some(claim) = claim {
//!         response.extensions_mut().insert(claim);
//!     }
//!     async { Ok::<_, Infallible>(response) }
//! };
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! let sockets = SocketSettings::default();
//! serve(listener, app, sockets, Transport::Auto, std::future::pending()).await
//! # }
//! ```
//!
//! # How
//!
//! A request is hyper's, and goes through the application and all its layers as ever. When the
//! response that comes out is a subscription to a hub, and nothing but its bytes would be sent, the
//! connection is taken back from hyper: the head is written, and the socket joins those of a
//! *writer*, a thread that serves thousands. Streams of the same topics that have got everything
//! are a [`Cohort`](tidings::Cohort) there: an event is read and framed once, and written to each
//! socket. What is left of a connection in memory is its socket, its cursor, and its place in the
//! registry: some 500 bytes, to which the allocator adds.
//!
//! Everything else goes as it always does, by itself: HTTP/2, upgrades such as WebSockets, HEAD,
//! requests with a body, responses that are no subscriptions or whose body a layer changes. What
//! a layer keeps in the body is dropped when the stream ends, as it would be. But a layer that
//! looks at the *frames* of a body without changing them (tracing's `on_body_chunk`, a limit on
//! the time between frames) sees none: the body is not polled.
//!
//! # With what
//!
//! - hyper for HTTP: it parses requests, and `into_parts` gives the connection back, with what was
//!   read too early.
//! - mio for the sockets of a writer. tokio, which stands on it, has a task and some hundred bytes
//!   of its own for each; here the list of members is all that is needed.
//! - tokio for everything before: accepting, hyper, the application. A snapshot that an application
//!   makes for a client that is reset runs on the writer, with tokio's timers and sockets at hand;
//!   it should not block.
//!
//! There is a writer for every two processors. A socket that takes nothing waits, and delays
//! nobody; after [`SocketSettings::write_timeout`](tidings_net::SocketSettings::write_timeout) its
//! connection is ended. One that its client closes is noticed at once. A stream that ends while
//! the server goes on gives its connection back to hyper, for the client's next request.

mod chunk;
mod claim;
mod connection;
mod handoff;
mod head;
mod inbox;
mod io;
mod server;
mod writer;
mod writers;

pub use claim::{Claim, SubscriptionBody};
pub use connection::App;
pub use server::serve;
