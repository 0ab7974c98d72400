//! What passes between a server and its writers: a stream with its connection, and the connection
//! back once the stream has ended.

use std::error::Error;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tidings::Subscription;
use tidings_net::Permit;
use tokio::sync::mpsc::UnboundedSender;

use crate::body::Kept;
use crate::claim;
use crate::head::{self, Framing};

/// A response that hyper sends, with what must be sent before the rest of its body.
pub(crate) type Refused<B> = (Response<B>, Option<Box<Kept>>);

/// A response that a writer can send.
pub(crate) struct StreamResponse<B> {
    pub(crate) subscription: Box<Subscription>,
    /// As bytes.
    pub(crate) head: Vec<u8>,
    pub(crate) framing: Framing,
    /// It is never polled: what layers have put around it lives as long as the stream.
    pub(crate) body: B,
}

impl<B> StreamResponse<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Takes a response over, or gives it back.
    pub(crate) fn from_response(
        response: Response<B>,
        framing: Framing,
    ) -> Result<Box<Self>, Refused<B>> {
        let (mut head, mut body) = response.into_parts();
        if !head::is_plain(&head) {
            return Err((Response::from_parts(head, body), None));
        }
        match claim::take(&mut head, &mut body) {
            Ok(subscription) => {
                let head = head::write(&head, framing);
                Ok(Box::new(Self { subscription, head, framing, body }))
            }
            Err(kept) => Err((Response::from_parts(head, body), kept)),
        }
    }
}

/// A response and the connection that it is for, on their way to a writer.
pub(crate) struct NewStream<B> {
    pub(crate) response: StreamResponse<B>,
    pub(crate) socket: std::net::TcpStream,
    /// What the client has sent after its request.
    pub(crate) pipelined: Bytes,
    pub(crate) permit: Permit,
    pub(crate) back: UnboundedSender<ReturnedConnection>,
}

/// A connection whose stream has ended, on its way back to the server.
#[derive(Debug)]
pub(crate) struct ReturnedConnection {
    pub(crate) socket: std::net::TcpStream,
    /// What its client has sent meanwhile, as far as it was read.
    pub(crate) pipelined: Bytes,
    pub(crate) permit: Permit,
}
