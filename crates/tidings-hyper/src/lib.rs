//! The direct transport of Tidings: a server for hyper's requests whose event streams cost no task,
//! no buffer and no body.
//!
//! Applications use it through `serve` of `tidings-axum` and `tidings-warp`. It serves any application
//! that answers hyper's requests:
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use http::Request;
//! use tidings::Hub;
//! use tidings_hyper::{RequestBody, SubscriptionBody, serve};
//! use tidings_net::{Options, Peer};
//!
//! # async fn example(hub: Hub) -> std::io::Result<()> {
//! let app = move |_request: Request<RequestBody>, _peer: Peer| {
//!     let subscription = hub.subscribe(["news"]).open().expect("a topic");
//!     let response = SubscriptionBody::new(subscription).into_response();
//!     async { Ok::<_, Infallible>(response) }
//! };
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! serve(listener, app, Options::default(), std::future::pending()).await
//! # }
//! ```
//!
//! # How it works
//!
//! hyper reads each request, which goes through the application and all its layers. If the response
//! is a subscription to a hub, and nothing but the subscription's bytes would be sent, the server
//! takes the connection back from hyper, writes the head, and gives the socket to a *writer*: a
//! thread that serves thousands of streams. There, streams of the same topics that are caught up
//! form a [`Cohort`](tidings::transport::Cohort): an event is read and framed once, and written to each socket.
//! A connection then keeps only its socket, its cursor and its entry in the registry in memory:
//! about 500 bytes, without the allocator's overhead.
//!
//! hyper sends everything else: over TLS, Unix sockets and HTTP/2, upgrades such as WebSockets, responses to HEAD and
//! to requests with a body, and responses that are not subscriptions or whose body a layer changes.
//! What a layer keeps in the body is dropped when the stream ends, on the writer's thread, from which it may spawn a task
//! of tokio. But a layer that looks at the
//! *frames* of a body without changing them (tracing's `on_body_chunk`, a limit on the time between
//! frames) sees none, because the body is not polled.
//!
//! Whether a layer changes the body is found by an empty frame that is sent through it. One that passes an empty frame on
//! as it is, and changes others, adds some or takes some away, cannot be seen: it is passed by. With such a layer, the
//! server needs [`Transport::Body`](tidings_net::Transport::Body).
//!
//! # Dependencies
//!
//! - hyper for HTTP: it parses requests, and its `into_parts` returns the connection and the bytes
//!   that were read too early.
//! - mio for a writer's sockets. tokio would need a task and some hundred bytes for each; a writer
//!   needs only an entry in its list.
//! - tokio for everything before that: accepting, hyper, the application. Snapshots are made by
//!   tasks of tokio's runtime, and by no writer.
//!
//! # Fairness
//!
//! The server starts one writer for every two processors. A writer works in turns of limited work and
//! time: a topic with many clients and many events, a client that missed much, or a thousand clients
//! that come or go at once delay other topics and new streams by no more than a turn of each.
//!
//! A socket that takes no bytes delays nothing. Its connection ends when the client makes no progress
//! for [`Limits::write_timeout`](tidings_net::Limits::write_timeout), or for up to five times that if its
//! system answers and has taken up much, which is found within half of that time more: looking at each
//! client twice in that time costs a system call each, and no timer. A
//! stalled stream ends earlier if the hub needs the memory that it holds. The writer notices at once
//! when a client closes its connection. A stream that ends while the server goes on returns its
//! connection to hyper, for the client's next request.
//!
//! A panic on a writer ends its streams, and the writer goes on.

mod body;
mod chunk;
mod claim;
mod connection;
mod handoff;
mod head;
mod inbox;
mod requests;
mod response;
mod serve;
mod server;
#[cfg(feature = "http2")]
mod streams;
mod writer;
mod writers;

pub use body::{RequestBody, RequestBodyError};
pub use claim::SubscriptionBody;
pub use connection::App;
pub use response::stream_response;
pub use serve::Server;
pub use server::serve;
