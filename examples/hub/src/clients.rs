//! `GET /clients`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::json;
use tidings::{ClientInfo, Hub, TopicPattern};

/// The clients of this node, as JSON.
pub fn list(hub: &Hub) -> String {
    // In this order, a client that leaves in between is listed, but not counted.
    let clients: Vec<_> = hub.clients().list().iter().map(describe).collect();
    // Topics without clients exist as long as they retain events.
    let topics = hub.clients().topics().into_iter().filter(|(_, count)| *count > 0);
    let topics = topics.map(|(topic, count)| (TopicPattern::from(topic), count));
    let topics: BTreeMap<_, _> = topics.chain(hub.clients().patterns()).collect();
    json!({ "total": clients.len(), "topics": topics, "clients": clients }).to_string()
}

fn describe(client: &ClientInfo) -> serde_json::Value {
    let connected = SystemTime::now().duration_since(client.connected_at).unwrap_or_default();
    let topics = client.topics.iter().map(TopicPattern::from);
    let topics: Vec<_> = topics.chain(client.patterns.iter().cloned()).collect();
    json!({
        "id": client.id,
        "topics": topics,
        "principal": client.principal.as_deref(),
        "remote_addr": client.remote_addr,
        "connected_ms": u64::try_from(connected.as_millis()).unwrap_or(u64::MAX),
        "events_sent": client.events_sent,
        "bytes_sent": client.bytes_sent,
        "last_id": client.last_id,
    })
}
