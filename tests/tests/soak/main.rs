//! Random publications, connections, cuts at any byte, stalls and resumes, on every adapter and both transports.
//! What each client received is checked against everything that was published.
//!
//! Three seconds for each server. `TIDINGS_SOAK_SECONDS` sets another time, which is divided into rounds of a few
//! seconds. Each round prints its seed. `TIDINGS_SOAK_SEED` begins with another seed: it repeats the decisions,
//! but not the kernel's timing.
//!
//! ```sh
//! TIDINGS_SOAK_SECONDS=3600 cargo test --release -p tidings-tests --test soak -- --nocapture
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod client;
mod servers;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::Client;
use servers::Serve;
use tidings::{Hub, Retention};
use tidings_axum::Transport;
use tidings_testkit::checker::{Entry, Fault, Summary, position};
use tidings_tests::fault_injector::Damage;
use tidings_tests::random::Random;
use tokio::sync::watch;
use tokio::task::JoinSet;

const TOPICS: [&str; 8] = ["a:1", "a:2", "a:3", "b:1", "b:2", "b:3", "c:1", "d"];

/// What clients subscribe to. Some of these overlap.
const ASKED: [&str; 12] =
    ["a:1", "a:2", "a:*", "a:3", "b:1", "*:1", "b:2", "b:3", "b:*", "c:1", "d", "*"];

/// How long a round takes, unless less time is left.
const ROUND: Duration = Duration::from_secs(3);

const CLIENTS: usize = 16;

#[derive(Clone, Copy)]
struct Round {
    serve: Serve,
    seed: u64,
    time: Duration,
    /// Whether topics keep so little that clients are reset.
    scarce: bool,
}

/// What all tasks of a round share.
struct Scene {
    hub: Hub,
    published: Mutex<Vec<Entry>>,
}

impl Scene {
    fn publish(&self, topic: &str, data: &str) {
        let entry = Entry::publish(&self.hub, topic, data);
        self.published.lock().unwrap().push(entry);
    }
}

/// Runs a round. Returns what was published, in order, and the clients, which have caught up.
async fn play(round: Round) -> Result<(Vec<Entry>, Vec<Client>), String> {
    let retention = match round.scarce {
        true => Retention::default().events(150).bytes(2 << 20),
        false => Retention::default().events(100_000).bytes(1 << 30),
    };
    let builder = Hub::builder().retention(retention).retry(None);
    let hub = builder.max_retained_bytes(if round.scarce { 12 << 20 } else { 1 << 30 }).build();
    let server = (round.serve)(&hub);
    let scene = Arc::new(Scene { hub, published: Mutex::default() });
    let (end, ending) = watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let random = Random::new(round.seed, number as u64);
        clients.spawn(Client::new(random, server.addr(), round.scarce, ending.clone()).run());
    }
    let mut others = JoinSet::new();
    for number in 0..2 {
        let random = Random::new(round.seed, 1_000 + number);
        others.spawn(publish(random, scene.clone(), ending.clone()));
    }
    others.spawn(close(Random::new(round.seed, 2_000), scene.clone(), ending.clone()));

    tokio::time::sleep(round.time).await;
    end.send_replace(true);
    while let Some(other) = others.join_next().await {
        other.expect("nobody panics");
    }
    // A client that has the last event of each of its topics has caught up.
    for topic in TOPICS {
        scene.publish(topic, "the last");
    }
    let mut published = std::mem::take(&mut *scene.published.lock().unwrap());
    published.sort_by_key(|entry| position(&entry.id));
    let mut outcome = Ok(());
    let mut caught_up = Vec::new();
    while let Some(client) = clients.join_next().await {
        let mut client = client.expect("nobody panics");
        outcome = outcome.and(client.catch_up(&published).await);
        caught_up.push(client);
    }
    // A fault, if there is one, explains why a client could not catch up.
    check(&published, &caught_up).map_err(|fault| fault.to_string())?;
    outcome.map(|()| (published, caught_up))
}

