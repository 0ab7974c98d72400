//! `GET /presence?topic=room/1`: who is on a topic.

use serde_json::json;
use tidings::error::Error;
use tidings::{Hub, Topic};

use crate::query::pairs;
use crate::refusal::Refusal;

fn parse(query: Option<&str>) -> Result<Topic, Refusal> {
    let topics = pairs(query).filter(|(name, _)| name == "topic").map(|(_, topic)| topic);
    let [topic] = <[String; 1]>::try_from(topics.collect::<Vec<_>>()).map_err(|_| {
        Refusal::bad_request("there is not one topic in the URL, as in /presence?topic=room/1")
    })?;
    Topic::new(topic).map_err(Refusal::bad_request)
}

/// Those who are on a topic, as JSON: `[{"principal": "ada", "since": 1764223200000, "nodes": ["…"]}]`.
///
/// # Errors
///
/// When there is not one topic, and when the hub's log does not answer.
pub async fn read(hub: &Hub, query: Option<&str>) -> Result<String, Refusal> {
    let present = hub.presence(parse(query)?).await.map_err(|error| {
        let response = Error::from(error).response();
        Refusal { status: response.status, reason: response.body }
    })?;
    Ok(json!(present).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_topic() {
        assert_eq!(parse(Some("topic=room%2F1&x=y")), Ok(Topic::new("room/1").unwrap()));
        for query in [None, Some("x=y"), Some("topic=a&topic=b")] {
            let reason = "there is not one topic in the URL, as in /presence?topic=room/1";
            assert_eq!(parse(query), Err(Refusal::bad_request(reason)));
        }
        assert!(parse(Some("topic=*")).is_err());
    }
}
