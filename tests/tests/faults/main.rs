//! The nodes of a cluster under faults: real processes, on servers and links that fail, with clients that come back
//! to another node each time. What they received is checked against every publication.
//!
//! Each fault happens alone, and then some of them in random order: this takes two minutes.
//! `TIDINGS_FAULTS_SECONDS` sets how long faults go on in random order. `TIDINGS_FAULTS_SEED` repeats the decisions
//! of a failure. `TIDINGS_FAULTS_STOP_SECONDS` sets how long a node is stopped; 8 by default.
//! `TIDINGS_FAULTS_ONLY=killed` selects faults by name, and `TIDINGS_FAULTS_LOG=redis` selects the log.
//!
//! ```sh
//! TIDINGS_FAULTS_STOP_SECONDS=30 TIDINGS_WRITE_DOCS=1 cargo test -p tidings-tests --test faults -- --nocapture
//! ```
//!
//! `scene.rs` is a cluster with its clients and publishers, `disruption.rs` is what happens to it, and `ledger.rs`
//! checks what clients received.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod broker;
mod client;
mod cluster;
mod disruption;
mod engine;
mod ledger;
mod publisher;
mod report;
mod scene;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use disruption::Disruption;
use engine::Engine;
use ledger::{Breach, Counts, Receipts};
use publisher::VALUES;
use report::Row;
use tidings::STATUS_EVENT;
use tidings_testkit::checker::is_of;
use tidings_tests::fault_injector::Damage;
use tidings_tests::random::Random;
use tokio::task::JoinSet;

/// How many faults happen in random order.
const SEVERAL: usize = 4;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok();
    value.map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// The logs that are selected and installed.
fn logs() -> impl Iterator<Item = Engine> {
    let only = std::env::var("TIDINGS_FAULTS_LOG").ok();
    let is_wanted = move |engine: &Engine| {
        only.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(&engine.to_string()))
    };
    Engine::ALL.into_iter().filter(is_wanted).filter(|engine| engine.is_installed())
}

/// What was run.
type Run = (Happening, Engine);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    One(Disruption),
    Several,
}

impl Happening {
    fn name(self) -> &'static str {
        match self {
            Self::One(disruption) => disruption.name(),
            Self::Several => "several of these, in random order",
        }
    }
}

/// All logs run at the same time, because they wait more than they work. Each has one fault after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_on_every_log() {
    let mut logs: JoinSet<_> = logs().map(run).collect();
    let mut runs = BTreeMap::new();
    while let Some(log) = logs.join_next().await {
        runs.extend(log.expect("panics are caught"));
    }
    let failures: Vec<_> = runs.values().filter_map(|run| run.as_ref().err()).collect();
    assert!(failures.is_empty(), "{} of {} runs: {failures:#?}", failures.len(), runs.len());
    let rows: Vec<_> = runs
        .into_iter()
        .filter_map(|((what, engine), counts)| {
            Some(Row { what: what.name().to_owned(), engine, counts: counts.ok()? })
        })
        .collect();
    let is_all = std::env::var_os("TIDINGS_FAULTS_ONLY").is_none();
    if is_all && Engine::ALL.iter().all(|engine| rows.iter().any(|row| row.engine == *engine)) {
        report::check(&rows);
    }
}

/// Runs every fault alone, and several in random order.
async fn run(engine: Engine) -> Vec<(Run, Result<Counts, String>)> {
    let seed = variable("TIDINGS_FAULTS_SEED").unwrap_or(1);
    let only = std::env::var("TIDINGS_FAULTS_ONLY").unwrap_or_default();
    let all = Disruption::ALL.into_iter().filter(|disruption| disruption.applies_to(engine));
    let all: Vec<_> = all.filter(|disruption| disruption.name().contains(&only)).collect();
    let mut runs = Vec::new();
    for disruption in &all {
        let run = disrupt(engine, vec![*disruption], seed).await;
        runs.push(((Happening::One(*disruption), engine), run));
    }
    let time = Duration::from_secs(variable("TIDINGS_FAULTS_SECONDS").unwrap_or(0));
    let (until, mut counts) = (Instant::now() + time, Ok(Counts::default()));
    for seed in seed.. {
        let mut random = Random::new(seed, 3_000);
        let several = (0..SEVERAL).map(|_| all[random.below(all.len())]).collect();
        match disrupt(engine, several, seed).await {
            Ok(more) => counts = counts.map(|counts: Counts| counts.plus(more)),
            Err(failure) => counts = Err(failure),
        }
        if Instant::now() >= until || counts.is_err() {
            break;
        }
    }
    runs.push(((Happening::Several, engine), counts));
    runs
}

/// Plays a scene with these disruptions. Fails with what was wrong.
async fn disrupt(
    engine: Engine,
    disruptions: Vec<Disruption>,
    seed: u64,
) -> Result<Counts, String> {
    let began = Instant::now();
    let name = format!("{engine}: TIDINGS_FAULTS_SEED={seed}: {disruptions:?}");
    let played = disruptions.clone();
    let scene = async move { scene::play(&engine.to_string(), engine, &played, seed).await };
    let counts = match tokio::spawn(scene).await {
        Ok(outcomes) => outcomes.judge().map_err(|breach| format!("{name}: {breach}"))?,
        Err(panic) => return Err(format!("{name}: {panic}")),
    };
    println!("{name}: {counts:?}, in {:?}", began.elapsed());
    let may_be =
        |reason: &str| disruptions.iter().any(|disruption| disruption.resets().contains(&reason));
    match counts.resets.keys().find(|reason| !may_be(reason)) {
        Some(_) => Err(format!("{name}: clients were reset for another reason: {counts:?}")),
        None => Ok(counts),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_what_clients_received_is_found() {
    let Some(engine) = logs().next() else { return };
    let seed = variable("TIDINGS_FAULTS_SEED").unwrap_or(1);
    let clean = scene::play("undisturbed", engine, &[], seed).await;
    clean.judge().expect("nothing is damaged yet");
    let mut random = Random::new(seed, 4_000);
    for damage in Damage::ALL {
        for _ in 0..100 {
            let mut receipts = clean.receipts.clone();
            while !inject(damage, &mut receipts, &mut random) {}
            let breach = ledger::judge(&clean.publications, &receipts);
            let Err(Breach::Client(_, fault)) = breach else {
                panic!("{damage:?} is not found: {breach:?}")
            };
            assert!(damage.is_found_by(&fault), "{damage:?}: {fault}");
        }
    }
}

/// Damages a random visit. Returns whether it has an event to damage.
fn inject(damage: Damage, clients: &mut [Receipts], random: &mut Random) -> bool {
    let (number, other) = (random.below(clients.len()), random.below(clients.len()));
    let mine = clients[number].topics.clone();
    // What was superseded may be missing.
    let has_values = |topic: &String| is_of(&[VALUES], topic) || is_of(&[topic], "topic-2");
    if damage == Damage::Lose && mine.iter().any(has_values) {
        return false;
    }
    // No topic that matches one of the other client's patterns may match one of this client's.
    let is_shared =
        |topic: &String| is_of(&mine, topic) || mine.iter().any(|own| is_of(&[topic], own));
    let other = Some(&clients[other]).filter(|other| !other.topics.iter().any(is_shared));
    let foreign = other.and_then(|other| {
        let visit = &other.visits[random.below(other.visits.len())];
        visit.messages.last().filter(|message| message.event() != STATUS_EVENT).cloned()
    });
    let visits = &mut clients[number].visits;
    let visit = random.below(visits.len());
    damage.inject(&mut visits[visit], foreign.as_ref(), random)
}
