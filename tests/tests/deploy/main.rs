//! A rolling restart of three nodes on one log, with clients that all have events to replay when they come back: with a
//! drain, and beside it without one.
//!
//! The test does it with a few hundred clients. What a deploy does to many is measured with
//!
//! ```sh
//! TIDINGS_DEPLOY_CLIENTS=15000 TIDINGS_DEPLOY_DRAIN_SECONDS=10 \
//!     cargo test --release -p tidings-tests --test deploy -- --nocapture
//! ```
//!
//! which needs 20,000 files for a process, and prints the table of BENCHMARKS.md. Every client is checked: it is resumed each
//! time, and misses nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod client;
mod nodes;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Client;
use nodes::Nodes;
use tidings_tests::requirements;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many events each client has to replay when it comes back.
const REPLAYED: usize = 100;

/// Events a second, to see that streams go on.
const RATE: u32 = 2;

/// What a rolling restart has done.
struct Figures {
    /// Streams that a node has begun in its busiest half second, a second.
    peak_rate: usize,
    /// From the end of a stream until the client has everything again.
    away: Vec<Duration>,
    /// Streams that were turned away.
    turned_away: usize,
    /// The most that a node's process has used, in bytes.
    memory: usize,
}

fn variable(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name} is not a number"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_with_a_drain_is_no_storm() {
    if requirements::met("the rolling restart", requirements::redis_server).is_none() {
        return;
    }
    let clients = variable("TIDINGS_DEPLOY_CLIENTS", 300) as usize;
    let drain = Duration::from_secs(variable("TIDINGS_DEPLOY_DRAIN_SECONDS", 3));
    let at_once = rolling_restart(clients, Duration::ZERO).await;
    let drained = rolling_restart(clients, drain).await;
    println!("{clients} clients on three nodes, {REPLAYED} events each to replay");
    println!(
        "| | peak of new streams of a node | away p50 | p99 | longest | turned away | memory |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    println!("| without a drain | {at_once} |");
    println!("| drained over {drain:?} | {drained} |");
    assert!(drained.peak_rate < at_once.peak_rate, "the drain has spread nothing");
}

/// Restarts each node after the other, while clients are connected and something is published.
async fn rolling_restart(clients: usize, drain: Duration) -> Figures {
    let mut nodes = Nodes::start(drain).await;
    let events = Arc::new(client::Events::default());
    // As much as clients replay, and more than they ask for.
    for _ in 0..2 * REPLAYED {
        nodes.publish(&events).await;
    }
    let mut running = JoinSet::new();
    let clients: Vec<_> =
        (0..clients).map(|number| Arc::new(Client::new(number, nodes.list(), &events))).collect();
    for client in &clients {
        running.spawn(client.clone().run());
    }
    until("all clients are connected", || clients.iter().all(|client| client.is_current())).await;
    let began = Instant::now();
    for number in 0..nodes.len() {
        nodes.stop(number, drain, &events).await;
        nodes.restart(number).await;
        until("all clients are back", || {
            assert!(running.try_join_next().is_none(), "a client has failed");
            clients.iter().all(|client| client.is_current())
        })
        .await;
        nodes.publish(&events).await;
    }
    let figures = Figures::of(&clients, &nodes, began);
    // Up to the last event.
    until("all clients have all events", || clients.iter().all(|client| client.is_current())).await;
    running.abort_all();
    figures
}

/// Waits for a condition, for longer than other tests do.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    const LIMIT: Duration = Duration::from_secs(120);

    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

impl Figures {
    fn of(clients: &[Arc<Client>], nodes: &Nodes, since: Instant) -> Self {
        const SLICE: Duration = Duration::from_millis(500);

        let visits: Vec<_> = clients.iter().flat_map(|client| client.visits()).collect();
        let mut slices = std::collections::HashMap::new();
        for visit in visits.iter().filter(|visit| visit.began > since) {
            let slice = (visit.began - since).as_millis() / SLICE.as_millis();
            *slices.entry((visit.node, slice)).or_insert(0_usize) += 1;
        }
        let mut away: Vec<_> = visits.iter().filter_map(|visit| visit.away).collect();
        away.sort();
        Self {
            peak_rate: slices.into_values().max().unwrap_or(0) * 1_000 / SLICE.as_millis() as usize,
            away,
            turned_away: visits.iter().filter(|visit| visit.was_turned_away).count(),
            memory: nodes.peak_memory(),
        }
    }

    /// The time below which this part of all is.
    fn away(&self, part: f64) -> f64 {
        let last = self.away.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.away.get(at).map_or(0.0, Duration::as_secs_f64)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, longest] = [0.5, 0.99, 1.0].map(|part| self.away(part));
        let mib = self.memory as f64 / 1024.0 / 1024.0;
        let Self { peak_rate, turned_away, .. } = self;
        write!(
            f,
            "{peak_rate} a second | {half:.1} s | {most:.1} s | {longest:.1} s | {turned_away} | {mib:.0} MiB"
        )
    }
}
