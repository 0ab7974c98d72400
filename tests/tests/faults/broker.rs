//! The servers that nodes share, as processes that end with the test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tidings_testkit::limit::within;
use tidings_tests::requirements::{self, Missing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::interval;

use crate::engine::Engine;

pub(crate) struct Broker {
    engine: Engine,
    program: PathBuf,
    folder: PathBuf,
    addr: SocketAddr,
    child: Child,
}

impl Broker {
    /// Starts a server on a free port, with an empty folder for its data.
    pub(crate) async fn start(engine: Engine, folder: &Path) -> Self {
        let program = program(engine).expect("the test has looked for it").expect("it is a server");
        // Somebody else may take the port before the server does.
        for _ in 0..5 {
            let free =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
            let addr = free.expect("a free port");
            let folder = folder.join("broker");
            empty(&folder);
            let child = spawn(engine, &program, addr, &folder);
            let mut broker = Self { engine, program: program.clone(), folder, addr, child };
            if broker.listens().await {
                return broker;
            }
        }
        panic!("{engine}: does not listen");
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        within("the end of a killed server", self.child.kill()).await.expect("it is our child");
    }

    /// Starts it again where it was.
    pub(crate) async fn restart(&mut self, with_data: bool) {
        if !with_data {
            empty(&self.folder);
        }
        self.child = spawn(self.engine, &self.program, self.addr, &self.folder);
        assert!(self.listens().await, "{}: does not listen again", self.engine);
    }

    /// Removes all events but the newest few.
    pub(crate) async fn trim(&self, keep: usize) {
        let (request, answer) = match self.engine {
            Engine::Redb => unreachable!("it has no server"),
            Engine::Redis => (format!("XTRIM {{tidings}}:log MAXLEN {keep}\r\n"), ":"),
            Engine::Nats => {
                let body = format!("{{\"keep\":{keep}}}");
                let subject = "$JS.API.STREAM.PURGE.TIDINGS";
                let publish = format!("PUB {subject} answer {}\r\n{body}\r\n", body.len());
                (format!("CONNECT {{}}\r\nSUB answer 1\r\n{publish}"), "\"success\":true")
            }
        };
        let mut server = TcpStream::connect(self.addr).await.expect("it listens");
        server.write_all(request.as_bytes()).await.expect("it reads");
        let mut said = Vec::new();
        within("a trimmed log", async {
            while !String::from_utf8_lossy(&said).contains(answer) {
                let read = server.read_buf(&mut said).await.expect("it answers");
                assert_ne!(read, 0, "{}", String::from_utf8_lossy(&said));
            }
        })
        .await;
    }

    /// Waits until it takes connections; false if it has ended before.
    async fn listens(&mut self) -> bool {
        let mut look = interval(Duration::from_millis(10));
        within("a server that listens", async {
            loop {
                look.tick().await;
                if self.child.try_wait().expect("it is our child").is_some() {
                    return false;
                }
                if TcpStream::connect(self.addr).await.is_ok() {
                    return true;
                }
            }
        })
        .await
    }
}

/// The server's program; `None` for an engine that has none.
pub(crate) fn program(engine: Engine) -> Result<Option<PathBuf>, Missing> {
    let program = match engine {
        Engine::Redb => return Ok(None),
        Engine::Redis => requirements::program("redis-server", "redis-server"),
        Engine::Nats => requirements::program("nats-server", "nats-server"),
    };
    program.map(Some)
}

fn empty(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("a folder of the test's own");
}

fn spawn(engine: Engine, program: &Path, addr: SocketAddr, folder: &Path) -> Child {
    let (host, port) = (addr.ip().to_string(), addr.port().to_string());
    let mut command = Command::new(program);
    match engine {
        Engine::Redb => unreachable!("it has no server"),
        // Once a second to the disk, and to the system at once: that is what a kill leaves.
        Engine::Redis => command
            .args(["--bind", &host, "--port", &port, "--dir"])
            .arg(folder)
            .args(["--appendonly", "yes", "--save", ""]),
        Engine::Nats => command
            .args(["--addr", &host, "--port", &port, "--jetstream", "--store_dir"])
            .arg(folder),
    };
    let log = folder.with_extension("log");
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log file");
    let errors = log.try_clone().expect("the same file");
    command.kill_on_drop(true).stdin(Stdio::null()).stdout(log).stderr(errors);
    command.spawn().expect("the server starts")
}
