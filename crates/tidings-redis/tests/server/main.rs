//! The log on Redis, and the bridge from its Pub/Sub, with real servers.

#![cfg(unix)]

mod bridge;
mod history;
mod publishers;
mod refusals;
mod servers;
mod suite;

use tidings::{Event, Hub, Published, error::PublishError};
use tidings_redis::RedisLog;
use tidings_testkit::limit::within;
use tidings_testkit::redis::Server;
use tidings_testkit::requirements::met;

/// A server that keeps everything; `None` if Redis is not installed.
async fn server() -> Option<Server> {
    server_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
}

async fn server_with(arguments: &[&str]) -> Option<Server> {
    let server = Server::start_with(arguments).await;
    met("the log on Redis", || server)
}

/// A node on the log at this address.
async fn node(url: &str) -> Hub {
    let log = within("a connection", RedisLog::connect(url)).await;
    Hub::builder().build_on(log.expect("the server is running"))
}

async fn publish(hub: &Hub, topic: &str, data: &str) -> Result<Published, PublishError> {
    within("an answer to a publication", hub.publish(topic, Event::new(data))).await
}

async fn id_of(hub: &Hub, topic: &str, data: &str) -> String {
    publish(hub, topic, data).await.expect("an event is published").id().as_str().to_owned()
}

/// The epoch in an id.
fn epoch(id: &str) -> &str {
    id.rsplit_once('-').expect("an id of a hub").0
}
