//! What stands between a listener and an HTTP server of event streams, for the adapters of Tidings.
//!
//! An event stream is mostly idle, its writes are short, and its clients vanish without closing. The defaults of TCP are
//! made for other traffic, and HTTP servers leave it to something in front of them to limit what a client may cost. Here
//! is what a server on the open internet needs:
//!
//! - [`Limits`], in time and number, all in one place;
//! - [`Listener`] and [`Io`]: what a server listens on, and what it gets from there; [`AnyIo`], if that does not tell;
//! - [`Connections`], which accepts, counts, refuses and evicts;
//! - [`Reception`], which reads a connection's first request head before any server allocates for it;
//! - [`Guarded`], the connection as the server sees it, with the limits that remain, and [`Stall`], the limit of a stream of
//!   HTTP/2;
//! - [`Serve`], a server that is being set up, with a [`Graceful`] shutdown;
//! - [`shutdown_signal`], the clean end of streams under any other server.
//!
//! # Features
//!
//! - `tls`: [`Tls`] can be made.

mod activity;
mod alarm;
mod any_io;
mod connections;
mod frames;
mod graceful;
mod guarded;
mod hubs;
mod into_listener;
mod io;
mod limits;
mod listener;
mod network;
mod peer;
mod portion;
mod proxy_protocol;
mod reception;
mod refuse_http2;
mod sending;
mod serve;
mod signals;
// The same without the feature, so that no server overlooks it because of another crate's features.
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod transport;
mod writes;

pub use activity::{Activity, Answering, ReadingBody};
pub use any_io::AnyIo;
pub use connections::{AddressPermit, Connections, Permit, TooMany};
pub use graceful::Graceful;
pub use guarded::{Guarded, GuardedParts};
pub use hubs::Hubs;
pub use into_listener::IntoListener;
pub use io::Io;
pub use limits::{Limits, Unsent};
pub use listener::Listener;
pub use network::{Network, ParseNetworkError};
pub use peer::Peer;
pub use portion::Portion;
pub use reception::{Protocol, Received, Reception};
pub use refuse_http2::refuse_http2;
pub use sending::{Sending, Stall};
pub use serve::{Options, Serve, Server, WithWorkers};
pub use signals::shutdown_signal;
pub use tidings_sys::Progress;
pub use tls::{Tls, TlsStream};
#[cfg(feature = "tls")]
pub use tokio_rustls::rustls;
pub use transport::{ParseTransportError, Transport};
