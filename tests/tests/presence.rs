//! Who is on a topic, on three example hubs of one log: as processes, one of which is killed.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::wire::{Request, Response};
use tidings_tests::example::{ask, follow, json};
use tidings_tests::{nats, redis, requirements};
use tokio::time::{interval, timeout};

/// One of each.
const HUBS: [&str; 3] = ["hub-axum", "hub-actix-web", "hub-warp"];

/// What the hubs have.
const GRACE: Duration = Duration::from_secs(5);

/// What GUARANTEES says: five seconds, the grace, and a second for each of the two nodes that may do it. And some for a
/// machine that is busy.
const BOUND: Duration = Duration::from_secs(5 + GRACE.as_secs() + 2 + 5);

async fn hubs(log: &str) -> [Process; 3] {
    let arguments = ["--listen", ANY_PORT, "--log", log, "--demo", "false", "--presence", "room/*"];
    let [one, two, three] = HUBS.map(|package| Process::start_with(package, &arguments));
    [one.await, two.await, three.await]
}

async fn join(hub: &Process, principal: &str) -> Response {
    follow(hub, Request::get(&format!("/events?topic=room/1&principal={principal}"))).await.0
}

/// Who is there, and the nodes of all of them.
async fn present(hub: &Process) -> (Vec<String>, BTreeSet<String>) {
    let present = json(&ask(hub, Request::get("/presence?topic=room/1")).await);
    let present = present.as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut names: Vec<_> = present.iter().map(|it| text(&it["principal"])).collect();
    names.sort();
    let nodes = present.iter().flat_map(|it| it["nodes"].as_array().expect("a list"));
    (names, nodes.map(text).collect())
}

/// Waits until those are present, as a hub sees it; Ada always is.
async fn sees(hub: &Process, expected: &[&str]) {
    let mut look = interval(Duration::from_millis(50));
    let looking = async {
        loop {
            let (names, _) = present(hub).await;
            if names == expected {
                return;
            }
            assert!(names.is_empty() || names.contains(&"ada".to_owned()), "{names:?}");
            look.tick().await;
        }
    };
    let is_seen = timeout(BOUND, looking).await.is_ok();
    assert!(is_seen, "{:?} are present, and not {expected:?}", present(hub).await.0);
}

async fn a_node_that_is_killed_leaves_nobody_behind(log: &str) {
    let [mut killed, one, other] = hubs(log).await;
    let ada = join(&one, "ada").await;
    for hub in [&killed, &one, &other] {
        sees(hub, &["ada"]).await;
    }
    let streams = [join(&killed, "moves").await, join(&killed, "goes").await];
    for hub in [&killed, &one, &other] {
        sees(hub, &["ada", "goes", "moves"]).await;
    }
    assert_eq!(present(&one).await.1.len(), 2, "nodes");

    let began = Instant::now();
    killed.kill().await;
    drop(streams);
    // As an EventSource does, elsewhere.
    let moved = join(&other, "moves").await;
    let mut look = interval(Duration::from_millis(50));
    let mut clean = [false; 2];
    while clean != [true; 2] {
        look.tick().await;
        for (hub, clean) in [&one, &other].into_iter().zip(&mut clean) {
            let (names, nodes) = present(hub).await;
            assert!(names.contains(&"ada".to_owned()) && names.contains(&"moves".to_owned()));
            *clean = names == ["ada", "moves"] && nodes.len() == 2;
            assert!(began.elapsed() > GRACE || names.len() == 3, "{names:?}: not even the grace");
        }
        assert!(began.elapsed() < BOUND, "some are still there: {:?}", present(&one).await);
    }

    // It is another one when it is back.
    let again = killed.restart().await;
    sees(&again, &["ada", "moves"]).await;
    let back = join(&again, "goes").await;
    for hub in [&again, &one, &other] {
        sees(hub, &["ada", "goes", "moves"]).await;
    }
    let removed = ask(&one, Request::get("/metrics")).await.text().to_owned()
        + ask(&other, Request::get("/metrics")).await.text();
    let removed = removed.lines().filter_map(|line| {
        line.strip_prefix("tidings_presence_removed_total ")?.parse::<usize>().ok()
    });
    assert!(removed.sum::<usize>() >= 2, "somebody has said that they have left");
    drop((ada, moved, back));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_leaves_nobody_behind_on_redis() {
    let started = redis::Server::start().await;
    let Some(server) = requirements::met("presence on Redis", || started) else { return };
    a_node_that_is_killed_leaves_nobody_behind(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_leaves_nobody_behind_on_nats() {
    let started = nats::Server::start().await;
    let Some(server) = requirements::met("presence on NATS", || started) else { return };
    a_node_that_is_killed_leaves_nobody_behind(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_on_disk_that_was_killed_forgets_those_who_do_not_come_back() {
    let folder = tempfile::tempdir().expect("a folder of the test's own");
    let log = format!("redb:{}", folder.path().join("hub.redb").display());
    let arguments = ["--listen", ANY_PORT, "--log", &log, "--presence", "room/*"];
    let mut hub = Process::start_with("hub-axum", &arguments).await;
    let streams = [join(&hub, "ada").await, join(&hub, "goes").await];
    sees(&hub, &["ada", "goes"]).await;
    hub.kill().await;
    drop(streams);
    let hub = hub.restart().await;
    let ada = join(&hub, "ada").await;
    assert_eq!(present(&hub).await.0, ["ada", "goes"], "the grace is not over");
    sees(&hub, &["ada"]).await;
    assert_eq!(present(&hub).await.1.len(), 1, "node");
    drop(ada);
}
