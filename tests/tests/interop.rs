//! Other people's clients and proxies at each of the example hubs, and the report, docs/COMPARISON.md.
#![cfg(unix)]

use std::any::Any;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tidings_tests::document;
use tidings_tests::interop::client::{CLIENTS, Tools};
use tidings_tests::interop::finished::{AtTheEnd, COMES_BACK, Finished, STOP};
use tidings_tests::interop::hub::Hub;
use tidings_tests::interop::proxy::{self, HTTPS, Program, Proxy, SETUPS};
use tidings_tests::interop::{report, run};
use tidings_tests::requirements;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const HUBS: [&str; 3] = ["hub-axum", "hub-actix-web", "hub-warp"];

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// Found and installed once.
static TOOLS: LazyLock<Tools> = LazyLock::new(|| Tools::find(&folder()));

/// The folder for everything that is written.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop")
}

/// All runs happen at the same time, because they wait more than they work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_and_every_proxy_at_every_hub() {
    let mut runs = Vec::new();
    let mut skipped = 0;
    for package in HUBS {
        let hub = Arc::new(Hub::start(package).await);
        for client in &CLIENTS {
            let Some(command) = TOOLS.command(client) else {
                skipped += 1;
                continue;
            };
            let hub = hub.clone();
            let run = tokio::spawn(async move { run::play(client, command, &hub).await });
            runs.push((format!("{package}, {}", client.name), run));
        }
        for setup in &SETUPS {
            let Some(program) = found(setup.program) else {
                skipped += 1;
                continue;
            };
            let (hub, folder) = (hub.clone(), folder().join(package).join(setup.file));
            let run = tokio::spawn(async move {
                proxy::pass(setup, &program, &hub, &folder).await;
                Ok(())
            });
            runs.push((format!("{package}, {}", setup.name), run));
        }
    }
    let count = runs.len();
    let mut failures = Vec::new();
    for (name, run) in runs {
        if let Err(error) = outcome(run).await {
            failures.push(format!("{name}: {error}"));
        }
    }
    assert!(failures.is_empty(), "{} of {count} runs:\n{}", failures.len(), failures.join("\n"));
    if skipped == 0 {
        check_report(&report::report(&HUBS, &TOOLS));
    }
}

async fn outcome(run: JoinHandle<Result<(), String>>) -> Result<(), String> {
    match run.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Err(message(&*panic)),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// The path of a proxy; `None` if it is not installed, which is reported once.
fn found(program: Program) -> Option<PathBuf> {
    static PROXIES: LazyLock<[Option<PathBuf>; 5]> = LazyLock::new(|| {
        Program::ALL.map(|program| {
            requirements::met(&format!("interop with {}", program.name()), || program.find())
        })
    });
    let number = Program::ALL.iter().position(|other| *other == program)?;
    PROXIES[number].clone()
}

/// Writes docs/COMPARISON.md if that is requested. If not, asserts that it shows what the runs showed.
fn check_report(report: &str) {
    let path = Path::new(DOCS).join("COMPARISON.md");
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    if document::is_written() {
        std::fs::write(&path, report::put(&file, report)).expect("docs/COMPARISON.md");
    } else {
        assert!(
            report::is_in(&file, report),
            "docs/COMPARISON.md does not show what the runs showed; with TIDINGS_WRITE_DOCS=1, \
             this test writes it"
        );
    }
}

#[tokio::test]
async fn a_browser_has_six_streams_over_http_1_and_many_over_http_2() {
    let (Some(mut chromium), Some(caddy)) =
        (TOOLS.chromium_script("connections.mjs"), found(Program::Caddy))
    else {
        return;
    };
    let hub = Hub::start("hub-axum").await;
    let proxy = Proxy::start(&HTTPS, &caddy, hub.addr(), &folder().join("https")).await;
    let child = chromium
        .arg(format!("http://{}", hub.addr()))
        .arg(format!("https://localhost:{}", proxy.addr().port()))
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node runs");
    let output = timeout(Duration::from_secs(60), child.wait_with_output()).await;
    let output = output.expect("it ends in time").expect("it is our child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", proxy.complaints());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_do_not_come_back_to_a_topic_that_is_finished() {
    let hub = Hub::start("hub-axum").await;
    let begin = async |client: &'static AtTheEnd| {
        let command = TOOLS.driver(client.source, client.driver)?;
        Some(Finished::begin(client, command, &hub).await)
    };
    let mut stopped = Vec::new();
    for client in &STOP {
        stopped.extend(begin(client).await);
    }
    for client in &stopped {
        client.until_it_has_stopped().await;
    }
    // Another one comes back again and again meanwhile.
    if let Some(other) = begin(&COMES_BACK).await {
        other.until_it_has_stopped().await;
    }
    for client in stopped {
        client.assert_stopped().await;
    }
}

#[tokio::test]
async fn browsers_give_up_only_if_a_response_ends_before_its_content_type() {
    for script in [TOOLS.chromium_script("early_end.mjs"), TOOLS.firefox_script("early_end.mjs")] {
        let Some(mut script) = script else { continue };
        let run = script.kill_on_drop(true).stdin(Stdio::null()).output();
        let output = timeout(Duration::from_secs(60), run).await.expect("it ends in time");
        let output = output.expect("node runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_tell_clients_of_a_hub_that_is_killed_or_do_not_as_documented() {
    let setups: Vec<_> =
        SETUPS.iter().filter_map(|setup| Some((setup, found(setup.program)?))).collect();
    for package in HUBS {
        let hub = Hub::start(package).await;
        proxy::failures_are_seen(hub, &setups, &folder().join(package).join("killed")).await;
    }
}

#[tokio::test]
async fn a_proxy_that_holds_events_back_would_be_noticed() {
    let Some(nginx) = found(Program::Nginx) else { return };
    let hub = Hub::start("hub-axum").await;
    proxy::buffering_is_noticed(&nginx, &hub, &folder().join("buffering")).await;
}

#[test]
fn docs_show_the_configurations_that_are_tested() {
    let docs = std::fs::read_to_string(Path::new(DOCS).join("DEPLOYING.md")).expect("the document");
    for file in SETUPS.iter().chain([&HTTPS]).map(|setup| setup.file) {
        let text = std::fs::read_to_string(Path::new(proxy::FOLDER).join(file));
        let text = text.expect("a configuration");
        let is_shown = docs.contains(&format!("\n{text}```\n"));
        assert!(is_shown || file.contains("default"), "docs/DEPLOYING.md does not show {file}");
    }
}
