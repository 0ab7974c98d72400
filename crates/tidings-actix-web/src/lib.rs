//! Server-sent events for actix-web: an application subscribes a request to topics of a
//! [`Hub`] and publishes from anywhere.
//!
//! ```no_run
//! use actix_web::{App, web};
//! use tidings_actix_web::{Event, Hub, Sse, SseRequest};
//!
//! async fn events(hub: web::Data<Hub>, request: SseRequest) -> Sse {
//!     request.subscribe(&hub, "news").into()
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hub = Hub::new();
//!     let data = web::Data::new(hub.clone());
//!     // From anywhere, at any time:
//!     hub.publish("news", Event::named("headline", "Hello")?).await?;
//!
//!     let app = move || App::new().app_data(data.clone()).route("/events", web::get().to(events));
//!     let listener = std::net::TcpListener::bind("127.0.0.1:3000")?;
//!     tidings_actix_web::serve(listener, app, &hub).await?;
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
//! [`serve()`] runs the application on connections that have [`Limits`] in time and number, with a
//! shutdown that ends streams, TLS (feature `tls`) and HTTP/2 (feature `http2`). HTTP/1 is actix-web's own.
//! [`HttpServer::run`](actix_web::HttpServer::run) also works, but
//!
//! - by default, actix-web assumes that a client that closes its end still reads, and keeps an idle
//!   stream until the next heartbeat fails. Browsers and HTTP libraries never half-close, so an SSE
//!   server should set
//!   [`h1_allow_half_closed(false)`](actix_web::HttpServer::h1_allow_half_closed): then streams end
//!   as soon as their clients close;
//! - over HTTP/2, it notices that a client has cancelled a stream, or has vanished, only when it next
//!   writes to it;
//! - a graceful shutdown waits for open responses, and event streams do not end by themselves: give
//!   [`shutdown_signal`] to [`HttpServer::shutdown_signal`](actix_web::HttpServer::shutdown_signal);
//! - its connections have the system's defaults, which do not suit event streams: see [`Limits`].
//!
//! [SERVING](https://github.com/tidings-rs/tidings/blob/main/docs/SERVING.md) says what else is different.
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
//! - `http2`: HTTP/2, which browsers speak over TLS only. Off by default. Without it, a client that begins with HTTP/2 is told
//!   to use HTTP/1.1.
//! - `tls`: `Serve::tls`, `Tls`.
//!
//! # Middleware
//!
//! `Compress` compresses every response that does not name its encoding, and would hold events back.
//! If a request accepts compression, [`Sse`] therefore sends `Content-Encoding: identity`.

mod error;
mod request;
mod response;
mod serve;

pub use error::Error;
pub use request::SseRequest;
pub use response::Sse;
pub use serve::{Serve, serve};
pub use tidings;
pub use tidings::{Event, History, Hub, Retention, Topic};
pub use tidings_net::{IntoListener, Limits, Listener, shutdown_signal};
#[cfg(feature = "tls")]
pub use tidings_net::{Tls, rustls};
