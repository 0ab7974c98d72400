//! `examples/cluster`: one command starts everything, and nothing is left of it.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tidings_testkit::limit::eventually;
use tidings_testkit::program;
use tidings_tests::requirements;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// It starts several processes, and generates load for two seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// The program, which starts other programs that are already built.
fn cluster() -> Command {
    cluster_of(program::build("cluster-example").parent().expect("a file is in a folder"))
}

/// The same, with the programs of a folder.
fn cluster_of(programs: &Path) -> Command {
    let mut command = Command::new(program::build("cluster-example"));
    command.arg("--programs").arg(programs).kill_on_drop(true).stdin(Stdio::null());
    command
}

#[tokio::test]
async fn every_client_receives_what_is_published_at_every_hub() {
    for (log, server) in [("redis", "redis-server"), ("nats", "nats-server")] {
        let found = || requirements::program(server, server);
        if requirements::met(&format!("examples/cluster on {log}"), found).is_none() {
            continue;
        }
        let mut command = cluster();
        command.args(["--log", log, "--clients", "20", "--rate", "60", "--for", "2s", "--json"]);
        // It is for a hub that strangers can reach.
        command.env("TIDINGS_TOKEN", "s3cret");
        let output = timeout(LIMIT, command.output()).await.expect("it ends").expect("it starts");
        assert!(output.status.success(), "{log}: {output:?}");
        let lines: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let names: Vec<_> =
            lines.as_array().into_iter().flatten().map(|line| &line["name"]).collect();
        assert_eq!(names, ["hub 1", "hub 2", "hub 3", "all", "server"]);
        assert_eq!(lines[3]["clients"]["connected_at_end"], 60, "{lines}");
        for hub in lines.as_array().into_iter().flatten().take(3) {
            // Each has 20 clients and publishes 40 events, or 41, some of them before the last client is connected.
            let deliveries = hub["deliveries"]["total"].as_u64().expect("a number");
            assert!(deliveries > 2 * 41 * 20, "it lacks those of another one: {hub}");
        }
    }
}

#[tokio::test]
async fn an_interrupt_ends_all_processes() {
    let Some((mut child, started)) = start().await else { return };
    interrupt(&mut child).await;
    eventually("nothing is left", || !started.iter().any(exists)).await;
}

#[tokio::test]
async fn hubs_are_asked_to_end_at_one_time() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster_example");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder of the test's own");
    // Each of these hubs leaves a file when it is asked to end, and another one when both were asked and it ends.
    let mut command = cluster_of(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cluster")));
    command.args(["--log", "redis://nowhere"]).env("ENDS", &folder);
    let (mut child, started) = started_by(command).await;
    assert_eq!(started.len(), 2, "{started:?}");
    interrupt(&mut child).await;
    let left = std::fs::read_dir(&folder).expect("a folder of the test's own").count();
    assert_eq!(left, 4);
}

#[tokio::test]
async fn all_processes_end_when_the_example_is_killed() {
    let Some((mut child, started)) = start().await else { return };
    timeout(LIMIT, child.kill()).await.expect("it ends").expect("it is our child");
    eventually("nothing is left", || !started.iter().any(exists)).await;
}

/// A cluster without load, and the processes that it says it has started. `None` where Redis is not installed.
async fn start() -> Option<(Child, Vec<String>)> {
    let found = || requirements::program("redis-server", "redis-server");
    requirements::met("examples/cluster", found)?;
    let (child, started) = started_by(cluster()).await;
    assert_eq!(started.len(), 3, "a server and two hubs: {started:?}");
    Some((child, started))
}

/// Two hubs without load, and the processes that the example says it has started.
async fn started_by(mut command: Command) -> (Child, Vec<String>) {
    command.args(["--clients", "0", "--nodes", "2"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut started = Vec::new();
    let all_started = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if let Some((_, process)) = line.split_once(", process ") {
                started.push(process.to_owned());
            }
            if line.contains("Ctrl-C") {
                break;
            }
        }
    };
    timeout(LIMIT, all_started).await.expect("it prints what it has started");
    assert!(started.iter().all(exists));
    (child, started)
}

/// Interrupts the example, and waits until it has ended.
async fn interrupt(child: &mut Child) {
    let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    kill_process(id.expect("it runs"), Signal::INT).expect("it is our child");
    let status = timeout(LIMIT, child.wait()).await.expect("it ends").expect("it is our child");
    assert!(status.success(), "{status}");
}

/// Whether a process with this id runs. The command of a zombie is empty.
fn exists(process: &String) -> bool {
    let command = std::fs::read(Path::new("/proc").join(process).join("cmdline"));
    command.is_ok_and(|command| !command.is_empty())
}

#[tokio::test]
async fn a_server_that_is_not_installed_is_reported_in_a_sentence() {
    let mut command = cluster();
    let output = command.env("PATH", "/nowhere").output();
    let output = timeout(LIMIT, output).await.expect("it ends").expect("it starts");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("cluster-example: redis-server: does not start: "), "{said}");
    assert!(said.contains("install it, or name a server: --log redis://"), "{said}");
}
