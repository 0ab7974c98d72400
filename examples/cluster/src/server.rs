//! A server of one's own: in a folder of its own, for this machine only.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{interval, timeout};

use crate::program::Running;

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Nats,
}

impl Kind {
    /// What `--log` asks to be started, if it does.
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

/// A server that runs, and its data, which goes with it.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    kind: Kind,
    url: String,
    folder: PathBuf,
}

impl Server {
    /// Starts a server on a free port.
    ///
    /// # Errors
    ///
    /// When its program is not there, or it does not start.
    pub(crate) async fn start(kind: Kind) -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("tidings-cluster-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let addr = free.map_err(|error| format!("there is no free port: {error}"))?;
        let running = Running::start(kind.command(addr, &folder)).map_err(|error| {
            let _ = std::fs::remove_dir_all(&folder);
            format!("{error}; install it, or name a server: --log redis://… or --log nats://…")
        })?;
        let mut server = Self { running, kind, url: kind.url(addr), folder };
        let listening = async {
            let mut look = interval(Duration::from_millis(20));
            while TcpStream::connect(addr).await.is_err() && !server.running.has_ended() {
                look.tick().await;
            }
        };
        let _ = timeout(PATIENCE, listening).await;
        if server.running.has_ended() || TcpStream::connect(addr).await.is_err() {
            server.end().await;
            return Err(format!("{}: does not listen on {addr}", kind.program()));
        }
        Ok(server)
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        format!("{} at {}, process {}", self.kind.program(), self.url, self.running.id())
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// Ends it, and removes its data.
    pub(crate) async fn end(self) {
        self.running.end().await;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
