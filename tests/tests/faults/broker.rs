//! The server of the nodes' log.

use std::net::{Ipv4Addr, SocketAddr};

use tidings_testkit::limit::within;
use tidings_tests::{nats, redis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::Engine;

/// A server that ends with the test.
#[derive(Debug)]
pub(crate) enum Broker {
    Redis(redis::Server),
    Nats(nats::Server),
}

impl Broker {
    /// Starts a server; `None` for an engine that has none.
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        let there = "it is installed";
        match engine {
            Engine::Redb => None,
            Engine::Redis => Some(Self::Redis(redis::Server::start().await.expect(there))),
            Engine::Nats => Some(Self::Nats(nats::Server::start().await.expect(there))),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        let port = match self {
            Self::Redis(server) => server.port(),
            Self::Nats(server) => server.port(),
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        match self {
            Self::Redis(server) => server.kill().await,
            Self::Nats(server) => server.kill().await,
        }
    }

    /// Restarts it at the same address.
    pub(crate) async fn restart(&mut self) {
        match self {
            Self::Redis(server) => server.start_again().await,
            Self::Nats(server) => server.restart().await,
        }
    }

    /// Deletes all data, after it was killed.
    pub(crate) fn wipe(&mut self) {
        match self {
            Self::Redis(server) => server.wipe(),
            Self::Nats(server) => server.wipe(),
        }
    }

    /// Removes all events except for the newest.
    pub(crate) async fn trim(&self, keep: usize) {
        match self {
            Self::Redis(server) => {
                let keep = keep.to_string();
                server.cli(&["XTRIM", "{tidings}:log", "MAXLEN", &keep]).await;
            }
            Self::Nats(_) => purge(self.addr(), keep).await,
        }
    }
}

/// Asks a NATS server to purge the stream.
async fn purge(addr: SocketAddr, keep: usize) {
    let body = format!("{{\"keep\":{keep}}}");
    let publish = format!("PUB $JS.API.STREAM.PURGE.TIDINGS answer {}\r\n{body}\r\n", body.len());
    let mut server = TcpStream::connect(addr).await.expect("it listens");
    let request = format!("CONNECT {{}}\r\nSUB answer 1\r\n{publish}");
    server.write_all(request.as_bytes()).await.expect("it reads");
    let mut said = Vec::new();
    within("a purged stream", async {
        while !String::from_utf8_lossy(&said).contains("\"success\":true") {
            let read = server.read_buf(&mut said).await.expect("it answers");
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&said));
        }
    })
    .await;
}
