//! A link between two processes that can be cut: a TCP proxy that holds back what one side or both sides send, or
//! resets every connection.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// What passes the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// Everything.
    Both,
    /// Only what the server sends.
    ToClient,
    /// Only what the client sends.
    ToServer,
    /// Nothing.
    Neither,
}

/// A link between clients and a server. It ends with all its connections when it is dropped.
///
/// Bytes that do not pass are held back, as TCP does on a link that loses every packet: they arrive when the link is
/// restored, unless the connection has ended before. The end of a connection, or its reset, is held back, too, so that the
/// other side does not notice it. A new connection is accepted meanwhile, and gets no answer.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    link: watch::Sender<Link>,
    accepting: AbortHandle,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    server: SocketAddr,
    passing: Passing,
    /// How many times all connections were reset.
    resets: usize,
}

impl Link {
    fn passes(self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => matches!(self.passing, Passing::Both | Passing::ToServer),
            Direction::ToClient => matches!(self.passing, Passing::Both | Passing::ToClient),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1. The server may start later.
    ///
    /// # Errors
    ///
    /// When no port is free.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (link, state) = watch::channel(Link { server, passing: Passing::Both, resets: 0 });
        let accepting = tokio::spawn(accept(listener, state)).abort_handle();
        Ok(Self { addr, link, accepting })
    }

    /// The address for clients.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets what passes, in open and in new connections.
    pub fn pass(&self, passing: Passing) {
        self.link.send_modify(|link| link.passing = passing);
    }

    /// Resets all connections, on both sides.
    pub fn reset(&self) {
        self.link.send_modify(|link| link.resets += 1);
    }

    /// Leads new connections to another server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.link.send_modify(|link| link.server = server);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, link: watch::Receiver<Link>) {
    // These end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // A connection that has already ended cannot be accepted.
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(carry(client, link.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection to its end.
async fn carry(mut client: TcpStream, link: watch::Receiver<Link>) {
    let resets = link.borrow().resets;
    let mut changes = link.clone();
    let was_reset = async move {
        let _ = changes.wait_for(|link| link.resets != resets).await;
    };
    tokio::pin!(was_reset);
    let mut whole = link.clone();
    let server = tokio::select! {
        whole = whole.wait_for(|link| link.passing == Passing::Both) => whole.map(|link| link.server),
        () = &mut was_reset => return reset(&client),
    };
    let Ok(server) = server else { return reset(&client) };
    let Ok(mut server) = connect(server).await else { return reset(&client) };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let carried = async {
        tokio::try_join!(
            hand_on(from_client, to_server, link.clone(), Direction::ToServer),
            hand_on(from_server, to_client, link, Direction::ToClient),
        )
    };
    let is_whole = tokio::select! {
        carried = carried => carried.is_ok(),
        () = was_reset => false,
    };
    if !is_whole {
        reset(&client);
        reset(&server);
    }
}

async fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut link: watch::Receiver<Link>,
    direction: Direction,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        let passes = link.wait_for(|link| link.passes(direction)).await;
        passes.map_err(|_| io::ErrorKind::ConnectionReset)?;
        let length = read?;
        let written = match length {
            0 => to.shutdown().await,
            _ => to.write_all(&buffer[..length]).await,
        };
        if written.is_err() {
            // What says that the other side is gone comes from there.
            let _ = link.wait_for(|link| link.passes(direction.back())).await;
        }
        if length == 0 || written.is_err() {
            return written;
        }
    }
}

/// Resets the connection when it is dropped.
fn reset(stream: &TcpStream) {
    // Fails when it is already closed.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::limit::within;
    use tokio::time::timeout;

    use super::*;

    /// A proxy, and a connection through it: the client's end and the server's.
    async fn connected() -> (Proxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let client = TcpStream::connect(proxy.addr()).await.unwrap();
        let (server, _) = within("a connection", listener.accept()).await.unwrap();
        (proxy, client, server)
    }

    async fn comes(stream: &mut TcpStream, text: &str) {
        let mut read = vec![0; text.len()];
        within("some bytes", stream.read_exact(&mut read)).await.unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), text);
    }

    async fn is_silent(stream: &mut TcpStream) -> bool {
        timeout(Duration::from_millis(50), stream.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn bytes_and_ends_pass_both_ways() {
        let (_proxy, mut client, mut server) = connected().await;
        client.write_all(b"question").await.unwrap();
        comes(&mut server, "question").await;
        server.write_all(b"answer").await.unwrap();
        comes(&mut client, "answer").await;
        client.shutdown().await.unwrap();
        let end = within("the end", server.read_u8()).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        server.write_all(b"last").await.unwrap();
        comes(&mut client, "last").await;
    }

    #[tokio::test]
    async fn one_direction_is_held_back_and_comes_later() {
        let (proxy, mut client, mut server) = connected().await;
        proxy.pass(Passing::ToClient);
        client.write_all(b"held back").await.unwrap();
        server.write_all(b"passes").await.unwrap();
        comes(&mut client, "passes").await;
        assert!(is_silent(&mut server).await);
        proxy.pass(Passing::ToServer);
        comes(&mut server, "held back").await;
        server.write_all(b"held back").await.unwrap();
        assert!(is_silent(&mut client).await);
        proxy.pass(Passing::Both);
        comes(&mut client, "held back").await;
    }

    #[tokio::test]
    async fn a_cut_link_takes_connections_and_answers_nothing() {
        let (proxy, mut client, mut server) = connected().await;
        proxy.pass(Passing::Neither);
        let mut other = TcpStream::connect(proxy.addr()).await.unwrap();
        assert!(is_silent(&mut other).await);
        drop(client.shutdown().await);
        assert!(is_silent(&mut server).await && is_silent(&mut client).await);
    }

    #[tokio::test]
    async fn the_reset_of_a_side_is_held_back() {
        let (proxy, client, mut server) = connected().await;
        proxy.pass(Passing::Neither);
        client.set_zero_linger().unwrap();
        drop(client);
        assert!(is_silent(&mut server).await);
        // So is the answer to bytes that come to nobody.
        proxy.pass(Passing::ToClient);
        server.write_all(b"lost").await.unwrap();
        assert!(is_silent(&mut server).await);
        proxy.pass(Passing::Both);
        let end = within("the reset", server.read_u8()).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_reset_is_felt_on_both_sides() {
        let (proxy, mut client, mut server) = connected().await;
        proxy.reset();
        for stream in [&mut client, &mut server] {
            let end = within("the reset", stream.read_u8()).await;
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn a_server_that_is_gone_resets_its_clients() {
        let (proxy, mut client, server) = connected().await;
        server.set_zero_linger().unwrap();
        drop(server);
        let end = within("the reset", client.read_u8()).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        // Nobody listens there.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        proxy.lead_to(free);
        let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
        let end = within("the reset", client.read_u8()).await;
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
