//! Sockets and shutdown of a server of server-sent events, for the adapters of Tidings.
//!
//! ```
//! use std::net::TcpListener;
//! use tidings_net::SocketSettings;
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! SocketSettings::default().apply(&listener)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! An event stream is mostly idle, its writes are short, and its clients vanish without closing. The
//! defaults of TCP are made for other traffic. Without [`SocketSettings`]
//!
//! - an event may wait for the acknowledgement of the event before it (Nagle's algorithm);
//! - a client whose machine or network fails keeps its connection for a quarter of an hour or more:
//!   heartbeats fit into the kernel's buffer, which sends them again and again;
//! - a client that stays connected and does not read keeps its connection for ever: the server does
//!   not poll its response, so nothing in the response could end it.
//!
//! # Features
//!
//! - `tokio`: [`WriteLimit`], which solves the last problem for any `AsyncWrite` on every platform;
//!   and [`Serve`], a server with a [`Graceful`] shutdown.

#[cfg(feature = "tokio")]
mod graceful;
#[cfg(feature = "tokio")]
mod hubs;
#[cfg(feature = "tokio")]
mod serve;
mod settings;
#[cfg(feature = "tokio")]
mod signals;
#[cfg(feature = "tls")]
mod tls;
mod transport;
#[cfg(feature = "tokio")]
mod write_limit;

#[cfg(feature = "tokio")]
pub use graceful::Graceful;
#[cfg(feature = "tokio")]
pub use hubs::Hubs;
#[cfg(feature = "tokio")]
pub use serve::{Options, Serve, Server};
pub use settings::SocketSettings;
#[cfg(feature = "tokio")]
pub use signals::shutdown_signal;
#[cfg(feature = "tls")]
pub use tls::Tls;
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use transport::{ParseTransportError, Transport};
#[cfg(feature = "tokio")]
pub use write_limit::WriteLimit;
