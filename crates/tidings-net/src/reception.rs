use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tidings::ServerEvent;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::connections::{Ending, Place};
use crate::hubs::CONNECTION;
use crate::{Connections, Guarded, Io, Permit, Tls, TlsStream, proxy_protocol};

/// The first bytes of a client that knows that the server speaks HTTP/2: RFC 9113, section 3.4.
pub(crate) const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The answer to a head that does not come to its end.
pub(crate) const TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How long, and how many bytes, a client may still send when everything was sent: it may not have seen the answer, and a
/// connection that is closed with unread bytes is reset.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
pub(crate) const LINGER_BYTES: usize = 256 * 1024;

/// The answer to a head with too many bytes.
pub(crate) const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A connection in the lobby that has not sent the head of its first request, or that has returned from a writer.
///
/// It reads that head before any server allocates for the connection. When the time is up, or others need the place, the
/// connection ends.
#[derive(Debug)]
pub struct Reception {
    connections: Connections,
    permit: Permit,
    place: Place,
    client: Option<SocketAddr>,
    /// Whether it has sent a request before.
    is_known: bool,
    /// See [`Received::can_return`].
    pub(crate) can_return: bool,
}

/// A connection with the head of a request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received<IO> {
    /// The connection, which gives the bytes back that were read.
    pub io: Guarded<IO>,
    /// What it speaks.
    pub protocol: Protocol,
    /// The client's address: what a proxy said in the PROXY protocol, or else the other end's.
    pub client: Option<SocketAddr>,
    /// Whether it may come back as a socket when its stream by the direct transport has ended: its listener knows no other
    /// address of it than the socket has.
    pub can_return: bool,
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
        place: Place,
        client: Option<SocketAddr>,
        is_known: bool,
    ) -> Self {
        Self { connections, permit, place, client, is_known, can_return: true }
    }

    /// Reads the head of a request; of which `before` was read already.
    ///
    /// # Errors
    ///
    /// If the connection ends, or is ended. Then nothing is left to do for it.
    pub async fn receive<IO: Io>(mut self, mut io: IO, before: Bytes) -> io::Result<Received<IO>> {
        self.proxied(&mut io).await?;
        self.head(io, before).await
    }

    /// Does what [`receive`](Self::receive) does, after a handshake of TLS.
    ///
    /// # Errors
    ///
    /// If the handshake fails, or the connection ends.
    pub async fn receive_tls<IO: Io>(
        mut self,
        mut io: IO,
        tls: Tls,
    ) -> io::Result<Received<TlsStream<IO>>> {
        self.proxied(&mut io).await?;
        // The state of a handshake is large: a client that sends nothing does not have it.
        self.within_its_time(|cx| io.poll_first_byte(cx)).await?;
        self.place.begin();
        let receiving = Box::pin(async move {
            let mut handshake = Box::pin(tls.accept(io));
            let io = self.within_its_time(|cx| handshake.as_mut().poll(cx)).await?;
            drop(handshake);
            self.place.restart(self.connections.limits().head_timeout);
            self.head(io, Bytes::new()).await
        });
        receiving.await
    }

    /// Waits for something, until the connection must leave its place.
    fn within_its_time<T>(
        &mut self,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> impl Future<Output = io::Result<T>> {
        poll_fn(move |cx| match self.place.poll_ending(cx) {
            Poll::Ready(_) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => poll(cx),
        })
    }

    /// Reads what a proxy says about the client, if it must say it.
    async fn proxied<IO: Io>(&mut self, io: &mut IO) -> io::Result<()> {
        if self.is_known {
            self.client = self.permit.client().or(self.client);
            return Ok(());
        }
        let limits = self.connections.limits();
        if !limits.proxy_protocol || !limits.is_of_proxy(self.client, io) {
            return Ok(());
        }
        let mut reading = Box::pin(proxy_protocol::read(io));
        let client = self.within_its_time(|cx| reading.as_mut().poll(cx)).await;
        drop(reading);
        let client = client.inspect_err(|error| {
            // Otherwise it has ended, or its time was up.
            if error.kind() == io::ErrorKind::InvalidData {
                tracing::debug!(target: CONNECTION, %error, "a connection ends");
                self.connections.refuse();
            }
        })?;
        let Some(client) = client else {
            // The proxy itself, for instance to see whether the server is well.
            return Ok(());
        };
        if !self.permit.set_client(client, &self.connections) {
            self.connections.refuse();
            return Err(io::Error::other("client's address has too many connections"));
        }
        self.client = Some(client);
        Ok(())
    }

    /// Reads the head.
    async fn head<IO: Io>(mut self, mut io: IO, before: Bytes) -> io::Result<Received<IO>> {
        let mut head = Head::new(Vec::from(before), self.connections.limits().head_size);
        let mut has_begun = false;
        let rejection = poll_fn(|cx| {
            if let Poll::Ready(ending) = self.place.poll_ending(cx) {
                let answers = ending == Some(Ending::TimedOut) && head.has_begun();
                return Poll::Ready(Err(if answers {
                    Rejection::TimedOut
                } else {
                    Rejection::End
                }));
            }
            let outcome = head.poll(&mut io, cx);
            if !has_begun && outcome.is_pending() && head.has_begun() {
                has_begun = true;
                self.place.begin();
                if self.is_known {
                    // It is not idle any more.
                    self.place.restart(self.connections.limits().head_timeout);
                }
            }
            outcome
        })
        .await;
        match rejection {
            Ok(protocol) => {
                let Self { connections, permit, place, client, can_return, .. } = self;
                drop(place);
                let limits = connections.limits();
                let is_of_proxy = !limits.proxy_protocol && limits.is_of_proxy(client, &io);
                let io = Guarded::new(io, head.read, protocol, connections, permit);
                io.activity().set_of_proxy(is_of_proxy);
                Ok(Received { io, protocol, client, can_return })
            }
            Err(rejection) => {
                let answer = match rejection {
                    Rejection::TooLarge => {
                        self.connections.hubs().report(ServerEvent::ConnectionFlooded);
                        Some(TOO_LARGE)
                    }
                    Rejection::TimedOut => Some(TIMEOUT),
                    Rejection::End => None,
                };
                if let Some(answer) = answer {
                    Box::pin(reject(&mut io, answer)).await;
                }
                Err(io::Error::other("connection has ended before a request"))
            }
        }
    }
}

