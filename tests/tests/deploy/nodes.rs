use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::redis;
use tidings_testkit::wire::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::Events;
use crate::{RATE, until};

/// What a load balancer knows of a node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) addr: SocketAddr,
    pub(crate) is_ready: AtomicBool,
}

/// Example hubs as processes, on a Redis of their own.
pub(crate) struct Nodes {
    processes: Vec<Option<Process>>,
    list: Arc<Vec<Node>>,
    peak_memory: AtomicUsize,
    next: AtomicUsize,
    _redis: redis::Server,
}

impl Nodes {
    const COUNT: usize = 3;

    pub(crate) async fn start(drain: Duration) -> Self {
        let redis =
            redis::Server::start_with(&["--appendonly", "no"]).await.expect("it is installed");
        let (url, drain) = (redis.url(), drain.as_secs_f64().to_string());
        let mut processes = Vec::new();
        for _ in 0..Self::COUNT {
            let arguments =
                ["--listen", ANY_PORT, "--log", &url, "--drain-over", &drain, "--demo", "false"];
            processes.push(Some(Process::start_with("hub-axum", &arguments).await));
        }
        let node = |process: &Process| Node { addr: process.addr(), is_ready: false.into() };
        let list: Arc<Vec<_>> = Arc::new(processes.iter().flatten().map(node).collect());
        for number in 0..list.len() {
            tokio::spawn(watch(Arc::downgrade(&list), number));
        }
        let (peak_memory, next) = (0.into(), 0.into());
        let nodes = Self { processes, list, peak_memory, next, _redis: redis };
        until("all nodes are ready", || nodes.is_ready(0..Self::COUNT)).await;
        nodes
    }

    fn is_ready(&self, mut numbers: impl Iterator<Item = usize>) -> bool {
        numbers.all(|number| self.list[number].is_ready.load(Ordering::Relaxed))
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn list(&self) -> Arc<Vec<Node>> {
        self.list.clone()
    }

    /// Publishes the next number, on one node that is ready after the other.
    pub(crate) async fn publish(&self, events: &Events) {
        let number = events.count();
        let target = format!("/publish?topic=deploy&key={number}");
        let data = format!("{number} {}", "x".repeat(200));
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % self.list.len();
            if !self.list[next].is_ready.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(1)).await;
                continue;
            }
            let mut response =
                Response::to(self.list[next].addr, Request::post(&target, data.as_str())).await;
            response.read_to_end().await;
            if response.status() == 200 {
                let answer: serde_json::Value = serde_json::from_str(response.text()).unwrap();
                return events.published(answer["id"].as_str().unwrap().to_owned());
            }
        }
    }

    /// Ends a node with SIGTERM, and publishes meanwhile.
    pub(crate) async fn stop(&mut self, number: usize, drain: Duration, events: &Events) {
        self.look_at_memory();
        let mut process = self.processes[number].take().expect("it runs");
        // The publisher goes to the others: a node that ends may not answer.
        self.list[number].is_ready.store(false, Ordering::Relaxed);
        process.terminate();
        let began = Instant::now();
        let listens = async || TcpStream::connect(process.addr()).await.is_ok();
        while listens().await {
            assert!(began.elapsed() < drain + Duration::from_secs(10), "it does not end");
            self.publish(events).await;
            sleep(Duration::from_secs(1) / RATE).await;
        }
        assert!(process.ended().await.success());
        self.processes[number] = Some(process);
    }

    pub(crate) async fn restart(&mut self, number: usize) {
        let process = self.processes[number].take().expect("it has ended");
        self.processes[number] = Some(process.restart().await);
        until("the node is ready again", || self.is_ready(number..number + 1)).await;
    }

    fn look_at_memory(&self) {
        for process in self.processes.iter().flatten() {
            let peak = process.id().and_then(peak_memory).unwrap_or(0);
            self.peak_memory.fetch_max(peak, Ordering::Relaxed);
        }
    }

    /// The most that any of the processes has used, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        self.look_at_memory();
        self.peak_memory.load(Ordering::Relaxed)
    }
}

fn peak_memory(process: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

/// Asks a node again and again whether it is ready, as a load balancer does.
async fn watch(list: std::sync::Weak<Vec<Node>>, number: usize) {
    while let Some(list) = list.upgrade() {
        let node = &list[number];
        let is_ready = timeout(Duration::from_secs(2), is_ready(node.addr)).await;
        node.is_ready.store(is_ready.is_ok_and(|is_ready| is_ready), Ordering::Relaxed);
        drop(list);
        sleep(Duration::from_millis(200)).await;
    }
}

async fn is_ready(addr: SocketAddr) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(addr).await?;
        socket.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    ask.await.is_ok_and(|answer| answer.split(|byte| *byte == b' ').nth(1) == Some(b"200"))
}