/// Checks what all clients received.
fn check(published: &[Entry], clients: &[Client]) -> Result<Summary, Fault> {
    clients.iter().try_fold(Summary::default(), |mut all, client| {
        all += client.check(published)?;
        Ok(all)
    })
}

/// Publishes bursts of events of all sizes.
async fn publish(mut random: Random, scene: Arc<Scene>, ending: watch::Receiver<bool>) {
    let mut number = 0_u64;
    while !*ending.borrow() {
        let burst = random.logarithmic(40);
        let mut room = 1 << 20;
        for _ in 0..burst {
            let size = random.logarithmic(200_000).min(room);
            room -= size.min(room - 1);
            number += 1;
            let topic = TOPICS[random.below(TOPICS.len())];
            // Lines of several lengths.
            let mut data = format!("{number} ");
            while data.len() < size {
                data.extend(std::iter::repeat_n('x', random.logarithmic(500)));
                data.push('\n');
            }
            scene.publish(topic, &data);
        }
        tokio::time::sleep(Duration::from_micros(random.logarithmic(30_000) as u64)).await;
    }
}

/// Closes streams through the registry.
async fn close(mut random: Random, scene: Arc<Scene>, ending: watch::Receiver<bool>) {
    while !*ending.borrow() {
        let clients = scene.hub.clients().list();
        if !clients.is_empty() {
            scene.hub.clients().close(clients[random.below(clients.len())].id);
        }
        tokio::time::sleep(Duration::from_millis(random.logarithmic(100) as u64)).await;
    }
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

fn first_seed() -> u64 {
    variable("TIDINGS_SOAK_SEED", 1)
}

async fn soak(name: &str, serve: Serve) {
    let until = Instant::now() + Duration::from_secs(variable("TIDINGS_SOAK_SECONDS", 3));
    for seed in first_seed().. {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Resets are allowed in most rounds.
        let round = Round { serve, seed, time: left.min(ROUND), scarce: seed % 4 != 0 };
        match play(round).await {
            Ok((published, clients)) => {
                println!("{name}: seed {seed}: {:?}", check(&published, &clients));
            }
            Err(fault) => panic!("{name}: TIDINGS_SOAK_SEED={seed}: {fault}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_lose_nothing_on_axum() {
    soak("axum", |hub| servers::axum(hub, Transport::Body)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_lose_nothing_on_axum_with_the_direct_transport() {
    soak("axum, direct", |hub| servers::axum(hub, Transport::Auto)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_lose_nothing_on_actix_web() {
    soak("actix-web", servers::actix_web).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_lose_nothing_on_warp() {
    soak("warp", |hub| servers::warp(hub, Transport::Body)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_lose_nothing_on_warp_with_the_direct_transport() {
    soak("warp, direct", |hub| servers::warp(hub, Transport::Auto)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_is_reset_without_scarcity_and_damage_is_found() {
    let (seed, time) = (first_seed(), Duration::from_secs(1));
    let serve: Serve = |hub| servers::axum(hub, Transport::Auto);
    let round = Round { serve, seed, time, scarce: false };
    let outcome = play(round).await;
    let (published, intact) = outcome.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    let summary = check(&published, &intact).unwrap();
    assert_eq!(summary.resets, 0, "{summary:?}");
    assert!(summary.events > 100 && summary.resumed > 10, "too few: {summary:?}");
    let events: Vec<_> = intact.iter().filter_map(Client::any_event).collect();
    for damage in Damage::ALL {
        let mut clients = intact.clone();
        let is_damaged = clients.iter_mut().any(|client| {
            events.iter().any(|event| client.damage(damage, &published, Some(event)))
        });
        assert!(is_damaged, "no client has an event to damage");
        let fault = check(&published, &clients).expect_err("the damage is found");
        assert!(damage.is_found_by(&fault), "{damage:?}: {fault}");
    }
}
