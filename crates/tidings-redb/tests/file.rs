//! The file: how often it may be open, what is kept in it, and how large it grows.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tidings::backend::LogErrorKind;
use tidings::{Event, Hub};
use tidings_redb::{RedbLog, RedbLogBuilder, Stats};
use tidings_testkit::limit::eventually;
use tidings_testkit::log::{Client, publish, publish_all};

fn open(log: RedbLogBuilder, path: &Path) -> (Hub, Stats) {
    let log = log.open(path).unwrap();
    let stats = log.stats();
    (Hub::builder().build_on(log), stats)
}

#[tokio::test]
async fn a_file_is_open_once_and_free_as_soon_as_its_hub_is_dropped() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    for n in 0..20 {
        let (hub, stats) = open(RedbLog::builder(), &path);
        let error = RedbLog::builder().salvage(n % 2 == 0).open(&path).unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Refused);
        let message = format!(
            "redb: {}: is open already, in this process or another; close it there, or choose another path",
            path.display()
        );
        assert_eq!(error.to_string(), message);
        // A stream that is not read and a publication that is not awaited do not keep it open.
        let client = Client::connect(&hub, &["a"], None);
        let publish = hub.publish("a", Event::new("x"));
        drop(hub);
        assert_eq!(stats.last(), n + 1, "what was published is written");
        assert!(stats.file_bytes().is_none());
        let hub = Hub::builder().build_on(RedbLog::open(&path).unwrap());
        drop((client, hub));
        publish.await.unwrap();
    }
}

#[tokio::test]
async fn the_file_stops_growing_under_steady_publishing() {
    const ROUND: usize = 2_000;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let log = RedbLog::builder().max_events(5_000).max_pending(ROUND);
    let (hub, stats) = open(log, &path);
    let mut sizes = Vec::new();
    for _ in 0..60 {
        let events = (0..ROUND).map(|n| (["a", "b", "c"][n % 3], "x".repeat(n % 400)));
        publish_all(&hub, events).await;
        sizes.push(stats.file_bytes().unwrap());
        let kept = stats.last() - stats.trimmed();
        assert!(kept <= 5_000 + 5_000 / 16 + 1, "{kept} events are kept");
    }
    let largest = |sizes: &[u64]| *sizes.iter().max().unwrap();
    // About 40 MB were written, and 2 MB are kept. It grows by doubling, and pages of the last commits are not free
    // yet.
    assert!(largest(&sizes) < 12_000_000, "it grows: {sizes:?}");

    // Less is kept: compacted, the file is small.
    drop(hub);
    let before = largest(&sizes);
    let (hub, stats) = open(RedbLog::builder().max_events(10), &path);
    let more = (0..5_000).map(|_| ("a", "x".to_owned()));
    publish_all(&hub, more).await;
    eventually("most are trimmed", || stats.last() - stats.trimmed() <= 11).await;
    drop(hub);
    let (hub, stats) = open(RedbLog::builder().compact(true), &path);
    let after = stats.file_bytes().unwrap();
    assert!(after < before / 2, "{before} bytes before, {after} after");
    publish(&hub, "a", "goes on").await;
}

#[tokio::test]
async fn no_more_bytes_are_kept_than_the_limit() {
    let folder = TempDir::new().unwrap();
    let log = RedbLog::builder().max_bytes(1_000_000);
    let (hub, stats) = open(log, &folder.path().join("events.redb"));
    for _ in 0..5 {
        publish_all(&hub, (0..100).map(|_| ("a", "x".repeat(10_000)))).await;
    }
    let kept = stats.last() - stats.trimmed();
    assert!((90..106).contains(&kept), "{kept} events of 10 kB are kept");
}

#[tokio::test]
async fn events_expire_also_when_nothing_is_published() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let age = Duration::from_millis(200);
    let (hub, stats) = open(RedbLog::builder().max_age(age), &path);
    let entry = publish(&hub, "a", "one").await;
    publish_all(&hub, (0..100).map(|n| ("a", n.to_string()))).await;
    eventually("they have expired", || stats.trimmed() == 101).await;
    assert_eq!(stats.last(), 101);
    drop(hub);
    // Nor are they mistaken for events that are still kept.
    let (hub, _) = open(RedbLog::builder(), &path);
    Client::expect(&hub, &["a"], Some(&entry.id), "trimmed").await;
}

#[tokio::test]
async fn a_topic_of_which_nothing_is_gone_is_resumed_however_much_else_is() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let (hub, stats) = open(RedbLog::builder().max_events(1_000), &path);
    let early = publish(&hub, "quiet", "early").await;
    let rest = || (0..900).map(|n: usize| ("loud", n.to_string()));
    publish_all(&hub, rest()).await;
    let late = publish(&hub, "quiet", "late").await;
    publish_all(&hub, rest()).await;
    assert!((1..902).contains(&stats.trimmed()), "the early one is gone, and the late one is not");
    drop(hub);
    let (hub, _) = open(RedbLog::builder().replay(0), &path);
    let mut client = Client::expect(&hub, &["quiet"], Some(&early.id), "resumed").await;
    assert_eq!(client.read(1).await[0].last_event_id(), late.id);
    Client::expect(&hub, &["loud"], Some(&early.id), "trimmed").await;
    // An event was trimmed that may have come after this position.
    let (epoch, _) = early.id.rsplit_once('-').unwrap();
    Client::expect(&hub, &["quiet"], Some(&format!("{epoch}-0")), "trimmed").await;
}

#[tokio::test]
async fn a_copy_that_is_put_back_can_be_another_history() {
    let folder = TempDir::new().unwrap();
    let [path, copy] = ["events.redb", "copy.redb"].map(|name| folder.path().join(name));
    let (hub, _) = open(RedbLog::builder(), &path);
    let first = publish(&hub, "a", "first").await;
    drop(hub);
    std::fs::copy(&path, &copy).unwrap();
    let (hub, _) = open(RedbLog::builder(), &path);
    let lost = publish(&hub, "a", "lost").await;
    drop(hub);

    std::fs::rename(&copy, &path).unwrap();
    let (hub, _) = open(RedbLog::builder().restored(true), &path);
    let second = publish(&hub, "a", "second").await;
    for id in [&first.id, &lost.id] {
        let mut client = Client::expect(&hub, &["a"], Some(id), "unknown").await;
        let data: Vec<_> = client.read(2).await.iter().map(|m| m.data()).collect();
        assert_eq!(data, ["first", "second"]);
    }
    drop(hub);
    // It stays that history.
    let (hub, _) = open(RedbLog::builder(), &path);
    Client::expect(&hub, &["a"], Some(&second.id), "resumed").await;
}
