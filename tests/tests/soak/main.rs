//! Random publishes, joins, drops, cuts at any byte, stalls and resumes, on every adapter and both
//! transports; and every client's receipts checked against everything that was accepted.
//!
//! Three seconds for each server; `TIDINGS_SOAK_SECONDS` sets another time, which is spent in
//! rounds of a few seconds, each with a seed of its own that is printed. `TIDINGS_SOAK_SEED` begins
//! with another one: the same decisions, though the kernel's timing is not in it.
//!
//! ```sh
//! TIDINGS_SOAK_SECONDS=3600 cargo test --release -p tidings-tests --test soak -- --nocapture
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod client;
mod meddler;
mod servers;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::{Client, Plan};
use meddler::{Meddler, Meddling};
use servers::Serve;
use tidings::{Hub, Retention};
use tidings_testkit::checker::{Entry, Fault, Summary};
use tidings_tests::random::Random;
use tokio::sync::watch;
use tokio::task::JoinSet;

const TOPICS: [&str; 8] = ["a:1", "a:2", "a:3", "b:1", "b:2", "b:3", "c:1", "d"];

/// What clients ask for, some of it more than once.
const ASKED: [&str; 12] =
    ["a:1", "a:2", "a:*", "a:3", "b:1", "*:1", "b:2", "b:3", "b:*", "c:1", "d", "*"];

/// How long a round is, unless less time is left.
const ROUND: Duration = Duration::from_secs(3);

const CLIENTS: usize = 16;

/// What one round is to be.
#[derive(Clone, Copy)]
struct Round {
    serve: Serve,
    seed: u64,
    time: Duration,
    /// Whether topics keep so little that clients are reset.
    scarce: bool,
    /// What is done to one client's stream on its way.
    meddling: Option<Meddling>,
}

/// What all of a round's tasks share.
struct Scene {
    hub: Hub,
    /// Everything that was accepted.
    published: Mutex<Vec<Entry>>,
}

impl Scene {
    fn publish(&self, topic: &str, data: &str) {
        let entry = Entry::publish(&self.hub, topic, data);
        self.published.lock().unwrap().push(entry);
    }
}

/// Runs a round. Returns what its clients have seen, or the first fault.
async fn round(round: Round) -> Result<Summary, Fault> {
    let retention = match round.scarce {
        true => Retention::default().events(150).bytes(2 << 20),
        false => Retention::default().events(100_000).bytes(1 << 30),
    };
    let builder = Hub::builder().retention(retention).retry(None);
    let hub = builder.max_retained_bytes(if round.scarce { 12 << 20 } else { 1 << 30 }).build();
    let server = (round.serve)(&hub);
    let scene = Arc::new(Scene { hub, published: Mutex::default() });
    let meddler = match round.meddling {
        Some(meddling) => Some(Meddler::start(server.addr(), meddling).await),
        None => None,
    };
    let (end, ending) = watch::channel(false);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client::new(
            Random::new(round.seed, number as u64),
            match &meddler {
                Some(meddler) if number == 0 => Plan::through(meddler.addr()),
                _ => Plan::to(server.addr()),
            }
            .with_odd_claims(round.scarce),
            ending.clone(),
        );
        clients.spawn(client.run());
    }
    let mut others = JoinSet::new();
    for number in 0..2 {
        let random = Random::new(round.seed, 1_000 + number);
        others.spawn(publish(random, scene.clone(), ending.clone()));
    }
    others.spawn(close(Random::new(round.seed, 2_000), scene.clone(), ending.clone()));

    let until = Instant::now() + round.time;
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let has_meddled = meddler.as_ref().is_none_or(Meddler::is_done);
        if Instant::now() >= until && has_meddled {
            break;
        }
        assert!(Instant::now() < until + Duration::from_secs(10), "the meddler never came to it");
    }
    end.send_replace(true);
    while let Some(other) = others.join_next().await {
        other.expect("nobody panics");
    }
    // Each topic's last: who has it has everything.
    for topic in TOPICS {
        scene.publish(topic, "the last");
    }
    let mut published = std::mem::take(&mut *scene.published.lock().unwrap());
    published.sort_by_key(|entry| client::position(&entry.id));
    let published = Arc::new(published);

    let mut all = Summary::default();
    let mut first_fault = None;
    while let Some(client) = clients.join_next().await {
        let mut client = client.expect("nobody panics");
        if let Err(what) = client.catch_up(&published).await {
            // With a fault that explains it, most of the time.
            first_fault.get_or_insert(Fault::Lost(what));
        }
        match client.check(&published) {
            Ok(summary) => {
                all.events += summary.events;
                all.resumed += summary.resumed;
                all.resets += summary.resets;
            }
            Err(fault) => return Err(fault),
        }
    }
    match first_fault {
        Some(fault) => Err(fault),
        None => Ok(all),
    }
}

