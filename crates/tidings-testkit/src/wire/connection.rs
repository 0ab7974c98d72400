use std::net::{IpAddr, SocketAddr};
use std::panic::Location;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::socket::Socket;
use crate::limit::within_at;

/// A connection to a server, before a request or between two.
#[derive(Debug)]
pub struct Connection {
    pub(super) socket: Socket,
    /// Received bytes that were not decoded yet.
    pub(super) raw: BytesMut,
}

impl Connection {
    /// Connects.
    #[track_caller]
    pub fn open(server: SocketAddr) -> impl Future<Output = Self> {
        Self::connect(Location::caller(), server, |_| {})
    }

    /// Connects from one of the addresses of this machine, such as 127.0.0.2.
    #[track_caller]
    pub fn open_from(source: IpAddr, server: SocketAddr) -> impl Future<Output = Self> {
        Self::connect(Location::caller(), server, move |socket| {
            socket.bind((source, 0).into()).expect("an address of this machine");
        })
    }

    /// Connects with a receive buffer of about this many bytes, so that the server soon notices a client that does
    /// not read.
    #[track_caller]
    pub fn open_narrow(server: SocketAddr, bytes: u32) -> impl Future<Output = Self> {
        Self::connect(Location::caller(), server, move |socket| {
            socket.set_recv_buffer_size(bytes).expect("a receive buffer of this size");
        })
    }

    /// Connects over TLS.
    #[track_caller]
    pub fn open_tls(server: SocketAddr, config: Arc<ClientConfig>) -> impl Future<Output = Self> {
        let caller = Location::caller();
        Self::connect_tls(caller, server, config)
    }

    /// Whether a server is one that this client trusts.
    pub async fn accepts_tls(server: SocketAddr, config: Arc<ClientConfig>) -> bool {
        let host = ServerName::try_from(crate::tls::HOST).expect("a name");
        let socket = TcpStream::connect(server).await.expect("a server");
        TlsConnector::from(config).connect(host, socket).await.is_ok()
    }

    pub(super) async fn connect(
        caller: &Location<'_>,
        server: SocketAddr,
        prepare: impl FnOnce(&TcpSocket),
    ) -> Self {
        let socket = match server {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        };
        let socket = socket.expect("a socket");
        prepare(&socket);
        let connected = within_at(caller, "connecting", socket.connect(server)).await;
        let socket = connected.unwrap_or_else(|error| panic!("connecting: {error}, at {caller}"));
        Self::of(socket)
    }

    pub(super) fn of(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("TCP_NODELAY");
        Self { socket: Socket::Plain(socket), raw: BytesMut::new() }
    }

    pub(super) async fn connect_tls(
        caller: &Location<'_>,
        server: SocketAddr,
        config: Arc<ClientConfig>,
    ) -> Self {
        let Self { socket, raw } = Self::connect(caller, server, |_| {}).await;
        let Socket::Plain(socket) = socket else { unreachable!("it was just connected") };
        let host = ServerName::try_from(crate::tls::HOST).expect("a name");
        let connecting = TlsConnector::from(config).connect(host, socket);
        let connected = within_at(caller, "the handshake of TLS", connecting).await;
        let socket = connected.unwrap_or_else(|error| panic!("no TLS: {error}, at {caller}"));
        Self { socket: Socket::Tls(Box::new(socket)), raw }
    }

    /// The protocol that the server chose by ALPN.
    pub fn protocol(&self) -> Option<String> {
        let Socket::Tls(tls) = &self.socket else { return None };
        Some(String::from_utf8_lossy(tls.get_ref().1.alpn_protocol()?).into_owned())
    }

    /// The address of the client's end.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.tcp().local_addr().expect("the address of a connected socket")
    }

    /// Sends any bytes.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let written = within_at(caller, "sending", self.socket.write_all(bytes)).await;
            written.unwrap_or_else(|error| panic!("sending: {error}, at {caller}"));
        }
    }

    /// Waits until the server has sent something, and leaves it unread.
    #[track_caller]
    pub fn answered(&self) -> impl Future<Output = ()> {
        within_at(Location::caller(), "an answer", async move {
            self.socket.tcp().peek(&mut [0]).await.expect("an answer");
        })
    }

    /// Reads until the server has closed the connection. Returns what has come.
    ///
    /// # Panics
    ///
    /// When the connection is reset.
    #[track_caller]
    pub fn read_to_end(mut self) -> impl Future<Output = Vec<u8>> {
        within_at(Location::caller(), "the end of the connection", async move {
            while self.socket.read_buf(&mut self.raw).await.expect("no reset") > 0 {}
            self.raw.to_vec()
        })
    }

    /// Waits until the server has ended the connection, whatever it sends before.
    #[track_caller]
    pub fn ended(mut self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        within_at(caller, "the end of the connection", async move {
            // An error is an end, too.
            while self.socket.read_buf(&mut self.raw).await.is_ok_and(|length| length > 0) {}
        })
    }

    /// Resets the connection.
    pub fn reset(self) {
        self.socket.tcp().set_zero_linger().expect("SO_LINGER");
    }

    /// Closes the connection in an orderly way: the server receives the end of the stream.
    #[track_caller]
    pub fn close(mut self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            // The server may have ended it before.
            let _ = within_at(caller, "closing", self.socket.shutdown()).await;
        }
    }
}
