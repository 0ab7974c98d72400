use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::AsyncReadExt;

use crate::{Connections, Guarded, Io, Permit};

/// The first bytes of a client that knows that the server speaks HTTP/2: RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection's place in the lobby: where connections are that have not sent the head of their first request, or that
/// have returned from a writer.
///
/// It reads that head before any server allocates for the connection. When the time is up, or others need the place, the
/// connection ends.
#[derive(Debug)]
pub struct Reception {
    connections: Connections,
    permit: Permit,
    client: Option<SocketAddr>,
}

/// A connection with the head of a request.
#[derive(Debug)]
pub struct Received<IO> {
    /// The connection, which gives the bytes back that were read.
    pub io: Guarded<IO>,
    /// What it speaks.
    pub protocol: Protocol,
    /// The client's address: what a proxy said in the PROXY protocol, or else the other end's.
    pub client: Option<SocketAddr>,
}

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Reception {
    pub(crate) fn new(
        connections: Connections,
        permit: Permit,
        client: Option<SocketAddr>,
    ) -> Self {
        Self { connections, permit, client }
    }

    /// Reads the head of a request; of which `before` was read already.
    ///
    /// # Errors
    ///
    /// If the connection ends, or is ended. Then nothing is left to do for it.
    pub async fn receive<IO: Io>(self, mut io: IO, before: Bytes) -> io::Result<Received<IO>> {
        let mut read = Vec::from(before);
        while read.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&read) {
            let mut more = [0; HTTP2_PREFACE.len()];
            match io.read(&mut more).await? {
                0 => break,
                length => read.extend_from_slice(&more[..length]),
            }
        }
        let protocol = match read.starts_with(HTTP2_PREFACE) {
            true => Protocol::Http2,
            false => Protocol::Http1,
        };
        let Self { connections, permit, client } = self;
        let io = Guarded::new(io, read.into(), protocol, connections, permit);
        Ok(Received { io, protocol, client })
    }

    /// Does what [`receive`](Self::receive) does, after a handshake of TLS.
    ///
    /// # Errors
    ///
    /// If the handshake fails, or the connection ends.
    #[cfg(feature = "tls")]
    pub async fn receive_tls<IO: Io>(
        self,
        io: IO,
        tls: &crate::Tls,
    ) -> io::Result<Received<tokio_rustls::server::TlsStream<IO>>> {
        let io = tls.acceptor().accept(io).await?;
        self.receive(io, Bytes::new()).await
    }
}
