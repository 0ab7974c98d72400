//! The server under `tidings-actix-web`, as `tidings-hyper` is the one under the adapters on hyper.
//!
//! It is actix-web's HTTP on the connections of [`tidings_net`]: their [limits](tidings_net::Limits), TLS, Unix sockets and
//! shutdown are those of the other adapters.
//!
//! ```no_run
//! use actix_web::App;
//! use tidings::Hub;
//! use tidings_actix::Server;
//! use tidings_net::Serve;
//!
//! # async fn example(hub: Hub) -> std::io::Result<()> {
//! let listener = std::net::TcpListener::bind("127.0.0.1:3000")?;
//! Serve::new(Server::new(listener, App::new), &hub).await
//! # }
//! ```
//!
//! HTTP/1 is actix-http's. HTTP/2, with the feature `http2`, is served with h2, whose limits actix-http does not set. The feature
//! `tls` is for TLS.

mod connection;
#[cfg(feature = "http2")]
mod http2;
mod server;
mod watched;
mod workers;

pub use server::Server;
