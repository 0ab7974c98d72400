//! `POST /clients/{id}/topics?add=b&remove=a`: changes the topics of an open stream, on any node.

use serde_json::json;
use tidings::cluster::{Answer, Ask};
use tidings::error::FieldError;
use tidings::{ClientId, History, Hub, TopicPattern};

use crate::cluster::outcome;
use crate::query::{history, pairs};
use crate::refusal::Refusal;

/// Which topics and patterns are added and taken away, and how much the new ones send of what they retain.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    add: Vec<TopicPattern>,
    remove: Vec<TopicPattern>,
    history: History,
}

impl Change {
    fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut change = Self { add: Vec::new(), remove: Vec::new(), history: History::None };
        for (name, value) in pairs(query) {
            match name.as_str() {
                "add" => change.add.push(TopicPattern::new(value).map_err(Refusal::bad_request)?),
                "remove" => {
                    change.remove.push(TopicPattern::new(value).map_err(Refusal::bad_request)?);
                }
                "history" => change.history = history(&value)?,
                _ => {}
            }
        }
        if change.add.is_empty() && change.remove.is_empty() {
            return Err(Refusal::bad_request("neither add nor remove names a topic"));
        }
        // Otherwise the removal might be refused when the addition is done: it could leave no topic.
        match change.add.iter().any(|name| change.remove.contains(name)) {
            true => Err(Refusal::bad_request("add and remove name the same topic")),
            false => Ok(change),
        }
    }
}

/// Changes the topics of the client with this id. Returns them as JSON, if the client is on this node; on another node, what
/// new topics retain is not sent.
///
/// # Errors
///
/// When the client does not exist, or may be on a node that has not answered; when a name is invalid, or the client would
/// have too many topics or none.
pub async fn change(hub: &Hub, id: &str, query: Option<&str>) -> Result<String, Refusal> {
    let id: ClientId = id.parse().map_err(Refusal::not_found)?;
    let change = Change::parse(query)?;
    if hub.clients().get(id).is_some() {
        // First what it gets: it always has a topic.
        let client = hub.client(id).history(change.history);
        let is_open = client.subscribe_matching(&change.add).map_err(Refusal::bad_request)?
            && client.unsubscribe_matching(&change.remove).map_err(Refusal::bad_request)?;
        let info = hub.clients().get(id).filter(|_| is_open);
        let info = info.ok_or_else(|| Refusal::not_found("client id: the client has left"))?;
        let topics = info.topics.iter().map(TopicPattern::from);
        let topics: Vec<_> = topics.chain(info.patterns.iter().cloned()).collect();
        return Ok(json!({ "topics": topics }).to_string());
    }
    if !change.add.is_empty() {
        elsewhere(hub.cluster().subscribe_matching(id, &change.add)).await?;
    }
    if !change.remove.is_empty() {
        elsewhere(hub.cluster().unsubscribe_matching(id, &change.remove)).await?;
    }
    Ok("{}".to_owned())
}

async fn elsewhere(ask: Result<Ask, FieldError>) -> Result<(), Refusal> {
    let answer: Answer = ask.map_err(Refusal::bad_request)?.await;
    outcome(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_topics() {
        let change = Change::parse(Some("add=b&add=c:*&remove=a&history=3&x=y")).unwrap();
        let names = |names: &[&'static str]| {
            names.iter().map(|name| TopicPattern::new(*name).unwrap()).collect::<Vec<_>>()
        };
        let expected =
            Change { add: names(&["b", "c:*"]), remove: names(&["a"]), history: History::Last(3) };
        assert_eq!(change, expected);
        for (query, reason) in [
            (None, "neither add nor remove names a topic"),
            (Some("history=3"), "neither add nor remove names a topic"),
            (Some("add=b&remove=a&remove=b"), "add and remove name the same topic"),
            (Some("add=two+words"), "topic pattern contains ' ' at byte 3"),
        ] {
            assert_eq!(Change::parse(query), Err(Refusal::bad_request(reason)));
        }
    }
}
