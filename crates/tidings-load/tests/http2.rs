//! Clients that share connections, against a hub that speaks HTTP/2.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use tidings::{Event, Hub};
use tidings_axum::{Sse, SseRequest};
use tidings_load::{Fleet, Plan, Target};
use tidings_testkit::limit::{eventually, within};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A hub with its own runtime. When that ends, so do all connections.
struct Server {
    hub: Hub,
    addr: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    async fn start(at: &str) -> Self {
        let listener = TcpListener::bind(at).await.unwrap().into_std().unwrap();
        let addr = listener.local_addr().unwrap();
        let hub = Hub::new();
        let routes = Router::new()
            .route("/events", get(events))
            .route("/publish", post(publish))
            .with_state(hub.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let served = hub.clone();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            tidings_axum::serve(listener, routes, &served).await.unwrap();
        });
        Self { hub, addr, runtime: Some(runtime) }
    }

    fn plan(&self, clients: usize, streams: usize) -> Plan {
        let target = Target::parse(&format!("http://{}/events", self.addr)).unwrap();
        Plan::new(target, clients).http2(streams)
    }

    async fn publish(&self, data: String) {
        self.hub.publish("load", Event::new(data)).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "load").into()
}

async fn publish(State(hub): State<Hub>, Query(_): Query<()>, data: String) {
    hub.publish("load", Event::new(data)).await.unwrap();
}

#[tokio::test]
async fn clients_that_share_connections_lose_nothing() {
    let server = Server::start("127.0.0.1:0").await;
    let plan = server.plan(90, 40).stalled(0.1).slow(0.1, 100_000);
    let fleet = within("the start", Fleet::start(plan.storm(Duration::from_millis(200)))).await;
    let fleet = fleet.unwrap();
    within("all clients", fleet.wait_connected()).await.unwrap();
    for n in 0..100 {
        server.publish(format!("{{\"n\":{n}}}")).await;
    }
    eventually("all events", || fleet.deliveries() == 8100).await;
    eventually("two storms", || fleet.report().connections.closed_by_storm >= 162).await;
    let report = fleet.report();
    assert!(report.clean, "{report:?}");
    assert_eq!((report.clients.stalled, report.clients.slow), (9, 9));
    assert_eq!((report.clients.stalled_evicted, report.clients.slow_evicted), (0, 0));
    assert_eq!(report.connect_ms.count, 3);
}

#[tokio::test]
async fn clients_reconnect_to_a_hub_that_restarts() {
    let server = Server::start("127.0.0.1:0").await;
    let plan = server.plan(20, 10).retry(Duration::from_millis(50));
    let fleet = within("the start", Fleet::start(plan)).await.unwrap();
    within("all clients", fleet.wait_connected()).await.unwrap();
    // Every client now has an id to resume from.
    server.publish("one".into()).await;
    within("an event each", fleet.wait_for_deliveries(1)).await.unwrap();
    let addr = server.addr.to_string();
    drop(server);
    eventually("no clients", || fleet.connected() == 0).await;
    let server = Server::start(&addr).await;
    eventually("all clients again", || fleet.report().verdict.resets == 20).await;
    server.publish("two".into()).await;
    within("two events each", fleet.wait_for_deliveries(2)).await.unwrap();
    let report = fleet.report();
    assert_eq!((report.connections.opened, report.clients.streamed), (40, 20));
    assert!(report.clean, "{report:?}");
}

#[tokio::test]
async fn the_program_measures_over_http2() {
    let server = Server::start("127.0.0.1:0").await;
    let events = format!("http://{}/events", server.addr);
    let publish = format!("http://{}/publish", server.addr);
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidings-load"));
    program.args([&events, "--publish", &publish, "--rate", "50", "-c", "60", "--for", "1s"]);
    program.args(["--http2", "--streams-per-connection", "20", "--json"]);
    let output = program.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = within("the program", output).await.unwrap();
    let complaints = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*complaints), (Some(0), ""));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["clients"]["streamed"], 60);
    assert_eq!(report["connect_ms"]["count"], 3);
    assert!(report["latency_ms"]["count"].as_u64().unwrap() > 600, "{report}");
}

#[tokio::test]
async fn a_server_without_http2_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
    let plan = Plan::new(Target::parse(&url).unwrap(), 3).http2(2);
    let fleet = within("the start", Fleet::start(plan)).await.unwrap();
    let error = within("the end", fleet.wait_connected()).await.unwrap_err();
    let begin = format!("{url}: no answer over HTTP/2: ");
    assert!(error.to_string().starts_with(&begin), "{error}");
}
