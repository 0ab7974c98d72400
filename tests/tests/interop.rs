//! Clients and proxies that other people wrote, at each of the example hubs.
#![cfg(unix)]

use std::path::Path;

use tidings_tests::interop::client::{CLIENTS, Tools};
use tidings_tests::interop::hub::Hub;
use tidings_tests::interop::run::play;

const HUBS: [&str; 3] = ["hub-axum", "hub-actix-web", "hub-warp"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_receives_every_event() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop");
    let tools: &'static Tools = Box::leak(Box::new(Tools::find(&folder)));
    let mut runs = Vec::new();
    for package in HUBS {
        let hub = std::sync::Arc::new(Hub::start(package).await);
        for client in &CLIENTS {
            let hub = hub.clone();
            runs.push((package, client.name, tokio::spawn(async move {
                play(client, |url| tools.command(client, url).unwrap(), &hub).await
            })));
        }
    }
    let mut failed = false;
    for (hub, client, run) in runs {
        match run.await {
            Ok(Ok(())) => eprintln!("{hub} {client}: ok"),
            Ok(Err(error)) => { failed = true; eprintln!("{hub} {client}: {error}") }
            Err(error) => { failed = true; eprintln!("{hub} {client}: {error}") }
        }
    }
    assert!(!failed);
}
