//! Clients that connect and vanish at random moments leave nothing: no client in the registry, no connection, no
//! entry in a wait list, no memory.
//!
//! 20,000 connections to each hub, and up to 50,000 where the memory of the second half grows; `TIDINGS_CHURN` sets another
//! number. The full number, in release mode:
//!
//! ```sh
//! TIDINGS_CHURN=1000000 cargo test --release -p tidings-tests --test churn -- --nocapture
//! ```
#![cfg(target_os = "linux")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidings_testkit::limit::within;
use tidings_testkit::process::Process;
use tidings_testkit::wire::{Connection, Request};
use tidings_tests::example::{ask, json};
use tidings_tests::random::Random;
use tokio::task::JoinSet;

/// Connections that are open at the same time.
const CONCURRENT: usize = 64;

/// The events of the busy topic that a client may replay: enough for several writes.
const HISTORY: usize = 64;

/// How much a hub may grow with each connection after the first half, in bytes. Until then its topics and its
/// allocator fill up. A wait list that keeps a client grows by more than 300 bytes.
const GROWTH: usize = 150;

/// How many times half of the connections may come and go until the hub has grown by less. What an allocator keeps grows by
/// a few megabytes when more clients than before happen to be served at the same time, and then stays; a leak goes on.
const ROUNDS: usize = 5;

tidings_tests::on_every_framework! { "hub";
    vanished_clients_leave_nothing
}

async fn vanished_clients_leave_nothing(package: &str) {
    let connections = std::env::var("TIDINGS_CHURN");
    let connections = connections.map_or(20_000, |count| count.parse().expect("a number"));
    let hub = Arc::new(Process::start(package).await);
    for n in 0..HISTORY {
        publish(&hub, &format!("{n} {}", "x".repeat(2000))).await;
    }
    let files = hub.open_files().expect("Linux counts them");
    let mut memory = Vec::new();
    let has_settled = loop {
        come_and_go(&hub, connections / 2).await;
        nobody_is_left(&hub, files).await;
        memory.push(hub.memory().expect("Linux measures it"));
        let allowed = (memory.len() - 1) * connections / 2 * GROWTH;
        match memory.as_slice() {
            [settled, .., last] if *last < settled + allowed => break true,
            memory if memory.len() == ROUNDS => break false,
            _ => {}
        }
    };
    println!("{package}: {memory:?} bytes after each half of {connections} connections");
    assert!(has_settled, "its memory grew: {memory:?} bytes");
}

async fn publish(hub: &Process, data: &str) {
    let response = ask(hub, Request::post("/publish?topic=busy", data)).await;
    assert_eq!(response.status(), 200);
}

/// Opens and ends connections, while events are published.
async fn come_and_go(hub: &Arc<Process>, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CONCURRENT {
        let (hub, next) = (hub.clone(), next.clone());
        clients.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                client(&hub, &mut Random::new(1, n as u64)).await;
                if n % 8 == 0 {
                    publish(&hub, &format!("{n} {}", "x".repeat(2000))).await;
                }
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no client fails");
    }
}

/// One client that vanishes: before its request is complete, before the head of the response, after it, during the
/// replay, or later.
async fn client(hub: &Process, random: &mut Random) {
    // Several addresses have enough ports.
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + random.below(8) as u8));
    let mut connection = Connection::open_from(source, hub.addr()).await;
    let replay = random.one_in(2);
    let history = if replay { "all" } else { "0" };
    // Nothing is published to the quiet topic.
    let request = Request::get(&format!("/events?topic=busy&topic=quiet&history={history}"));
    let bytes = request.bytes();
    let is_reset = random.one_in(2);
    let sent = match random.below(5) {
        0 => random.below(bytes.len()),
        1 => bytes.len(),
        _ => {
            let mut response = connection.send(&request).await;
            assert_eq!(response.status(), 200);
            if replay {
                // Less than what is retained, so that there is more to send.
                response.read_exactly(random.below(HISTORY * 2000)).await;
            } else if random.below(3) > 0 {
                response.next_message().await;
                if random.one_in(2) {
                    publish(hub, "while it is connected").await;
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

/// Waits until no client is listed and no connection is open.
async fn nobody_is_left(hub: &Process, files: usize) {
    within("nobody is left", async {
        loop {
            let response = ask(hub, Request::get("/clients")).await;
            let list = json(&response);
            // One of them is this connection.
            let open = hub.open_files().expect("Linux counts them");
            if list["total"] == 0 && open <= files + 1 {
                return;
            }
        }
    })
    .await;
}
