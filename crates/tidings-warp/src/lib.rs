//! Server-sent events for warp: an application subscribes a request to topics of a
//! [`Hub`] and publishes from anywhere.
//!
//! ```no_run
//! use tidings_warp::{Sse, SseRequest};
//! use tidings_warp::{Event, Hub};
//! use warp::Filter;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hub = Hub::new();
//!     let topics = hub.clone();
//!     let events = warp::path("events").and(warp::get()).and(tidings_warp::request()).map(
//!         move |request: SseRequest| Sse::from(request.subscribe(&topics, "news")),
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
//! [`serve()`] does what warp's own server does, adds what event streams and the open internet need,
//! and sends streams by the direct transport of `tidings-hyper` where it can.
//! [`warp::serve`](warp::serve()) works, too, by the body transport. End the streams at a shutdown by
//! [`shutdown_signal`]. [SERVING](https://github.com/tidings-rs/tidings/blob/main/docs/SERVING.md) says what else is different.
//!
//! # Compression
//!
//! warp's compression filters compress every response of the routes that they wrap, and would hold
//! events back: wrap only the other routes.
//!
//! # Wrapped bodies
//!
//! A wrapper that changes the body of a response is respected, but for one that changes some frames and passes an empty one
//! on as it is: streams of the direct transport pass it by. It needs
//! [`transport(Transport::Body)`](tidings_net::Serve::transport).
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
//!   Behind a proxy that ends TLS it is of no use. Off by default: it costs eight dependencies. Without it, a
//!   client that begins with HTTP/2 is told to use HTTP/1.1.
//! - `tls`: `Serve::tls`, `Tls`.

mod error;
mod request;
mod response;
mod serve;

pub use error::{Error, recover};
pub use request::{SseRequest, remote_addr, request};
pub use response::Sse;
pub use serve::{Serve, serve};
pub use tidings;
pub use tidings::{Event, History, Hub, Retention, Topic};
pub use tidings_net::{Limits, Listener, Transport, shutdown_signal};
#[cfg(feature = "tls")]
pub use tidings_net::{Tls, rustls};
