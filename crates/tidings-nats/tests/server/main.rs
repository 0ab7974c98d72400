//! The log on NATS, and the bridge from its core, with real servers.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod access;
mod audience;
mod bridge;
mod cluster;
mod faults;
mod foreign;
mod interests;
mod monitor;
mod patterns;
mod reading;
mod suite;

use tidings::Hub;
use tidings_nats::{NatsLog, NatsLogBuilder};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::nats::Server;
use tidings_testkit::proxy::Proxy;
use tidings_testkit::requirements::met;

/// A server; `None` if NATS is not installed.
async fn server() -> Option<Server> {
    server_with("").await
}

async fn server_with(configuration: &str) -> Option<Server> {
    let server = Server::start_with(configuration).await;
    met("logs on NATS", || server)
}

/// A node on the log at this address.
async fn hub_at(url: &str, builder: NatsLogBuilder) -> Hub {
    let log = within("a log", builder.connect(url)).await.expect("the server is running");
    Hub::builder().build_on(log)
}

/// A node of a server that receives everything.
async fn node(server: &Server) -> Hub {
    hub_at(&server.url(), NatsLog::builder()).await
}

async fn is_ready(hub: &Hub, ready: bool) {
    let what = if ready { "a hub that is ready" } else { "a hub that is not ready" };
    eventually(what, || hub.health().is_ready() == ready).await;
}

/// A link to a server, and its address.
async fn proxy(server: &Server) -> (Proxy, String) {
    let addr = ([127, 0, 0, 1], server.port()).into();
    let proxy = Proxy::start(addr).await.expect("a free port");
    let url = format!("nats://{}", proxy.addr());
    (proxy, url)
}

async fn client_of(server: &Server) -> async_nats::Client {
    async_nats::connect(server.url()).await.expect("the server is running")
}

/// The position in an id.
fn position(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}
