//! Nodes of a cluster under faults: real processes, on servers and links that fail, with clients that
//! come back to another node each time; and every receipt checked against every publication.
//!
//! Each fault alone, and some of them at random, in some two minutes. `TIDINGS_FAULTS_SECONDS` goes on
//! with faults at random for that long, `TIDINGS_FAULTS_SEED` with the decisions of a seed that a failure
//! has named; `TIDINGS_FAULTS_STOP_SECONDS` is how long a node is stopped, 8 if nothing else is said.
//! `TIDINGS_FAULTS_ONLY=killed` has just the faults whose name holds that, `TIDINGS_FAULTS_LOG=redis` just that
//! log.
//!
//! ```sh
//! TIDINGS_FAULTS_STOP_SECONDS=30 TIDINGS_WRITE_DOCS=1 cargo test -p tidings-tests --test faults -- --nocapture
//! ```
//!
//! `scene.rs` is a cluster with its clients and publishers, `trouble.rs` what happens to it, and
//! `ledger.rs` says whether all was well.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod broker;
mod client;
mod cluster;
mod engine;
mod ledger;
mod meddler;
mod publisher;
mod report;
mod scene;
mod trouble;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::Engine;
use ledger::{Breach, Counts};
use meddler::{Meddling, meddle};
use report::Row;
use tidings_testkit::checker::Fault;
use tidings_tests::random::Random;
use tokio::task::JoinSet;
use trouble::Trouble;

/// How many faults befall a cluster that is given several.
const SEVERAL: usize = 4;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok();
    value.map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// Those that are asked for, and whose needs are met.
fn logs() -> impl Iterator<Item = Engine> {
    let only = std::env::var("TIDINGS_FAULTS_LOG").ok();
    let is_wanted = move |engine: &Engine| {
        only.as_ref().is_none_or(|only| only.eq_ignore_ascii_case(&engine.to_string()))
    };
    Engine::ALL.into_iter().filter(is_wanted).filter(|engine| engine.is_there())
}

/// What was run; several faults at random come last.
type Run = (Happening, Engine);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    One(Trouble),
    Several,
}

impl Happening {
    fn name(self) -> &'static str {
        match self {
            Self::One(trouble) => trouble.name(),
            Self::Several => "several of these, in random order",
        }
    }
}

/// All logs at the same time, and for each one thing after the other: they wait more than they work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_on_every_log() {
    let mut logs: JoinSet<_> = logs().map(run).collect();
    let mut runs = BTreeMap::new();
    while let Some(log) = logs.join_next().await {
        runs.extend(log.expect("what panics is caught"));
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

/// Every fault alone, and several.
async fn run(engine: Engine) -> Vec<(Run, Result<Counts, String>)> {
    let seed = variable("TIDINGS_FAULTS_SEED").unwrap_or(1);
    let only = std::env::var("TIDINGS_FAULTS_ONLY").unwrap_or_default();
    let all = Trouble::ALL.into_iter().filter(|trouble| trouble.befalls(engine));
    let all: Vec<_> = all.filter(|trouble| trouble.name().contains(&only)).collect();
    let mut runs = Vec::new();
    for trouble in &all {
        runs.push(((Happening::One(*trouble), engine), befall(engine, vec![*trouble], seed).await));
    }
    let time = Duration::from_secs(variable("TIDINGS_FAULTS_SECONDS").unwrap_or(0));
    let (until, mut counts) = (Instant::now() + time, Ok(Counts::default()));
    for seed in seed.. {
        let mut random = Random::new(seed, 3_000);
        let troubles = (0..SEVERAL).map(|_| all[random.below(all.len())]).collect();
        match befall(engine, troubles, seed).await {
            Ok(more) => counts = counts.map(|counts: Counts| counts.and(more)),
            Err(failure) => counts = Err(failure),
        }
        if Instant::now() >= until || counts.is_err() {
            break;
        }
    }
    runs.push(((Happening::Several, engine), counts));
    runs
}

/// Has something happen, and sees that all was well; else, what was not.
async fn befall(engine: Engine, troubles: Vec<Trouble>, seed: u64) -> Result<Counts, String> {
    let began = Instant::now();
    let name = format!("{engine}: TIDINGS_FAULTS_SEED={seed}: {troubles:?}");
    let played = troubles.clone();
    let scene = async move { scene::play(&engine.to_string(), engine, &played, seed).await };
    let counts = match tokio::spawn(scene).await {
        Ok(outcomes) => outcomes.judge().map_err(|breach| format!("{name}: {breach}"))?,
        Err(panic) => return Err(format!("{name}: {panic}")),
    };
    println!("{name}: {counts:?}, in {:?}", began.elapsed());
    let may_be = |reason: &str| troubles.iter().any(|trouble| trouble.resets().contains(&reason));
    match counts.resets.keys().find(|reason| !may_be(reason)) {
        Some(_) => Err(format!("{name}: is no reason for a reset: {counts:?}")),
        None => Ok(counts),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_meddles_with_what_clients_receive_is_found() {
    let Some(engine) = logs().next() else { return };
    let seed = variable("TIDINGS_FAULTS_SEED").unwrap_or(1);
    let clean = scene::play("undisturbed", engine, &[], seed).await;
    clean.judge().expect("nobody has meddled yet");
    let mut random = Random::new(seed, 4_000);
    for meddling in [Meddling::Lose, Meddling::Double, Meddling::Swap, Meddling::Leak] {
        for _ in 0..100 {
            let mut receipts = clean.receipts.clone();
            meddle(&mut receipts, meddling, &mut random);
            let breach = ledger::judge(&clean.publications, &receipts);
            let Err(Breach::Client(_, fault)) = breach else {
                panic!("{meddling:?} is not found: {breach:?}")
            };
            let is_it = match meddling {
                Meddling::Lose => matches!(fault, Fault::Lost(_) | Fault::MissingReset(_)),
                Meddling::Double => matches!(fault, Fault::Doubled(_)),
                Meddling::Swap => matches!(fault, Fault::OutOfOrder(_)),
                Meddling::Leak => matches!(fault, Fault::Foreign(_)),
            };
            assert!(is_it, "{meddling:?}: {fault}");
        }
    }
}
