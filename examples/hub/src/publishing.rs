//! `POST /publish` and `POST /finish`.

use serde_json::json;
use tidings::backend::{LogError, LogErrorKind};
use tidings::{
    Event, EventName, Hub, Publish,
    error::{PublishError, PublishErrorKind},
};

use crate::query;
use crate::refusal::Refusal;

/// Publishes the body of a request as an event. Returns the body of the response: JSON with the event's `id`, the number of
/// `subscribers`, and whether it is a `duplicate` of an earlier event with its key, whose id this is.
///
/// # Errors
///
/// When the query, the body or the event's name is invalid, when the topic is finished, when the hub is closed, and when its
/// log does not accept the event.
pub async fn publish(hub: &Hub, query: Option<&str>, body: &[u8]) -> Result<String, Refusal> {
    let (query::Publish { topic, key, source, .. }, event) = event(query, body)?;
    answer(match (source, key) {
        (Some(source), Some(key)) => hub.source(source).publish_once(key, topic, event),
        (Some(source), None) => hub.source(source).publish(topic, event),
        (None, Some(key)) => hub.publish_once(key, topic, event),
        (None, None) => hub.publish(topic, event),
    })
    .await
}

/// The same for the last event of a topic.
///
/// # Errors
///
/// As [`publish`].
pub async fn finish(hub: &Hub, query: Option<&str>, body: &[u8]) -> Result<String, Refusal> {
    let (query::Publish { topic, key, .. }, event) = event(query, body)?;
    answer(match key {
        Some(key) => hub.finish_once(key, topic, event),
        None => hub.finish(topic, event),
    })
    .await
}

fn event(query: Option<&str>, body: &[u8]) -> Result<(query::Publish, Event), Refusal> {
    let mut query = query::Publish::parse(query)?;
    let data = std::str::from_utf8(body)
        .map_err(|error| Refusal::bad_request(format!("body is not UTF-8: {error}")))?;
    let event = match (&query.event_key, &query.remove_key) {
        (Some(key), _) => Event::keyed(key, data).map_err(Refusal::bad_request)?,
        (None, Some(key)) => Event::remove_key(key, data).map_err(Refusal::bad_request)?,
        (None, None) => Event::new(data),
    };
    let name = query.event.as_deref().map(EventName::new);
    let event = match name.transpose().map_err(Refusal::bad_request)? {
        Some(name) => event.with_name(name),
        None => event,
    };
    let event = std::mem::take(&mut query.attributes).of(event);
    Ok((query, event))
}

async fn answer(publish: Publish) -> Result<String, Refusal> {
    let published = publish.await.map_err(|error| refusal(&error))?;
    Ok(json!({
        "id": published.id(),
        "subscribers": published.subscribers(),
        "duplicate": published.is_duplicate(),
    })
    .to_string())
}

/// 429, 503 and 507: the event was not published. 504: it may have been published.
fn refusal(error: &PublishError) -> Refusal {
    // What a log says may name files and addresses of the server.
    let because_of = |status, reason: &str| Refusal { status, reason: reason.to_owned() };
    match (error.kind(), error.log_error().map(LogError::kind)) {
        (PublishErrorKind::Log, Some(LogErrorKind::Unacknowledged)) => {
            because_of(504, "log has not acknowledged the event, which may be published")
        }
        (PublishErrorKind::Log, Some(LogErrorKind::Full)) => because_of(507, "log is full"),
        (PublishErrorKind::Log, Some(LogErrorKind::Busy)) => because_of(503, "log is busy"),
        (PublishErrorKind::Log, _) => because_of(503, "log does not accept events at the moment"),
        (kind, _) => {
            let status = match kind {
                PublishErrorKind::Finished => 409,
                PublishErrorKind::TooLarge => 413,
                PublishErrorKind::Closed => 503,
                PublishErrorKind::TooManyPublications => 429,
                _ => 400,
            };
            because_of(status, &error.to_string())
        }
    }
}
