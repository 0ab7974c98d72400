//! Publishers in other languages, which use only what the documentation says.

use std::ffi::OsStr;
use std::path::Path;

use tidings_testkit::limit::within;
use tidings_testkit::log::Client;
use tidings_testkit::redis::Server;
use tidings_testkit::requirements::{self, met};
use tokio::process::Command;

use super::{node, server};

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/publishers/redis"))
}

/// A program publishes, and a client of a hub sees it.
async fn publishes(server: &Server, program: impl AsRef<OsStr>, script: &str) {
    let hub = node(&server.url()).await;
    let mut client = Client::expect(&hub, &["orders"], None, "fresh").await;
    for data in ["order 17", "two\nlines of ä", ""] {
        let output = Command::new(program.as_ref())
            .arg(here().join(script))
            .args(["orders", "created", data])
            .env("REDIS_PORT", server.port().to_string())
            .kill_on_drop(true)
            .output();
        let output = within("the publisher's end", output).await.expect("it starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {complaint}");
        let event = client.next().await.expect("the stream goes on");
        assert_eq!((event.event(), event.data()), ("created", data), "{script}");
        // The answer is the id of the entry, from which the event's id is made.
        let entry = String::from_utf8_lossy(&output.stdout);
        let (ms, seq) = entry.trim().split_once('-').expect("the id of an entry");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let position = number(ms) << 22 | number(seq);
        assert!(event.last_event_id().ends_with(&format!("-{position}")), "{event:?}");
    }
}

#[test]
fn the_documentation_has_these_programs() {
    let documentation = here().join("../../../docs/REDIS.md");
    let documentation = std::fs::read_to_string(documentation).expect("it exists");
    for script in ["publish.sh", "publish.py", "publish.mjs"] {
        let program = std::fs::read_to_string(here().join(script)).expect("it exists");
        assert!(documentation.contains(&program), "docs/REDIS.md has another {script}");
    }
}

#[tokio::test]
async fn a_shell_publishes_by_redis_cli() {
    let Some(server) = server().await else { return };
    publishes(&server, "sh", "publish.sh").await;
}

#[tokio::test]
async fn python_publishes_by_redis_py() {
    let Some(server) = server().await else { return };
    let python = met("publishing from Python", || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redis-publisher");
        requirements::python_packages(&here().join("requirements.txt"), &folder)
    });
    let Some(python) = python else { return };
    publishes(&server, python, "publish.py").await;
}

#[tokio::test]
async fn node_publishes_by_node_redis() {
    let Some(server) = server().await else { return };
    let node = met("publishing from Node.js", || {
        requirements::npm_packages(here())?;
        requirements::node()
    });
    let Some(node) = node else { return };
    publishes(&server, node, "publish.mjs").await;
}