enum Rejection {
    TooLarge,
    TimedOut,
    End,
}

/// The head of a request, as far as it was read.
struct Head {
    read: Vec<u8>,
    /// How many line breaks are before it.
    begin: usize,
    /// How far its end was looked for.
    searched: usize,
    most: usize,
}

impl Head {
    fn new(read: Vec<u8>, most: usize) -> Self {
        Self { read, begin: 0, searched: 0, most }
    }

    fn has_begun(&self) -> bool {
        !self.read.is_empty()
    }

    /// Reads until the head is there.
    fn poll<IO: Io>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Protocol, Rejection>> {
        loop {
            if let Some(protocol) = self.protocol() {
                return Poll::Ready(Ok(protocol));
            }
            if self.read.len() >= self.most {
                return Poll::Ready(Err(Rejection::TooLarge));
            }
            // Without a buffer, while there is nothing to read.
            match io.poll_readable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Rejection::End)),
                Poll::Pending => return Poll::Pending,
            }
            match poll_append(io, &mut self.read, cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(_) => return Poll::Ready(Err(Rejection::End)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What the connection speaks, once the head is there, or it is clear that the server must answer that it is none.
    fn protocol(&mut self) -> Option<Protocol> {
        if self.read.starts_with(HTTP2_PREFACE) {
            return Some(Protocol::Http2);
        }
        if HTTP2_PREFACE.starts_with(&self.read) {
            return None;
        }
        // Empty lines before a request are ignored: RFC 9112, section 2.2.
        let rest = self.read[self.begin..].iter();
        self.begin += rest.take_while(|byte| b"\r\n".contains(byte)).count();
        let first = self.read.get(self.begin)?;
        let is_method = first.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(first);
        let mut from = self.searched.max(self.begin);
        while let Some(at) = self.read[from..].iter().position(|&byte| byte == b'\n') {
            let rest = &self.read[from + at + 1..];
            if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
                return Some(Protocol::Http1);
            }
            if rest.len() < 2 {
                break;
            }
            from += at + 1;
        }
        self.searched = self.read.len().saturating_sub(2).max(self.begin);
        (!is_method).then_some(Protocol::Http1)
    }
}

/// Reads once, and adds it. Returns whether it was not the end.
pub(crate) fn poll_append<IO: AsyncRead + Unpin>(
    io: &mut IO,
    read: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    // On the stack, so that a connection that brings nothing has no buffer.
    let mut some = [0; 2048];
    let mut some = ReadBuf::new(&mut some);
    ready!(Pin::new(io).poll_read(cx, &mut some))?;
    read.extend_from_slice(some.filled());
    Poll::Ready(Ok(!some.filled().is_empty()))
}

/// Answers, and lets the client read the answer: it may still be sending, and a connection that is closed with unread bytes
/// is reset.
async fn reject<IO: Io>(io: &mut IO, answer: &[u8]) {
    let lingering = async {
        io.write_all(answer).await?;
        io.shutdown().await?;
        let mut left = LINGER_BYTES;
        let mut some = vec![0; 4096];
        while left > 0 {
            match io.read(&mut some).await? {
                0 => break,
                length => left = left.saturating_sub(length),
            }
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, lingering).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn line_breaks_before_a_request_are_looked_at_once() {
        let mut head = Head::new(Vec::new(), usize::MAX);
        let began = Instant::now();
        for _ in 0..128 * 1024 {
            head.read.push(b'\n');
            assert_eq!(head.protocol(), None);
            assert!(began.elapsed() < Duration::from_secs(5), "{} bytes", head.read.len());
        }
        head.read.extend_from_slice(b"GET / HTTP/1.1\r\n");
        assert_eq!(head.protocol(), None);
        head.read.extend_from_slice(b"\r\n");
        assert_eq!(head.protocol(), Some(Protocol::Http1));
    }
}
