//! Nodes: example hubs as processes, each with its own link to the server of their log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::wire::{Connection, Request};
use tidings_tests::proxy::Proxy;
use tidings_tests::requirements;
use tokio::time::{Duration, interval, timeout};

use crate::broker::Broker;
use crate::engine::Engine;
use crate::publisher::VALUES;

/// One of each.
const HUBS: [&str; 3] = ["hub-axum", "hub-actix-web", "hub-warp"];

/// How long nodes may take to be ready again after a fault.
const RECOVERY: Duration = Duration::from_secs(30);

pub(crate) struct Cluster {
    pub(crate) broker: Option<Broker>,
    pub(crate) nodes: Vec<Node>,
}

pub(crate) struct Node {
    addr: SocketAddr,
    /// `None` only while it restarts.
    process: Option<Process>,
    pub(crate) link: Option<Proxy>,
    /// A file that sets this node's clock.
    clock: PathBuf,
}

impl Cluster {
    pub(crate) async fn start(engine: Engine, folder: &Path) -> Self {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).expect("a folder of the test's own");
        let broker = Broker::start(engine).await;
        let mut nodes = Vec::new();
        for number in 0..engine.nodes() {
            nodes.push(Node::start(engine, number, broker.as_ref(), folder).await);
        }
        let cluster = Self { broker, nodes };
        cluster.are_ready().await;
        cluster
    }

    pub(crate) fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.addr).collect()
    }

    /// Waits until all nodes report that they are ready.
    pub(crate) async fn are_ready(&self) {
        for node in &self.nodes {
            node.is_ready().await;
        }
    }
}

impl Node {
    async fn start(engine: Engine, number: usize, broker: Option<&Broker>, folder: &Path) -> Self {
        let link = match broker {
            Some(broker) => Some(Proxy::start(broker.addr()).await.expect("a free port")),
            None => None,
        };
        let log = match (&link, engine) {
            (Some(link), Engine::Redis) => format!("redis://{}/", link.addr()),
            (Some(link), Engine::Nats) => format!("nats://{}", link.addr()),
            _ => format!("redb:{}", folder.join("hub.redb").display()),
        };
        let clock = folder.join(format!("clock-{number}"));
        std::fs::write(&clock, "+0").expect("a file of the test's own");
        let library = requirements::faketime().expect("the test has looked for it");
        let environment = [
            ("LD_PRELOAD", library.to_str()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str()),
            ("FAKETIME_NO_CACHE", Some("1")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", Some("1")),
        ];
        let environment = environment.map(|(name, value)| (name, value.expect("a path of text")));
        let arguments = ["--listen", ANY_PORT, "--log", &log, "--latest-per-key", VALUES];
        let process = Process::start_in(HUBS[number], &arguments, &environment).await;
        Self { addr: process.addr(), process: Some(process), link, clock }
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it was started")
    }

    pub(crate) fn link(&self) -> &Proxy {
        self.link.as_ref().expect("its log has a server")
    }

    pub(crate) async fn kill(&mut self) {
        self.process.as_mut().expect("it was started").kill().await;
    }

    /// Sends SIGTERM, and waits until it has ended.
    pub(crate) async fn terminate(&mut self) {
        self.process().terminate();
        self.process.as_mut().expect("it was started").ended().await;
    }

    /// Restarts it after it has ended, and waits until it is ready.
    pub(crate) async fn restart(&mut self) {
        let process = self.process.take().expect("it was started");
        self.process = Some(process.restart().await);
        self.is_ready().await;
    }

    pub(crate) fn pause(&self) {
        self.process().pause();
    }

    pub(crate) fn resume(&self) {
        self.process().resume();
    }

    /// Sets its clock this many hours ahead.
    pub(crate) fn set_clock(&self, hours: i32) {
        std::fs::write(&self.clock, format!("{hours:+}h")).expect("a file of the test's own");
    }

    /// Waits until it reports that it is ready.
    async fn is_ready(&self) {
        let (mut look, request) = (interval(Duration::from_millis(20)), Request::get("/healthz"));
        let ready = async {
            loop {
                look.tick().await;
                let asked = Connection::try_send(self.addr, &request);
                let answer = timeout(Duration::from_secs(1), asked).await;
                if matches!(answer, Ok(Ok(response)) if response.status() == 200) {
                    return;
                }
            }
        };
        assert!(
            timeout(RECOVERY, ready).await.is_ok(),
            "{}: is not ready within {RECOVERY:?}: {}",
            self.addr,
            self.process().complaints()
        );
    }
}
