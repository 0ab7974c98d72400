//! The interface of the example hubs.

use std::net::SocketAddr;

use form_urlencoded::Serializer;
use serde_json::Value;
use tidings_testkit::limit::within;
use tidings_testkit::process::Process;
use tidings_testkit::wire::{Request, Response};
use tokio::time::{Duration, interval};

use super::script::{Letter, Seen};

/// A running example hub.
#[derive(Debug)]
pub struct Hub {
    process: Process,
}

impl Hub {
    /// Builds and starts a hub.
    pub async fn start(package: &str) -> Self {
        Self { process: Process::start(package).await }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.process.addr()
    }

    /// Kills it (`kill -9`).
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Publishes a letter. Returns what a client should receive.
    pub async fn publish(&self, topic: &str, letter: &Letter) -> Seen {
        let target = {
            let mut query = Serializer::for_suffix("/publish?".to_owned(), "/publish?".len());
            query.append_pair("topic", topic);
            query.extend_pairs(letter.event.map(|event| ("event", event)));
            query.finish()
        };
        let answer = self.ask(Request::post(&target, letter.data.as_bytes())).await;
        Seen::of(letter, answer["id"].as_str().expect("what was published has an id"))
    }

    /// Finishes a topic.
    pub async fn finish(&self, topic: &str) {
        self.ask(Request::post(&format!("/finish?topic={topic}&event=done"), "")).await;
    }

    /// Ends the stream of a client.
    pub async fn close(&self, client: &str) {
        self.ask(Request::new("DELETE", &format!("/clients/{client}"))).await;
    }

    /// How many clients follow a topic.
    pub async fn clients(&self, topic: &str) -> u64 {
        self.ask(Request::get("/clients")).await["topics"][topic].as_u64().unwrap_or(0)
    }

    /// Waits until nobody follows a topic.
    pub async fn until_nobody_follows(&self, topic: &str) {
        let gone = async {
            // Nothing announces it.
            let mut look = interval(Duration::from_millis(10));
            while self.clients(topic).await > 0 {
                look.tick().await;
            }
        };
        within("the hub to notice that a client is gone", gone).await;
    }

    async fn ask(&self, request: Request) -> Value {
        let mut response = Response::to(self.addr(), request).await;
        response.read_to_end().await;
        assert!(matches!(response.status(), 200 | 204), "{}", response.text());
        serde_json::from_slice(response.body()).unwrap_or_default()
    }
}
