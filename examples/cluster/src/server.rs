//! A server in a temporary folder, for this machine only.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{interval, timeout};

use crate::program::Running;

/// How long a server may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The servers that can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broker {
    Redis,
    Nats,
}

impl Broker {
    /// The server that `--log` names, if it does.
    pub(crate) fn named(log: &str) -> Option<Self> {
        match log {
            "redis" => Some(Self::Redis),
            "nats" => Some(Self::Nats),
            _ => None,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Nats => "nats-server",
        }
    }

    fn url(self, addr: SocketAddr) -> String {
        match self {
            Self::Redis => format!("redis://{addr}/"),
            Self::Nats => format!("nats://{addr}"),
        }
    }

    fn command(self, addr: SocketAddr, folder: &Path) -> Command {
        let (host, port) = (addr.ip().to_string(), addr.port().to_string());
        let mut command = Command::new(self.program());
        match self {
            Self::Redis => command
                .args(["--bind", &host, "--port", &port, "--appendonly", "yes", "--save", ""])
                .arg("--dir"),
            Self::Nats => command.args(["--addr", &host, "--port", &port, "-js", "--store_dir"]),
        };
        command.arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// A running server and its data, which is removed with it.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    broker: Broker,
    url: String,
    folder: PathBuf,
}

impl Server {
    /// Starts a server on a free port.
    ///
    /// # Errors
    ///
    /// When its program is not installed, or does not start.
    pub(crate) async fn start(broker: Broker) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("tidings-cluster-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let addr = free.map_err(|error| format!("no free port: {error}"))?;
        let running = Running::start(broker.command(addr, &folder)).map_err(|error| {
            let _ = std::fs::remove_dir_all(&folder);
            format!("{error}; install it, or name a server: --log redis://… or --log nats://…")
        })?;
        let mut server = Self { running, broker, url: broker.url(addr), folder };
        let listening = async {
            let mut look = interval(Duration::from_millis(20));
            while TcpStream::connect(addr).await.is_err() && !server.running.has_ended() {
                look.tick().await;
            }
        };
        let _ = timeout(START_LIMIT, listening).await;
        if server.running.has_ended() || TcpStream::connect(addr).await.is_err() {
            server.end().await;
            return Err(format!("{}: does not listen on {addr}", broker.program()));
        }
        Ok(server)
    }

    /// Its name and address, for the user.
    pub(crate) fn describe(&self) -> String {
        format!("{} at {}, process {}", self.broker.program(), self.url, self.running.id())
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// Ends it and removes its data.
    pub(crate) async fn end(self) {
        self.running.end().await;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
