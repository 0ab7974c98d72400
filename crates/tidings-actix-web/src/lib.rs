//! Server-sent events for actix-web: an application subscribes a request to topics of a
//! [`Hub`](tidings::Hub) and publishes from anywhere.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, web};
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
//!     let app = HttpServer::new(move || {
//!         App::new().app_data(data.clone()).route("/events", web::get().to(events))
//!     });
//!     let listener = std::net::TcpListener::bind("127.0.0.1:3000")?;
//!     tidings_actix_web::serve(listener, app, &hub).await?;
//!     Ok(())
//! }
//! ```
//!
//! This crate only translates: [`SseRequest`] reads from a request where its client left off, and
//! [`Sse`] makes a response of a subscription, or of any stream of events. Everything else is in
//! the core, which is here as [`tidings`].
//!
//! # Serving
//!
//! [`serve()`] is actix-web's own server with what event streams need, and [`serve_with`] the same
//! with TLS or HTTP/2. Whoever calls
//! [`HttpServer::run`](actix_web::HttpServer::run) instead should know:
//!
//! - By default, actix-web takes a client that closes its end for one that still reads, and keeps a
//!   silent stream until the next heartbeat fails. Browsers and HTTP libraries never half-close, so
//!   an SSE server should say
//!   [`h1_allow_half_closed(false)`](actix_web::HttpServer::h1_allow_half_closed): streams then end
//!   as soon as their clients go.
//! - A graceful shutdown waits for open responses (30 s, unless
//!   [`shutdown_timeout`](actix_web::HttpServer::shutdown_timeout) says otherwise), and event streams
//!   have no end of their own. So [`Hub::close`](tidings::Hub::close) belongs where it begins.
//! - Its connections have the system's settings, which are not made for event streams: see
//!   [`SocketSettings`].
//!
//! Over HTTP/2, actix-web notices that a client has cancelled a stream, or is gone, when it next
//! writes to it: at the next event or heartbeat. Until then the registry lists the client.
//!
//! # Middleware
//!
//! `Compress` compresses every response that does not name its encoding, and would hold events
//! back. So where a request accepts compression, [`Sse`] answers with `Content-Encoding: identity`.

mod request;
mod response;
mod serve;

pub use request::SseRequest;
pub use response::Sse;
pub use serve::{ActixWeb, Serve, serve, serve_with};
pub use tidings;
pub use tidings_net::SocketSettings;
