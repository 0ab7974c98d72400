//! An HTTP/1.1 client that hides nothing.
//!
//! Clients for applications normalise: they join header lines, refuse odd requests, follow
//! framing errors with errors of their own. Here a request is the bytes that the test says, and a
//! [`Response`] tells what came over the socket and how it ended.

mod chunked;
mod connection;
mod head;
mod request;
mod response;

pub use connection::Connection;
pub use request::Request;
pub use response::{Ending, Response};
