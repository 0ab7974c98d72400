//! What else is served beside a topic that never rests: a quiet topic, and new streams.
//!
//! In a short run, both must go on. A long one in release mode, with 2,000 readers, writes its figures into
//! docs/BENCHMARKS.md:
//!
//! ```sh
//! TIDINGS_WRITE_DOCS=1 cargo test --release -p tidings-tests --test attacks firehose
//! ```

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tidings_testkit::limit::within;
use tidings_testkit::wire::{Connection, Request, Response};
use tidings_tests::document;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::attacker::{open, rest};
use crate::target::{Target, load, transports};

/// The longest that half of the events of a quiet topic and half of the new streams may take beside a short firehose.
/// Generous: a hub that is not fair takes seconds.
const LATENCY: Duration = Duration::from_millis(1_000);

struct Figures {
    /// Milliseconds: from a publication to its receipt on a quiet topic, and from a request to the head of its stream.
    quiet: Vec<f64>,
    heads: Vec<f64>,
    /// Deliveries of the busy topic, a second.
    busy: f64,
}

/// The value that a part of the sorted values does not exceed.
fn quantile(values: &[f64], part: f64) -> f64 {
    values[((values.len() - 1) as f64 * part) as usize]
}

async fn measure(target: &Target, readers: usize, time: Duration) -> Figures {
    let addr = target.addr();
    let quiet = tokio::spawn(quiet(addr, time));
    let heads = tokio::spawn(heads(addr, time));
    let busy = match readers {
        0 => 0.0,
        _ => {
            let publishing = tokio::spawn(saturate(addr));
            let report = load(addr, "busy", &["--clients", &readers.to_string()], time).await;
            publishing.abort();
            report["deliveries"]["per_second"].as_f64().expect("a number")
        }
    };
    let [mut quiet, mut heads] =
        [quiet.await, heads.await].map(|times| times.expect("it is served"));
    quiet.sort_by(f64::total_cmp);
    heads.sort_by(f64::total_cmp);
    Figures { quiet, heads, busy }
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
    let (readers, time) = match document::is_written() {
        true => (2_000, Duration::from_secs(20)),
        false => (200, Duration::from_secs(3)),
    };
    let mut table = "| hub | transport | quiet topic, p99 alone | beside | new stream, p99 alone | beside | deliveries a second |\n\
                     |---|---|--:|--:|--:|--:|--:|\n".to_owned();
    for package in ["hub-axum", "hub-warp", "hub-actix-web"] {
        for transport in transports(package) {
            let target = Target::start_on(package, transport).await;
            let alone = measure(&target, 0, time / 4).await;
            let beside = measure(&target, readers, time).await;
            let row = [&alone.quiet, &beside.quiet, &alone.heads, &beside.heads]
                .map(|times| format!("{:.1} ms", quantile(times, 0.99)));
            writeln!(
                table,
                "| {package} | {transport} | {} | {:.0} |",
                row.join(" | "),
                beside.busy
            )
            .unwrap();
            for times in [&beside.quiet, &beside.heads] {
                let half = Duration::from_secs_f64(quantile(times, 0.5) / 1e3);
                assert!(half < LATENCY, "{package}, {transport}: {half:?} beside a firehose");
            }
            assert!(beside.busy > 0.0, "nothing was delivered");
        }
    }
    println!("{table}");
    if document::is_written() {
        write("firehose", &table);
    }
}

fn write(part: &str, text: &str) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/BENCHMARKS.md"));
    let benchmarks = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, document::put(&benchmarks, part, text)).unwrap();
}
