//! Clients that come and go on a topic where nothing happens leave nothing behind.
//!
//! 20,000 connections for each hub; `TIDINGS_CHURN` sets another number. The full figure, in
//! release mode:
//!
//! ```sh
//! TIDINGS_CHURN=1000000 cargo test --release -p tidings-tests --test churn axum -- --nocapture
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;
use tidings_testkit::limit::within;
use tidings_testkit::process::Process;
use tidings_testkit::wire::{Connection, Ending, Request, Response};
use tokio::task::JoinSet;

/// Connections that are open at the same time.
const AT_A_TIME: usize = 128;

/// How much larger a hub may be after all of them than after the first tenth, in bytes. What grew
/// with each connection by as little as a waker would be 16 MiB at a million.
const BOUND: usize = 4 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axum() {
    nothing_is_left_behind("hub-axum").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actix_web() {
    nothing_is_left_behind("hub-actix-web").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warp() {
    nothing_is_left_behind("hub-warp").await;
}

async fn nothing_is_left_behind(package: &str) {
    let connections = match std::env::var("TIDINGS_CHURN") {
        Ok(count) => count.parse().expect("TIDINGS_CHURN is a number"),
        Err(_) => 20_000,
    };
    let hub = Arc::new(Process::start(package).await);
    let memory = |hub: &Process| hub.memory().map(|bytes| bytes >> 10);
    println!("{package}: {connections} connections; at the start {:?} KiB", memory(&hub));
    let tenth = connections / 10;
    let mut first = None;
    for round in 1..=10 {
        let began = Instant::now();
        come_and_go(&hub, tenth).await;
        let rate = tenth as f64 / began.elapsed().as_secs_f64();
        nobody_is_left(&hub).await;
        let bytes = hub.memory();
        println!("{package}: {:>8}: {:?} KiB, {rate:.0}/s", round * tenth, memory(&hub));
        first = first.or(bytes);
    }
    let Some((first, last)) = first.zip(hub.memory()) else {
        eprintln!("skipped: this system does not tell the memory of a process");
        return;
    };
    assert!(last < first + BOUND, "it grew from {first} to {last} bytes");
}

/// Opens and breaks off connections: before the response, behind its head, behind the status.
async fn come_and_go(hub: &Arc<Process>, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (hub, next) = (hub.clone(), next.clone());
        clients.spawn(async move {
            let request = Request::get("/events?topic=quiet&topic=still");
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                // From several addresses where all of 127.0.0.0/8 are the machine's own, so that
                // there are ports enough.
                let last = if cfg!(target_os = "linux") { 2 + (n % 8) as u8 } else { 1 };
                let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
                let mut connection = Connection::open_from(source, hub.addr()).await;
                if n % 3 == 0 {
                    connection.write(&request.bytes()).await;
                    connection.reset();
                    continue;
                }
                let mut response = connection.send(&request).await;
                assert_eq!(response.status(), 200);
                if n % 3 == 1 {
                    response.next_message().await;
                }
                response.reset();
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("a client did not fail");
    }
}

async fn nobody_is_left(hub: &Process) {
    within("nobody is left", async {
        loop {
            let mut response = Response::to(hub.addr(), Request::get("/clients")).await;
            assert_eq!(response.read_to_end().await, Ending::Whole);
            let list: Value = serde_json::from_str(response.text()).expect("JSON");
            response.reset();
            if list["total"] == 0 {
                assert_eq!(list["topics"], serde_json::json!({}));
                return;
            }
        }
    })
    .await;
}
