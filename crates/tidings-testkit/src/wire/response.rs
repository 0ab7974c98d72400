use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use bytes::Buf;
use tidings::{Decoder, Message};
use tokio::io::AsyncReadExt;

use super::connection::Connection;
use super::head::{Framing, Head};
use crate::limit::within_at;

pub(super) type Caller = &'static Location<'static>;

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As its framing says: with the terminating chunk, after the stated length, or with the end of the connection
    /// where that is the end of the body.
    Whole,
    /// The connection was closed in the middle.
    Cut,
    /// The connection was reset.
    Reset,
}

/// A response: its head, and as much of its body as was asked for.
///
/// The methods that read fail the test when they do not get what they wait for within
/// [`LIMIT`](crate::limit::LIMIT). [`body`](Self::body) and [`messages`](Self::messages) are everything since the
/// head.
#[derive(Debug)]
pub struct Response {
    connection: Connection,
    head: Head,
    framing: Framing,
    body: Vec<u8>,
    decoder: Decoder,
    messages: Vec<Message>,
    /// How many messages `next_message` has returned.
    taken: usize,
    ending: Option<Ending>,
}

impl Response {
    pub(super) async fn begin(connection: Connection, caller: Caller, is_head: bool) -> Self {
        let begun = Self::try_begin(connection, is_head);
        let response = within_at(caller, "the head of the response", begun).await;
        response.unwrap_or_else(|error| panic!("no response: {error}, at {caller}"))
    }

