//! Server-sent events for actix-web: an application subscribes a request to topics of a
//! [`Hub`](tidings::Hub) and publishes from anywhere.
//!
//! ```no_run
//! use actix_web::{App, web};
//! use tidings_actix_web::tidings::{Event, Hub};
//! use tidings_actix_web::{Sse, SseRequest};
//!
//! async fn events(hub: web::Data<Hub>, request: SseRequest) -> Sse {
//!     hub.subscribe(["news"]).resume(request).into()
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
//! [`serve()`] is actix-web's own server with what event streams need, and [`serve_with`] the same
//! with TLS or HTTP/2. [`HttpServer::run`](actix_web::HttpServer::run) also works, but
//!
//! - by default, actix-web assumes that a client that closes its end still reads, and keeps an idle
//!   stream until the next heartbeat fails. Browsers and HTTP libraries never half-close, so an SSE
//!   server should set
//!   [`h1_allow_half_closed(false)`](actix_web::HttpServer::h1_allow_half_closed): then streams end
//!   as soon as their clients close;
//! - a graceful shutdown waits for open responses (30 s, unless
//!   [`shutdown_timeout`](actix_web::HttpServer::shutdown_timeout) is set), and event streams do not
//!   end by themselves: call [`Hub::close`](tidings::Hub::close) when the shutdown begins;
//! - its connections have the system's defaults, which do not suit event streams: see
//!   [`Limits`].
//!
//! Over HTTP/2, actix-web notices that a client has cancelled a stream, or has vanished, only when it
//! next writes to it: at the next event or heartbeat. Until then the registry lists the client.
//!
//! # Middleware
//!
//! `Compress` compresses every response that does not name its encoding, and would hold events back.
//! If a request accepts compression, [`Sse`] therefore sends `Content-Encoding: identity`.

mod connection;
mod http2;
mod request;
mod response;
mod serve;
mod turns;
mod watched;
mod workers;

pub use request::SseRequest;
pub use response::Sse;
pub use serve::{ActixWeb, Serve, serve};
pub use tidings;
pub use tidings_net::{IntoListener, Limits, shutdown_signal};
#[cfg(feature = "tls")]
pub use tidings_net::{Tls, rustls};
