//! What the sockets of a server of server-sent events need, for the adapters of Tidings.
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
//! A stream of events is mostly silence, in short writes, to clients that vanish without a word.
//! The defaults of TCP are made for the opposite. Without [`SocketSettings`]
//!
//! - an event may wait for the acknowledgement of the one before (Nagle's algorithm);
//! - a client that is gone without a FIN, because its machine or its network is, keeps its
//!   connection for a quarter of an hour or more: heartbeats fit into the kernel's buffer and are
//!   sent again and again;
//! - a client that stays connected and does not read keeps its connection for ever: the server does
//!   not even poll its response, so nothing in the response could end it.
//!
//! # Features
//!
//! - `tokio`: [`WriteLimit`], the last of these for any `AsyncWrite`, on every platform; and
//!   [`Serve`], a server with a [`Graceful`] end.

#[cfg(feature = "tokio")]
mod graceful;
#[cfg(feature = "tokio")]
mod serve;
mod settings;
mod transport;
#[cfg(feature = "tokio")]
mod write_limit;

#[cfg(feature = "tokio")]
pub use graceful::Graceful;
#[cfg(feature = "tokio")]
pub use serve::{Serve, Server, WithTransport};
pub use settings::SocketSettings;
pub use transport::{ParseTransportError, Transport};
#[cfg(feature = "tokio")]
pub use write_limit::WriteLimit;