    pub(super) async fn try_begin(mut connection: Connection, is_head: bool) -> io::Result<Self> {
        loop {
            if let Some((end, head)) = Head::parse(&connection.raw) {
                connection.raw.advance(end);
                return Ok(Self {
                    connection,
                    framing: head.framing(is_head),
                    head,
                    body: Vec::new(),
                    decoder: Decoder::new(),
                    messages: Vec::new(),
                    taken: 0,
                    ending: None,
                });
            }
            if connection.socket.read_buf(&mut connection.raw).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The minor version of HTTP/1.
    pub fn version(&self) -> u8 {
        self.head.version
    }

    /// All header lines in their order, the names in lower case.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.head.headers
    }

    /// The value of a header that occurs at most once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The address of the client's end: the remote address that the server sees.
    pub fn local_addr(&self) -> SocketAddr {
        self.connection.local_addr()
    }

    /// The body so far, without its framing.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body so far, as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// The messages so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// What a client that is cut off now would send as its `Last-Event-ID`. Empty for none.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// How long the server asks the client to wait before it reconnects.
    pub fn retry(&self) -> Option<Duration> {
        self.decoder.retry()
    }

    /// How the body ended, if it was read to its end.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Reads the next message.
    ///
    /// # Panics
    ///
    /// When the body ends without another one.
    #[track_caller]
    pub fn next_message(&mut self) -> impl Future<Output = Message> {
        let caller = Location::caller();
        async move {
            let wanted = self.taken + 1;
            self.read_on(caller, "a message", usize::MAX, |r| r.messages.len() >= wanted).await;
            self.taken = wanted;
            self.messages[wanted - 1].clone()
        }
    }

    /// Reads until there are `count` messages in total.
    ///
    /// # Panics
    ///
    /// When the body ends before.
    #[track_caller]
    pub fn read_messages(&mut self, count: usize) -> impl Future<Output = &[Message]> {
        let caller = Location::caller();
        async move {
            self.read_on(caller, "messages", usize::MAX, |r| r.messages.len() >= count).await;
            &self.messages[..count]
        }
    }

    /// Reads until `is_enough` is true of the response so far.
    ///
    /// # Panics
    ///
    /// When the body ends before.
    #[track_caller]
    pub fn read_until(
        &mut self,
        what: &str,
        is_enough: impl FnMut(&Self) -> bool,
    ) -> impl Future<Output = ()> {
        self.read_on(Location::caller(), what, usize::MAX, is_enough)
    }

    /// Reads until the body has exactly `count` bytes.
    ///
    /// # Panics
    ///
    /// When the body ends before, or has more already.
    #[track_caller]
    pub fn read_exactly(&mut self, count: usize) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            self.read_on(caller, "bytes of the body", count, |r| r.body.len() >= count).await;
            assert_eq!(self.body.len(), count, "bytes read, at {caller}");
        }
    }

    /// Reads a little more: until the body is longer, but not longer than `limit` bytes in total, or has ended.
    /// Returns how it ended, if it did. May be cancelled and called again.
    #[track_caller]
    pub fn read_some(&mut self, limit: usize) -> impl Future<Output = Option<Ending>> {
        let caller = Location::caller();
        async move {
            if self.ending.is_none() {
                self.advance(caller, "more", limit).await;
            }
            self.ending
        }
    }

    /// Reads to the end of the body.
    #[track_caller]
    pub fn read_to_end(&mut self) -> impl Future<Output = Ending> {
        let caller = Location::caller();
        within_at(caller, "the end of the response", async move {
            loop {
                match self.ending {
                    Some(ending) => return ending,
                    None => self.advance(caller, "the end of the response", usize::MAX).await,
                }
            }
        })
    }

    /// The connection, for the next request.
    ///
    /// # Panics
    ///
    /// When the response was not read to its end.
    #[track_caller]
    pub fn into_connection(mut self) -> Connection {
        self.decode(usize::MAX);
        assert_eq!(self.ending, Some(Ending::Whole), "the response was not read to its end");
        self.connection
    }

    /// Takes the client's network away: see [`network::vanish`](crate::network::vanish).
    #[cfg(target_os = "linux")]
    pub fn vanish(&self) {
        crate::network::vanish(self.connection.socket.tcp());
    }

    /// Resets the connection.
    pub fn reset(self) {
        self.connection.reset();
    }

    /// Closes the connection in an orderly way: the server receives the end of the stream.
    #[track_caller]
    pub fn close(self) -> impl Future<Output = ()> {
        self.connection.close()
    }

    async fn read_on(
        &mut self,
        caller: Caller,
        what: &str,
        limit: usize,
        mut is_enough: impl FnMut(&Self) -> bool,
    ) {
        within_at(caller, what, async {
            while !is_enough(self) {
                if let Some(ending) = self.ending {
                    panic!("{what}: the response ended before ({ending:?}), at {caller}: {self:?}");
                }
                self.advance(caller, what, limit).await;
            }
        })
        .await;
    }

    /// Makes the body longer, up to `limit` bytes, or finds its end.
    async fn advance(&mut self, caller: Caller, what: &str, limit: usize) {
        let before = self.body.len();
        loop {
            self.decode(limit);
            if self.body.len() > before || self.body.len() >= limit || self.ending.is_some() {
                return;
            }
            let Connection { socket, raw } = &mut self.connection;
            match socket.read_buf(raw).await {
                Ok(0) => {
                    let whole = matches!(self.framing, Framing::Close);
                    self.ending = Some(if whole { Ending::Whole } else { Ending::Cut });
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    self.ending = Some(Ending::Reset);
                }
                Err(error) => panic!("{what}: {error}, at {caller}"),
            }
        }
    }

    /// Decodes received bytes into the body, up to `limit` bytes of body.
    fn decode(&mut self, limit: usize) {
        let before = self.body.len();
        let raw = &mut self.connection.raw;
        let take = raw.len().min(limit.saturating_sub(before));
        let is_whole = match &mut self.framing {
            Framing::Length(length) => {
                let take = take.min(*length - before);
                self.body.extend_from_slice(&raw.split_to(take));
                self.body.len() == *length
            }
            Framing::Chunked(chunked) => {
                chunked.decode(raw, &mut self.body, limit);
                chunked.is_done()
            }
            Framing::Close => {
                self.body.extend_from_slice(&raw.split_to(take));
                false
            }
        };
        if is_whole {
            self.ending = Some(Ending::Whole);
        }
        self.decoder.feed(&self.body[before..]).expect("an event of a sane size");
        self.messages.extend(std::iter::from_fn(|| self.decoder.next_message()));
    }
}
