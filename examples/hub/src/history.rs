//! `GET /position` and `GET /history`: what a page shows, and where its stream goes on.

use serde_json::{Value, json};
use tidings::{EventHistory, Hub, Message};

use crate::query;
use crate::refusal::Refusal;

/// The position of now, as JSON: `{"id": "…"}`.
pub fn position(hub: &Hub) -> String {
    json!({ "id": hub.position() }).to_string()
}

/// The newest events of some topics, as JSON: `{"events": […], "id": "…"}`. A stream of the same topics with this id as
/// `lastEventId` goes on after the last of them.
///
/// # Errors
///
/// When the query is invalid, and when the hub's log does not answer.
pub async fn read(hub: &Hub, query: Option<&str>) -> Result<String, Refusal> {
    let EventHistory { events, position, .. } = query::History::parse(query)?.read(hub).await?;
    let events: Vec<_> = events.iter().map(describe).collect();
    Ok(json!({ "events": events, "id": position }).to_string())
}

fn describe(event: &Message) -> Value {
    json!({ "id": event.last_event_id(), "event": event.event(), "data": event.data() })
}
