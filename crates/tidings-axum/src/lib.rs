//! Server-sent events for axum: an application subscribes a request to topics of a
//! [`Hub`] and publishes from anywhere.
//!
//! ```no_run
//! use axum::extract::State;
//! use axum::{Router, routing::get};
//! use tidings_axum::{Event, Hub, Sse, SseRequest};
//!
//! async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
//!     request.subscribe(&hub, "news").into()
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hub = Hub::new();
//!     let app = Router::new().route("/events", get(events)).with_state(hub.clone());
//!     // From anywhere, at any time:
//!     hub.publish("news", Event::named("headline", "Hello")?).await?;
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     tidings_axum::serve(listener, app, &hub).await?;
//!     Ok(())
//! }
//! ```
//!
//! This crate only translates: [`SseRequest`] reads from a request where its client left off, and
//! [`Sse`] makes a response from a subscription or any stream of events. Everything else is in
//! the core, re-exported as [`tidings`].
//!
//! # Serving
//!
//! [`serve()`] does what axum's own server does, adds what event streams and the open internet need,
//! and sends streams by the direct transport of `tidings-hyper` where it can.
//! [`axum::serve`](axum::serve()) and axum-server work, too, by the body transport. End the streams at
//! a shutdown by [`shutdown_signal`]. [SERVING](https://github.com/tidings-rs/tidings/blob/main/docs/SERVING.md) says what else is different.
//!
//! # Layers
//!
//! `Sse` is a response like any other, and works under every layer. Three kinds of layers matter:
//!
//! - A layer that limits the time of a *response body* ends streams of the body transport, and does
//!   not see those of the direct transport, whose bodies are not polled. A limit on the time to the
//!   response, such as tower-http's `TimeoutLayer`, affects neither.
//! - A layer that compresses must not compress `text/event-stream`, which tower-http's
//!   `CompressionLayer` does not do by default.
//! - A layer that changes some frames of a body, and passes an empty one on as it is, does not see the direct transport's
//!   streams either. It needs [`transport(Transport::Body)`](tidings_net::Serve::transport).
//!
//! # More to read
//!
//! - [The guide](https://github.com/tidings-rs/tidings/blob/main/docs/guide/README.md): from a first stream to production, and recipes.
//! - [GUARANTEES](https://github.com/tidings-rs/tidings/blob/main/docs/GUARANTEES.md): what is promised about order, loss, resets and limits, and what is not.
//! - [SERVING](https://github.com/tidings-rs/tidings/blob/main/docs/SERVING.md), [DEPLOYING](https://github.com/tidings-rs/tidings/blob/main/docs/DEPLOYING.md) and [SECURITY](https://github.com/tidings-rs/tidings/blob/main/docs/SECURITY.md): servers and TLS, proxies and
//!   authentication, attacks.
//! - [SCALING](https://github.com/tidings-rs/tidings/blob/main/docs/SCALING.md): durable logs, and many nodes.
//! - [TROUBLESHOOTING](https://github.com/tidings-rs/tidings/blob/main/docs/TROUBLESHOOTING.md), by what you see.
//!
//! # Features
//!
//! - `http2`: HTTP/2, which browsers speak over TLS only: with it, a browser has room for a hundred streams in place of six.
//!   Behind a proxy that ends TLS it is of no use. Off by default, as in axum: it costs eight dependencies. Without it, a
//!   client that begins with HTTP/2 is told to use HTTP/1.1.
//! - `tls`: `Serve::tls`, `Tls`.

mod application;
mod error;
mod listener;
mod request;
mod response;
mod serve;

pub use application::Application;
pub use error::Error;
pub use listener::Listener;
pub use request::SseRequest;
pub use response::Sse;
pub use serve::{Serve, serve};
pub use tidings;
pub use tidings::{Event, History, Hub, Retention, Topic};
pub use tidings_net::{Limits, Transport, shutdown_signal};
#[cfg(feature = "tls")]
pub use tidings_net::{Tls, rustls};
