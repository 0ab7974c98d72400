use std::net::SocketAddr;
use std::panic::Location;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use tidings::{Decoder, Message};
use tokio::task::AbortHandle;
use tokio_rustls::rustls::ClientConfig;

use super::{Connection, Ending};
use crate::limit::within_at;

type Caller = &'static Location<'static>;

/// A connection of HTTP/2. It is closed when it is dropped.
///
/// Each stream has a window of [`WINDOW`](Self::WINDOW) bytes, and the connection has enough for all: a stream that
/// is not read stalls no other.
#[derive(Debug)]
pub struct Http2 {
    send: SendRequest<Bytes>,
    driver: AbortHandle,
    local_addr: SocketAddr,
}

/// A response over HTTP/2, with everything that was read.
#[derive(Debug)]
pub struct Http2Response {
    head: http::response::Parts,
    stream: RecvStream,
    request: SendStream<Bytes>,
    body: Vec<u8>,
    decoder: Decoder,
    messages: Vec<Message>,
    taken: usize,
    ending: Option<Ending>,
}

impl Http2 {
    /// How many bytes a server may send on a stream that is not read.
    pub const WINDOW: u32 = 65_535;

    /// Connects with prior knowledge: without TLS and without an upgrade.
    #[track_caller]
    pub fn open(server: SocketAddr) -> impl Future<Output = Self> {
        let caller = Location::caller();
        Self::open_window(caller, server, Self::WINDOW)
    }

    /// The same, with another window for each stream.
    #[track_caller]
    pub fn open_narrow(server: SocketAddr, window: u32) -> impl Future<Output = Self> {
        Self::open_window(Location::caller(), server, window)
    }

    async fn open_window(caller: Caller, server: SocketAddr, window: u32) -> Self {
        let connection = Connection::connect(caller, server, |_| {}).await;
        Self::over(connection, window, caller).await
    }

    /// Connects over TLS, where the server must choose `h2`.
    #[track_caller]
    pub fn open_tls(server: SocketAddr, config: Arc<ClientConfig>) -> impl Future<Output = Self> {
        let caller = Location::caller();
        async move {
            let connection = Connection::connect_tls(caller, server, config).await;
            assert_eq!(connection.protocol().as_deref(), Some("h2"), "by ALPN, at {caller}");
            Self::over(connection, Self::WINDOW, caller).await
        }
    }

    async fn over(connection: Connection, window: u32, caller: Caller) -> Self {
        let local_addr = connection.local_addr();
        let mut client = Builder::new();
        client.initial_window_size(window).initial_connection_window_size(1 << 24);
        let handshake = client.handshake(connection.socket);
        let (send, connection) = within_at(caller, "the preface of HTTP/2", handshake)
            .await
            .unwrap_or_else(|error| panic!("no HTTP/2: {error}, at {caller}"));
        // Its streams show how it ends.
        let driver = tokio::spawn(async { drop(connection.await) }).abort_handle();
        Self { send, driver, local_addr }
    }

    /// The address of the client's end.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Sends a request without a body on a new stream, and reads the head of its response.
    #[track_caller]
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> impl Future<Output = Http2Response> + use<> {
        let caller = Location::caller();
        let uri = format!("http://{}{target}", crate::tls::HOST);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let send = self.send.clone();
        async move {
            let ready = within_at(caller, "room for a stream", send.ready()).await;
            let mut send = ready.unwrap_or_else(|error| panic!("no room: {error}, at {caller}"));
            let sent = send.send_request(request, true);
            let (response, request) = sent.unwrap_or_else(|error| panic!("{error}, at {caller}"));
            Http2Response::begin(response, request, caller).await
        }
    }

    /// Sends a GET request whose stream the server resets, perhaps before the head of the response. Returns what came
    /// of the body.
    #[track_caller]
    pub fn get_reset(&self, target: &str) -> impl Future<Output = String> + use<> {
        let caller = Location::caller();
        let uri = format!("http://{}{target}", crate::tls::HOST);
        let request = Request::get(uri).body(()).expect("a request");
        let mut send = self.send.clone();
        async move {
            let (response, request) = send.send_request(request, true).expect("room for a stream");
            match within_at(caller, "the head of the response", response).await {
                Ok(response) => {
                    let mut response = Http2Response::of(response, request);
                    assert_eq!(response.end(caller).await, Ending::Reset, "at {caller}");
                    response.text().to_owned()
                }
                Err(error) => {
                    assert!(error.is_reset(), "{error}, at {caller}");
                    String::new()
                }
            }
        }
    }

    /// Sends a GET request: see [`send`](Self::send).
    #[track_caller]
    pub fn get(&self, target: &str) -> impl Future<Output = Http2Response> + use<> {
        self.send("GET", target, &[])
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http2Response {
    async fn begin(response: ResponseFuture, request: SendStream<Bytes>, caller: Caller) -> Self {
        let response = within_at(caller, "the head of the response", response).await;
        let response = response.unwrap_or_else(|error| panic!("no response: {error}, at {caller}"));
        Self::of(response, request)
    }

    fn of(response: http::Response<RecvStream>, request: SendStream<Bytes>) -> Self {
        let (head, stream) = response.into_parts();
        Self {
            head,
            stream,
            request,
            body: Vec::new(),
            decoder: Decoder::new(),
            messages: Vec::new(),
            taken: 0,
            ending: None,
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// All headers, in any order.
    #[track_caller]
    pub fn headers(&self) -> Vec<(&str, &str)> {
        let headers = self.head.headers.iter();
        headers.map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect()
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

    /// Reads the next message.
    ///
    /// # Panics
    ///
    /// When the body ends without another one.
    #[track_caller]
    pub fn next_message(&mut self) -> impl Future<Output = Message> {
        let caller = Location::caller();
        within_at(caller, "the next message", async move {
            while self.messages.len() <= self.taken {
                assert_eq!(self.ending, None, "no message before the end, at {caller}");
                self.advance().await;
            }
            self.taken += 1;
            self.messages[self.taken - 1].clone()
        })
    }

    /// Reads to the end of the body.
    #[track_caller]
    pub fn read_to_end(&mut self) -> impl Future<Output = Ending> {
        self.end(Location::caller())
    }

    /// Cancels the stream: the server receives RST_STREAM, and keeps the connection.
    pub fn reset(mut self) {
        self.request.send_reset(Reason::CANCEL);
    }

    async fn end(&mut self, caller: Caller) -> Ending {
        within_at(caller, "the end of the response", async {
            loop {
                match self.ending {
                    Some(ending) => return ending,
                    None => self.advance().await,
                }
            }
        })
        .await
    }

    async fn advance(&mut self) {
        match self.stream.data().await {
            Some(Ok(data)) => {
                self.body.extend_from_slice(&data);
                self.decoder.feed(&data).expect("an event of a sane size");
                self.messages.extend(std::iter::from_fn(|| self.decoder.next_message()));
                // Fails when the stream has ended, which no longer needs the window.
                let _ = self.stream.flow_control().release_capacity(data.len());
            }
            Some(Err(error)) if error.is_reset() => self.ending = Some(Ending::Reset),
            Some(Err(_)) => self.ending = Some(Ending::Cut),
            None => self.ending = Some(Ending::Whole),
        }
    }
}
