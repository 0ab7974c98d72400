//! What else is served beside a topic that never rests: a quiet topic, and new streams.
//!
//! In a short run, both must go on. A long one in release mode, with 2,000 readers, writes its figures into
//! docs/BENCHMARKS.md: of hubs that share all cores with their clients, and, on Linux, of hubs that have a core:
//!
//! ```sh
//! TIDINGS_WRITE_DOCS=1 cargo test --release -p tidings-tests --test attacks firehose
//! ```

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tidings_testkit::limit::within;
use tidings_testkit::wire::{Connection, Request, Response};
use tidings_tests::document;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::attacker::{open, rest};
use crate::target::{Target, load, transports};

/// The longest that the events of a quiet topic and the new streams may take beside a firehose: half of them in a short run,
/// which has few of them and a machine that does other things, and 99 % in a long one. A hub that is not fair takes
/// seconds. The targets, which need an idle machine, are 20 and 50 ms.
const LATENCY: Duration = Duration::from_millis(1_000);

/// Of the table.
const HEAD: &str = "\
| hub | transport | quiet topic, p99 alone | beside | new stream, p99 alone | beside \
| deliveries a second without these two | beside |
|---|---|--:|--:|--:|--:|--:|--:|
";

/// The value that a part of the sorted values does not exceed.
fn quantile(values: &[f64], part: f64) -> f64 {
    values[((values.len() - 1) as f64 * part) as usize]
}

/// Milliseconds, sorted: from publications to their receipts on a quiet topic, and from requests to the heads of their
/// streams.
async fn probe(addr: SocketAddr, time: Duration) -> [Vec<f64>; 2] {
    let (quiet, heads) = (tokio::spawn(quiet(addr, time)), tokio::spawn(heads(addr, time)));
    [quiet.await, heads.await].map(|times| {
        let mut times = times.expect("it is served");
        times.sort_by(f64::total_cmp);
        times
    })
}

/// Deliveries of the busy topic, a second.
async fn hammer(addr: SocketAddr, readers: usize, time: Duration) -> f64 {
    let publishing = tokio::spawn(saturate(addr));
    let report = load(addr, "busy", &["--clients", &readers.to_string()], time).await;
    publishing.abort();
    report["deliveries"]["per_second"].as_f64().expect("a number")
}

/// Publishes to the busy topic as fast as the hub takes it, on some connections.
async fn saturate(addr: SocketAddr) {
    let mut publishers = JoinSet::new();
    for _ in 0..4 {
        publishers.spawn(async move {
            let mut connection = Connection::open(addr).await;
            loop {
                let request = Request::post("/publish?topic=busy", "x".repeat(200));
                let mut response = connection.send(&request).await;
                response.read_to_end().await;
                connection = response.into_connection();
            }
        });
    }
    publishers.join_next().await;
}

fn every(milliseconds: u64) -> tokio::time::Interval {
    let mut every = interval(Duration::from_millis(milliseconds));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}

/// The latencies of a quiet topic.
async fn quiet(addr: SocketAddr, time: Duration) -> Vec<f64> {
    let mut stream = Response::to(addr, Request::get("/events?topic=quiet")).await;
    stream.next_message().await;
    let (began, mut every, mut times) = (Instant::now(), every(50), Vec::new());
    while began.elapsed() < time {
        every.tick().await;
        let request = Request::post("/publish?topic=quiet", "x").header("connection", "close");
        let socket = open(addr, &request.bytes()).await.expect("a connection");
        let at = Instant::now();
        stream.next_message().await;
        times.push(at.elapsed().as_secs_f64() * 1e3);
        within("the end of the answer", rest(socket)).await;
    }
    times
}

/// The times until the heads of new streams.
async fn heads(addr: SocketAddr, time: Duration) -> Vec<f64> {
    let (began, mut every, mut times) = (Instant::now(), every(50), Vec::new());
    while began.elapsed() < time {
        every.tick().await;
        let at = Instant::now();
        let connection = Connection::open(addr).await;
        let stream = connection.send(&Request::get("/events?topic=new")).await;
        times.push(at.elapsed().as_secs_f64() * 1e3);
        stream.reset();
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_topics_and_new_streams_go_on_beside_a_firehose() {
    let shared = compare(None).await;
    if document::is_written() {
        write("firehose", &shared);
        if cfg!(target_os = "linux") {
            move_to_core_1();
            write("firehose, a core each", &compare(Some(0)).await);
        }
    }
}

/// This process, and those that it starts, use core 1 from now on.
fn move_to_core_1() {
    let process = std::process::id().to_string();
    let arguments = ["--all-tasks", "--cpu-list", "--pid", "1", &process];
    let moved = Command::new("taskset").args(arguments).output();
    assert!(moved.expect("taskset runs").status.success());
}

/// A table of all hubs, which share all cores with their clients, or have this core. Asserts that nothing takes too long.
async fn compare(core: Option<u32>) -> String {
    let (readers, time, part) = match document::is_written() {
        true => (2_000, Duration::from_secs(20), 0.99),
        false => (200, Duration::from_secs(3), 0.5),
    };
    let (mut table, mut late) = (HEAD.to_owned(), Vec::new());
    for package in ["hub-axum", "hub-warp", "hub-actix-web"] {
        for transport in transports(package) {
            let target = match core {
                None => Target::start_on(package, transport).await,
                Some(core) => Target::start_on_core(package, transport, core).await,
            };
            let addr = target.addr();
            let [quiet_alone, heads_alone] = probe(addr, time / 4).await;
            let busy_alone = hammer(addr, readers, time).await;
            target.let_go(0).await;
            let ([quiet, heads], busy) =
                tokio::join!(probe(addr, time), hammer(addr, readers, time));
            let row = [&quiet_alone, &quiet, &heads_alone, &heads]
                .map(|times| format!("{:.1} ms", quantile(times, 0.99)));
            let row = row.join(" | ");
            writeln!(table, "| {package} | {transport} | {row} | {busy_alone:.0} | {busy:.0} |")
                .unwrap();
            for times in [&quiet, &heads] {
                let took = Duration::from_secs_f64(quantile(times, part) / 1e3);
                if took >= LATENCY {
                    late.push(format!("{package}, {transport}: {took:?}"));
                }
            }
            assert!(busy > 0.0, "nothing was delivered");
        }
    }
    println!("{table}");
    assert!(late.is_empty(), "beside a firehose: {late:?}");
    table
}

fn write(part: &str, text: &str) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/BENCHMARKS.md"));
    let benchmarks = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, document::put(&benchmarks, part, text)).unwrap();
}
