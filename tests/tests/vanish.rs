//! Clients that connect and vanish at random moments leave nothing behind: no client in the
//! registry, no memory, no connection and so no task.
//!
//! 30,000 connections for each hub; `TIDINGS_CHURN` sets another number. The full figure, in
//! release mode:
//!
//! ```sh
//! TIDINGS_CHURN=100000 cargo test --release -p tidings-tests --test vanish -- --nocapture
//! ```

#![cfg(target_os = "linux")]

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
const AT_A_TIME: usize = 64;

/// What a fresh client gets of the past: enough for several writes.
const HISTORY: usize = 64;

/// How much larger a hub may be after all of them than after the first half, in bytes. Until then
/// its topic fills up, and its allocator finds out how much is in use at a time.
const BOUND: usize = 6 << 20;

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
        Err(_) => 30_000,
    };
    let hub = Arc::new(Process::start(package).await);
    for n in 0..HISTORY {
        publish(&hub, &format!("{n} {}", "x".repeat(2000))).await;
    }
    let before = hub.open_files().expect("Linux tells");
    println!("{package}: at the start {before} files, {:?} bytes", hub.memory());
    let mut settled = None;
    for round in 1..=10 {
        let began = Instant::now();
        vanish(&hub, connections / 10).await;
        let rate = connections as f64 / 10.0 / began.elapsed().as_secs_f64();
        nobody_is_left(&hub, before).await;
        let memory = hub.memory().expect("Linux tells");
        println!("{package}: round {round}: {memory} bytes, {rate:.0}/s, files as before");
        if round == 5 {
            settled = Some(memory);
        }
    }
    let (settled, last) = settled.zip(hub.memory()).expect("Linux tells");
    assert!(last < settled + BOUND, "it grew from {settled} to {last} bytes");
}

async fn publish(hub: &Process, data: &str) {
    let mut response = Response::to(hub.addr(), Request::post("/publish?topic=busy", data)).await;
    assert_eq!(response.status(), 200);
    response.read_to_end().await;
    response.reset();
}

/// A sequence that is different for each client, and the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// Opens and ends connections, while events are published.
async fn vanish(hub: &Arc<Process>, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (hub, next) = (hub.clone(), next.clone());
        clients.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                client(&hub, &mut Random(n as u64)).await;
                if n % 8 == 0 {
                    publish(&hub, &format!("{n} {}", "x".repeat(2000))).await;
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("a client did not fail");
    }
}

/// One client, which vanishes: before its request is whole, before the head of the response, behind
/// it, during the replay, or in mid-stream.
async fn client(hub: &Process, random: &mut Random) {
    // From several addresses, so that there are ports enough.
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + random.below(8) as u8));
    let mut connection = Connection::open_from(source, hub.addr()).await;
    let replay = random.below(2) == 0;
    let history = if replay { "all" } else { "0" };
    let request = Request::get(&format!("/events?topic=busy&topic=still&history={history}"));
    let bytes = request.bytes();
    let is_reset = random.below(2) == 0;
    let sent = match random.below(5) {
        0 => random.below(bytes.len()),
        1 => bytes.len(),
        _ => {
            let mut response = connection.send(&request).await;
            assert_eq!(response.status(), 200);
            if replay {
                // Less than what is retained, so that there is more to send.
                response.read_exactly(random.below(HISTORY * 2000)).await;
            } else {
                response.next_message().await;
                // Half of them wait for an event that comes in their time; half do not.
                if random.below(2) == 0 {
                    publish(hub, "mid-stream").await;
                    response.next_message().await;
                }
            }
            return match is_reset {
                true => response.reset(),
                false => response.close().await,
            };
        }
    };
    connection.write(&bytes[..sent]).await;
    match is_reset {
        true => connection.reset(),
        false => connection.close().await,
    }
}

/// Waits until no client is listed, and no connection is open.
async fn nobody_is_left(hub: &Process, files: usize) {
    within("nobody is left", async {
        loop {
            let mut response = Response::to(hub.addr(), Request::get("/clients")).await;
            assert_eq!(response.read_to_end().await, Ending::Whole);
            let list: Value = serde_json::from_str(response.text()).expect("JSON");
            // With the connection of this question.
            let open = hub.open_files().expect("Linux tells");
            response.reset();
            if list["total"] == 0 && open <= files + 1 {
                return;
            }
        }
    })
    .await;
}
