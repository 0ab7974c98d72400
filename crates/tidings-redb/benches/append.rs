//! How many events share a commit, and what that makes of the time.
//!
//! `cargo bench -p tidings-redb [FOLDER]`: on the disk that the folder is on, else that of temporary files.

use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidings::{Event, Hub};
use tidings_redb::RedbLog;

const DURATION: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let folder = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = match &folder {
        Some(folder) => TempDir::new_in(folder),
        None => TempDir::new(),
    };
    let folder = folder.expect("a folder");
    println!("publishers  events/s  events/commit  syncs/event  bytes/event");
    for publishers in [1, 10, 100, 1_000] {
        run(folder.path(), publishers).await;
    }
    restart(folder.path()).await;
}

/// Each publishes one event after the other, and waits for each.
async fn run(folder: &Path, publishers: usize) {
    let path = folder.join(format!("{publishers}.redb"));
    let log = RedbLog::open(&path).expect("the log opens");
    let stats = log.stats();
    let hub = Hub::builder().build_on(log);
    let (syncs, began) = (stats.syncs(), Instant::now());
    let tasks: Vec<_> = (0..publishers)
        .map(|publisher| {
            let hub = hub.clone();
            tokio::spawn(async move {
                let topic = format!("topic:{}", publisher % 100);
                while began.elapsed() < DURATION {
                    let event = Event::new("x".repeat(200));
                    hub.publish(&*topic, event).await.expect("it is published");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it ends well");
    }
    let elapsed = began.elapsed().as_secs_f64();
    let (events, commits) = (stats.events() as f64, stats.commits() as f64);
    let syncs = (stats.syncs() - syncs) as f64;
    println!(
        "{publishers:10}  {:8.0}  {:13.1}  {:11.4}  {:11.0}",
        events / elapsed,
        events / commits,
        syncs / events,
        stats.file_bytes().unwrap_or_default() as f64 / events,
    );
}

/// How long it takes to open a file with what the benchmark has published most.
async fn restart(folder: &Path) {
    let path = folder.join("1000.redb");
    for how in ["closed", "crashed"] {
        let copy = folder.join(how);
        let log = RedbLog::open(&path).expect("the log opens");
        if how == "crashed" {
            std::fs::copy(&path, &copy).expect("a copy");
        }
        drop(log);
        if how == "closed" {
            std::fs::copy(&path, &copy).expect("a copy");
        }
        let began = Instant::now();
        let log = RedbLog::open(&copy).expect("the log opens");
        let (elapsed, stats) = (began.elapsed(), log.stats());
        println!(
            "opened a file of {} MiB with {} events ({how}): {elapsed:.2?}",
            stats.file_bytes().unwrap_or_default() >> 20,
            stats.last() - stats.trimmed(),
        );
    }
}
