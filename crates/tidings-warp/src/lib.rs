//! Server-sent events for warp: an application subscribes a request to topics of a
//! [`Hub`](tidings::Hub) and publishes from anywhere.
//!
//! ```no_run
//! use tidings_warp::{Sse, SseRequest};
//! use tidings_warp::tidings::{Event, Hub};
//! use warp::Filter;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hub = Hub::new();
//!     let topics = hub.clone();
//!     let events = warp::path("events").and(warp::get()).and(tidings_warp::request()).map(
//!         move |request: SseRequest| Sse::from(topics.subscribe(["news"]).resume(request)),
//!     );
//!     // From anywhere, at any time:
//!     hub.publish("news", Event::named("headline", "Hello")?).await?;
//!
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     tidings_warp::serve(listener, events, &hub).await?;
//!     Ok(())
//! }
//! ```
//!
//! This crate only translates: [`request()`] is a filter that reads from a request where its client
//! left off, and [`Sse`] is a reply that is made from a subscription or any stream of events.
//! Everything else is in the core, re-exported as [`tidings`].
//!
//! # Serving
//!
//! [`serve()`] does what warp's own server does, adds what event streams need, and sends them by the
//! direct transport of `tidings-hyper` where it can. [`warp::serve`](warp::serve()) also works, by
//! the body transport, but
//!
//! - a graceful shutdown waits for open responses, and event streams do not end by themselves: call
//!   [`Hub::close`](tidings::Hub::close) in the future that is passed to `graceful`;
//! - its connections have the system's defaults, which do not suit event streams: see
//!   [`Limits`].
//!
//! # Compression
//!
//! warp's compression filters compress every response of the routes that they wrap, and would hold
//! events back: wrap only the other routes.

mod request;
mod response;
mod serve;

pub use request::{SseRequest, remote_addr, request};
pub use response::Sse;
pub use serve::{Serve, Warp, serve};
pub use tidings;
pub use tidings_net::{Limits, Transport};
