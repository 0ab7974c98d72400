//! Server-sent events for axum: an application subscribes a request to topics of a
//! [`Hub`](tidings::Hub) and publishes from anywhere.
//!
//! ```no_run
//! use axum::extract::State;
//! use axum::{Router, routing::get};
//! use tidings_axum::tidings::{Event, Hub};
//! use tidings_axum::{Sse, SseRequest};
//!
//! async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
//!     hub.subscribe(["news"]).resume(request).into()
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
//! [`serve()`] does what axum's own server does, adds what event streams need, and sends them by the
//! direct transport of `tidings-hyper` where it can. [`axum::serve`](axum::serve()) also works, by
//! the body transport, but
//!
//! - a graceful shutdown waits for open responses, and event streams do not end by themselves. End
//!   them when the shutdown begins:
//!
//!   ```no_run
//!   # async fn example(hub: tidings::Hub, app: axum::Router, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
//!   # let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!   axum::serve(listener, app)
//!       .with_graceful_shutdown(async move {
//!           stop.await;
//!           hub.close();
//!       })
//!       .await
//!   # }
//!   ```
//!
//! - its connections have the system's defaults, which do not suit event streams, and no limits: see
//!   [`Limits`];
//! - the registry knows the clients' addresses only with
//!   [`into_make_service_with_connect_info`](axum::Router::into_make_service_with_connect_info).
//!
//! # Layers
//!
//! `Sse` is a response like any other, and works under every layer. Two kinds of layers matter:
//!
//! - A layer that limits the time of a *response body* ends streams of the body transport, and does
//!   not see those of the direct transport, whose bodies are not polled. A limit on the time to the
//!   response, such as tower-http's `TimeoutLayer`, affects neither.
//! - A layer that compresses must not compress `text/event-stream`, which tower-http's
//!   `CompressionLayer` does not do by default.

mod request;
mod response;
mod serve;

pub use request::SseRequest;
pub use response::Sse;
pub use serve::{Axum, Serve, serve};
pub use tidings;
pub use tidings_net::{Limits, Transport};