/// Publishes in bursts, events of all sizes.
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

/// Ends streams through the registry.
async fn close(mut random: Random, scene: Arc<Scene>, ending: watch::Receiver<bool>) {
    while !*ending.borrow() {
        let clients = scene.hub.clients().list();
        if !clients.is_empty() {
            scene.hub.clients().close(clients[random.below(clients.len())].id);
        }
        tokio::time::sleep(Duration::from_millis(random.logarithmic(100) as u64)).await;
    }
}

fn seconds() -> Duration {
    let seconds = std::env::var("TIDINGS_SOAK_SECONDS").ok();
    Duration::from_secs(seconds.map_or(3, |seconds| seconds.parse().expect("a number of seconds")))
}

fn first_seed() -> u64 {
    let seed = std::env::var("TIDINGS_SOAK_SEED").ok();
    seed.map_or(1, |seed| seed.parse().expect("TIDINGS_SOAK_SEED is a number"))
}

async fn soak(name: &str, serve: Serve) {
    let until = Instant::now() + seconds();
    for seed in first_seed().. {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Mostly with resets; sometimes there must be none.
        let scarce = seed % 4 != 0;
        let time = left.min(ROUND);
        let this = Round { serve, seed, time, scarce, meddling: None };
        match round(this).await {
            Ok(summary) => println!("{name}: seed {seed}: {summary:?}"),
            Err(fault) => panic!("{name}: TIDINGS_SOAK_SEED={seed}: {fault}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_loses_anything_on_axum() {
    soak("axum", servers::axum_body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_loses_anything_on_axum_with_the_direct_transport() {
    soak("axum, direct", servers::axum_direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_loses_anything_on_actix_web() {
    soak("actix-web", servers::actix_web).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_loses_anything_on_warp() {
    soak("warp", servers::warp_body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_loses_anything_on_warp_with_the_direct_transport() {
    soak("warp, direct", servers::warp_direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_scarcity_nobody_is_reset() {
    let (seed, time) = (first_seed(), Duration::from_secs(1));
    let this = Round { serve: servers::axum_direct, seed, time, scarce: false, meddling: None };
    let summary = round(this).await.unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    assert_eq!(summary.resets, 0, "{summary:?}");
    assert!(summary.events > 100 && summary.resumed > 10, "it is not much: {summary:?}");
}

/// The soak with one client's stream meddled with.
async fn soak_with(meddling: Meddling) -> Fault {
    let time = Duration::from_millis(200);
    let seed = first_seed();
    let meddling = Some(meddling);
    let this = Round { serve: servers::axum_direct, seed, time, scarce: false, meddling };
    round(this).await.expect_err("the soak has to fail")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_lost_on_the_way_is_found() {
    let fault = soak_with(Meddling::Lose).await;
    assert!(matches!(fault, Fault::Lost(_) | Fault::MissingReset(_)), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_lost_before_a_cut_is_found() {
    let fault = soak_with(Meddling::LoseAndCut).await;
    assert!(matches!(fault, Fault::Lost(_) | Fault::MissingReset(_)), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_doubled_on_the_way_is_found() {
    let fault = soak_with(Meddling::Double).await;
    assert!(matches!(fault, Fault::Doubled(_)), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_swapped_on_the_way_are_found() {
    let fault = soak_with(Meddling::Swap).await;
    // It may have gone between the two, and then one is lost.
    let is_it = matches!(fault, Fault::OutOfOrder(_) | Fault::Lost(_) | Fault::MissingReset(_));
    assert!(is_it, "{fault}");
}
