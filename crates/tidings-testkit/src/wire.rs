//! An HTTP/1.1 client that hides nothing, and one for HTTP/2.
//!
//! Clients for applications normalise: they join header lines, refuse odd requests, and hide framing errors. Here
//! a request is any bytes, and a [`Response`] shows what came over the socket and how it ended. [`Http2`] is for
//! what HTTP/2 adds: many streams on one connection. [`frames`] are for what no client should do.

mod chunked;
mod connection;
mod exchange;
#[allow(missing_docs, reason = "the names are those of RFC 9113")]
pub mod frames;
mod head;
mod http2;
mod request;
mod response;
mod socket;

pub use connection::Connection;
pub use http2::{Http2, Http2Response};
pub use request::Request;
pub use response::{Ending, Response};
