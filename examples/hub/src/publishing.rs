//! `POST /publish`.

use serde_json::json;
use tidings::{Event, Hub, PublishErrorKind};

use crate::query;
use crate::refusal::Refusal;

/// Publishes a request's body as an event. Returns the body of the response: JSON with the
/// event's `id` and the number of `subscribers` that it was for.
///
/// # Errors
///
/// When the query, the body or the event's name is bad, and when the hub is closed.
pub async fn publish(hub: &Hub, query: Option<&str>, body: &[u8]) -> Result<String, Refusal> {
    let query::Publish { topic, event } = query::Publish::parse(query)?;
    let data = std::str::from_utf8(body)
        .map_err(|error| Refusal::bad_request(format!("body: is not UTF-8: {error}")))?;
    let event = match event {
        Some(name) => Event::named(name, data).map_err(Refusal::bad_request)?,
        None => Event::new(data),
    };
    let published = hub.publish(topic, event).await.map_err(|error| Refusal {
        status: match error.kind() {
            PublishErrorKind::TooLarge => 413,
            PublishErrorKind::Closed => 503,
            _ => 400,
        },
        reason: error.to_string(),
    })?;
    Ok(json!({ "id": published.id(), "subscribers": published.subscribers() }).to_string())
}
