use std::net::SocketAddr;

use serde_json::Value;
use tidings_testkit::limit::within;
use tidings_testkit::nats::Server;
use tidings_testkit::wire::{Request, Response};

/// The configuration with which a server reports on its connections.
pub(crate) const CONFIGURATION: &str = r#"http: "127.0.0.1:-1""#;

/// What a server reports on a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The subjects that it is subscribed to, sorted.
    pub(crate) subjects: Vec<String>,
    /// How many messages it was sent.
    pub(crate) sent: u64,
}

/// Asks a server for its connection of this name, which must exist.
pub(crate) async fn connection(server: &Server, name: &str) -> Connection {
    let answer = ask(server, "/connz?subs=1").await;
    let all = answer["connections"].as_array().expect("a list");
    let found = all.iter().find(|one| one["name"] == name).expect("the connection");
    let subjects = found["subscriptions_list"].as_array().expect("a list");
    let mut subjects: Vec<_> =
        subjects.iter().map(|subject| subject.as_str().expect("a subject").to_owned()).collect();
    subjects.sort();
    Connection { subjects, sent: found["out_msgs"].as_u64().expect("a number") }
}

/// How many messages a server was sent: requests are some.
pub(crate) async fn received(server: &Server) -> u64 {
    ask(server, "/varz").await["in_msgs"].as_u64().expect("a number")
}

async fn ask(server: &Server, target: &str) -> Value {
    let said = server.said();
    let (_, rest) = said.split_once("Starting http monitor on ").expect("it is configured");
    let addr: SocketAddr =
        rest.lines().next().and_then(|addr| addr.parse().ok()).expect("an address");
    let mut response = within("an answer", Response::to(addr, Request::get(target))).await;
    response.read_to_end().await;
    serde_json::from_slice(response.body()).expect("the body is JSON")
}
