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

/// All at the same time, one after the other for each log: they wait more than they work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_on_every_log() {
    let mut runs = JoinSet::new();
    for engine in logs() {
        runs.spawn(run(engine));
    }
    let mut rows = Vec::new();
    while let Some(run) = runs.join_next().await {
        rows.extend(run.expect("nothing is lost"));
    }
    // By what happened, then by the log.
    rows.sort_by_key(|(trouble, row)| {
        (trouble.unwrap_or(Trouble::ResetLinks), trouble.is_none(), row.engine)
    });
    let is_all = std::env::var_os("TIDINGS_FAULTS_ONLY").is_none();
    let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
    if is_all && Engine::ALL.iter().all(|engine| rows.iter().any(|row| row.engine == *engine)) {
        report::check(&rows);
    }
}

/// Every fault alone, and several.
async fn run(engine: Engine) -> Vec<(Option<Trouble>, Row)> {
    let seed = variable("TIDINGS_FAULTS_SEED").unwrap_or(1);
    let only = std::env::var("TIDINGS_FAULTS_ONLY").unwrap_or_default();
    let mut rows = Vec::new();
    let all = Trouble::ALL.into_iter().filter(|trouble| trouble.befalls(engine));
    let all: Vec<_> = all.filter(|trouble| trouble.name().contains(&only)).collect();
    for trouble in &all {
        let counts = befall(engine, &[*trouble], seed).await;
        let what = trouble.name().to_owned();
        rows.push((Some(*trouble), Row { what, engine, counts }));
    }
    let until =
        Instant::now() + Duration::from_secs(variable("TIDINGS_FAULTS_SECONDS").unwrap_or(0));
    let mut counts = Counts::default();
    for seed in seed.. {
        let mut random = Random::new(seed, 3_000);
        let troubles: Vec<_> = (0..SEVERAL).map(|_| all[random.below(all.len())]).collect();
        counts.add(befall(engine, &troubles, seed).await);
        if Instant::now() >= until {
            break;
        }
    }
    let what = "several of these, in random order".to_owned();
    rows.push((None, Row { what, engine, counts }));
    rows
}

/// Has something happen, and sees that all was well.
async fn befall(engine: Engine, troubles: &[Trouble], seed: u64) -> Counts {
    let began = Instant::now();
    let counts = scene::play(&engine.to_string(), engine, troubles, seed).await.judge();
    let counts = counts.unwrap_or_else(|breach| {
        panic!("{engine}: TIDINGS_FAULTS_SEED={seed}: {troubles:?}: {breach}")
    });
    println!("{engine}: seed {seed}: {troubles:?}: {counts:?}, in {:?}", began.elapsed());
    let may_be = |reason: &str| troubles.iter().any(|trouble| trouble.resets().contains(&reason));
    let needless = counts.resets.keys().find(|reason| !may_be(reason));
    assert_eq!(needless, None, "{engine}: TIDINGS_FAULTS_SEED={seed}: {troubles:?}: {counts:?}");
    counts
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
