//! Example hubs whose clock is set, or that are stopped.
//!
//! To a process on Linux, a machine that was suspended is one whose wall clock was set ahead: the monotonic clock stands
//! still meanwhile.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tidings_testkit::limit::within;
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::requirements;
use tidings_testkit::wire::{Connection, Ending, Request, Response};
use tidings_tests::example::{ask, follow, json};
use tidings_tests::{on_every_framework, redis};

on_every_framework! { "hub";
    a_clock_that_is_set_changes_nothing_in_memory
    a_clock_that_is_set_changes_nothing_on_redb
    a_clock_that_is_set_changes_nothing_on_redis
    a_process_that_was_stopped_goes_on
}

/// A hub with a wall clock of its own.
struct Hub {
    process: Process,
    clock: PathBuf,
}

impl Hub {
    /// `None` without libfaketime.
    async fn start(package: &str, name: &str, log: &str) -> Option<Self> {
        let library = requirements::met("clocks that are set", requirements::faketime)?;
        let clock = folder(package).join(format!("{name}-clock"));
        fs::write(&clock, "+0").expect("a file of the test's own");
        let [library, file] = [&library, &clock].map(|path| path.to_str().expect("it is text"));
        let environment = [
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let arguments = ["--listen", ANY_PORT, "--demo", "false", "--log", log];
        let process = Process::start_in(package, &arguments, &environment).await;
        Some(Self { process, clock })
    }

    fn set_clock(&self, hours: i32) {
        fs::write(&self.clock, format!("{hours:+}h")).expect("a file of the test's own");
    }

    async fn publish(&self, data: &str) -> String {
        let response = ask(&self.process, Request::post("/publish?topic=a", data)).await;
        assert_eq!(response.status(), 200, "{}", response.text());
        json(&response)["id"].as_str().expect("an id").to_owned()
    }

    async fn follow(&self, query: &str) -> (Response, Value) {
        follow(&self.process, Request::get(&format!("/events?topic=a{query}"))).await
    }
}

fn folder(package: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clock").join(package);
    fs::create_dir_all(&folder).expect("a folder of the test's own");
    folder
}

/// A stream goes on, a client is resumed, and the history is whole, whatever the wall clock says.
async fn is_unimpressed(hub: Hub) {
    let (mut stream, _) = hub.follow("").await;
    let first = hub.publish("0").await;
    let mut all = vec!["0".to_owned()];
    for hours in [5, 0, -5, 100, -100] {
        hub.set_clock(hours);
        all.push(hours.to_string());
        hub.publish(&hours.to_string()).await;
        let (mut resumed, status) = hub.follow(&format!("&lastEventId={first}")).await;
        assert_eq!(status["status"], "resumed", "after {hours} h");
        let (mut fresh, status) = hub.follow("&history=all").await;
        assert_eq!(status["status"], "fresh");
        for data in &all {
            assert_eq!(fresh.next_message().await.data(), data, "after {hours} h");
        }
        for data in &all[1..] {
            assert_eq!(resumed.next_message().await.data(), data, "after {hours} h");
        }
        let clients = json(&ask(&hub.process, Request::get("/clients")).await);
        assert!(clients["total"].as_u64() >= Some(3), "{clients}");
    }
    for data in &all {
        assert_eq!(stream.next_message().await.data(), data, "nobody is reset");
    }
    assert_eq!(hub.process.complaints(), "");
}

async fn a_clock_that_is_set_changes_nothing_in_memory(package: &str) {
    let Some(hub) = Hub::start(package, "memory", "memory").await else { return };
    is_unimpressed(hub).await;
}

async fn a_clock_that_is_set_changes_nothing_on_redb(package: &str) {
    let path = folder(package).join("events.redb");
    let _ = fs::remove_file(&path);
    let log = format!("redb:{}", path.display());
    let Some(hub) = Hub::start(package, "redb", &log).await else { return };
    is_unimpressed(hub).await;
}

async fn a_clock_that_is_set_changes_nothing_on_redis(package: &str) {
    let server = redis::Server::start().await;
    let Some(server) = requirements::met("clocks that are set on Redis", || server) else { return };
    let log = format!("redis://127.0.0.1:{}/", server.port());
    let Some(hub) = Hub::start(package, "redis", &log).await else { return };
    is_unimpressed(hub).await;
}

async fn a_process_that_was_stopped_goes_on(package: &str) {
    let hub = Process::start(package).await;
    let (mut stream, _) = follow(&hub, Request::get("/events?topic=a")).await;
    hub.pause();
    // These wait in their sockets.
    let mut asked = Vec::new();
    for data in ["one", "two"] {
        let mut connection = Connection::open(hub.addr()).await;
        let publish = Request::post("/publish?topic=a", data);
        connection.write(&publish.bytes()).await;
        asked.push(connection);
    }
    hub.resume();
    for connection in asked {
        let mut response = within("an answer", connection.response()).await;
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.status(), 200);
    }
    let mut data = [stream.next_message().await.data().to_owned(), String::new()];
    data[1] = stream.next_message().await.data().to_owned();
    data.sort();
    assert_eq!(data, ["one", "two"]);
}
