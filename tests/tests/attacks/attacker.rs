//! What attackers do on a socket. Nothing here fails a test: a server may end a connection at any moment.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connects and sends bytes.
pub(crate) async fn open(server: SocketAddr, bytes: &[u8]) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    socket.write_all(bytes).await?;
    Ok(socket)
}

/// As [`open`], with a small receive buffer.
pub(crate) async fn open_narrow(server: SocketAddr, bytes: &[u8]) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut socket = socket.connect(server).await?;
    socket.write_all(bytes).await?;
    Ok(socket)
}

/// Many connections that send the same bytes. Those that a server without room does not take in time are given up.
pub(crate) async fn crowd(server: SocketAddr, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let bytes: Arc<[u8]> = bytes.into();
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let bytes = bytes.clone();
        opening.spawn(async move { open(server, &bytes).await });
    }
    let mut sockets = Vec::with_capacity(count);
    let all = async {
        while let Some(opened) = opening.join_next().await {
            sockets.extend(opened.ok().and_then(Result::ok));
        }
    };
    let _ = timeout(Duration::from_secs(3), all).await;
    sockets
}

/// Connections that all begin at the same moment. Returns them with the time that the slowest took.
pub(crate) async fn burst(server: SocketAddr, count: usize) -> (Vec<TcpStream>, Duration) {
    let began = Instant::now();
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        connecting.spawn(async move { (TcpStream::connect(server).await, began.elapsed()) });
    }
    let (mut sockets, mut slowest) = (Vec::with_capacity(count), Duration::ZERO);
    while let Some(Ok((socket, took))) = connecting.join_next().await {
        sockets.extend(socket);
        slowest = slowest.max(took);
    }
    (sockets, slowest)
}

/// What comes until the connection ends.
pub(crate) async fn rest(mut socket: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = socket.read(&mut piece).await {
        // Enough for a head.
        if bytes.len() < 65_536 {
            bytes.extend_from_slice(&piece[..length]);
        }
    }
    bytes
}

/// Waits for the end of each connection.
pub(crate) async fn ends(sockets: Vec<TcpStream>) {
    let mut ending: JoinSet<_> = sockets.into_iter().map(rest).collect();
    while ending.join_next().await.is_some() {}
}

/// Sends the same bytes again and again, at most `times` and as long as the server takes them, and reads what comes
/// meanwhile. Returns how often they were sent, and whether the server has ended the connection.
pub(crate) async fn flood(socket: TcpStream, bytes: &[u8], times: usize) -> (usize, bool) {
    let (mut from, mut to) = socket.into_split();
    let mut sent = 0;
    let sending = async {
        while sent < times && to.write_all(bytes).await.is_ok() {
            sent += 1;
            tokio::task::yield_now().await;
        }
        sent < times
    };
    let reading = async {
        let mut piece = [0; 16_384];
        while let Ok(1..) = from.read(&mut piece).await {}
    };
    // Which comes first does not matter: both end with the connection.
    let ended = tokio::select! {
        ended = sending => ended,
        () = reading => true,
    };
    (sent, ended)
}

/// Sends one byte after the other, with a pause before each, as long as the server takes them.
pub(crate) async fn drip(mut socket: TcpStream, byte: u8, pause: Duration) {
    let (mut from, mut to) = socket.split();
    let sending = async {
        while to.write_all(&[byte]).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
    };
    let reading = async {
        let mut piece = [0; 4096];
        while let Ok(1..) = from.read(&mut piece).await {}
    };
    tokio::select! {
        () = sending => {}
        () = reading => {}
    }
}

/// Reads a little again and again, with a pause after each, until the connection ends.
pub(crate) async fn sip(mut socket: TcpStream, pause: Duration) {
    let mut piece = [0; 1_024];
    while let Ok(1..) = socket.read(&mut piece).await {
        tokio::time::sleep(pause).await;
    }
}

/// Reads and forgets what comes, until the connection ends.
pub(crate) async fn read_on(socket: &mut TcpStream) {
    let mut piece = [0; 16_384];
    while let Ok(1..) = socket.read(&mut piece).await {}
}
