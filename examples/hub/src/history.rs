//! `GET /position` and `GET /history`: what a page shows, and where its stream goes on.

use serde_json::json;
use tidings::Hub;

use crate::query;
use crate::refusal::Refusal;

/// The position of now, as JSON: `{"id": "…"}`.
pub fn position(hub: &Hub) -> String {
    json!({ "id": hub.position() }).to_string()
}

/// The newest events of some topics, as JSON: `{"events": […], "position": "…"}`. A stream of the same topics with this position
/// as `lastEventId` goes on after the last of them.
///
/// # Errors
///
/// When the query is invalid, and when the hub's log does not answer.
pub async fn read(hub: &Hub, query: Option<&str>) -> Result<String, Refusal> {
    let history = query::History::parse(query)?.read(hub).await?;
    Ok(serde_json::to_string(&history).expect("texts have JSON"))
}
