//! Topics that keep the newest event of each key.

use std::collections::BTreeMap;

use tidings::{Event, History, Hub, HubBuilder, Message, Retention, STATUS_EVENT};

use super::{Client, Engine};
use crate::checker::position;
use crate::limit::within;

/// What a client knows: the value of each key.
pub(super) type Values = BTreeMap<String, String>;

pub(super) fn builder() -> HubBuilder {
    let builder = Hub::builder().retain("values*", Retention::latest_per_key());
    builder.expect("a pattern")
}

/// Sets the value of a key, or removes it. The data says which.
pub(super) async fn set(hub: &Hub, topic: &str, key: &str, value: Option<usize>) -> String {
    let event = match value {
        Some(value) => Event::keyed(key, format!("{key} {value}")),
        None => Event::remove_key(key, format!("{key} gone")),
    };
    let publish = hub.publish(topic, event.expect("a key"));
    within("an acknowledgement", publish).await.expect("is published").id().to_string()
}

/// Updates of ten keys, of which the last are removed. Returns the ids of all events, and what is known after each.
pub(super) async fn publish_values(hub: &Hub, count: usize) -> (Vec<String>, Vec<Values>) {
    let (mut ids, mut known) = (vec![hub.position().to_string()], vec![Values::new()]);
    for n in 0..count {
        let key = format!("k{}", (n * n + n / 3) % 10);
        let value = Some(n).filter(|_| n % 10 != 4);
        ids.push(set(hub, "values", &key, value).await);
        let mut values = known[n].clone();
        match value {
            Some(value) => values.insert(key, value.to_string()),
            None => values.remove(&key),
        };
        known.push(values);
    }
    (ids, known)
}

pub(super) fn learn(known: &mut Values, messages: &[Message]) {
    for message in messages.iter().filter(|it| it.event() != STATUS_EVENT) {
        let Some((key, value)) = message.data().split_once(' ') else { continue };
        match value {
            "gone" => known.remove(key),
            value => known.insert(key.to_owned(), value.to_owned()),
        };
    }
}

/// A client that is sent history reads up to an event. Returns how it began, and what it received.
pub(super) async fn read_fresh(
    hub: &Hub,
    topics: &[&str],
    to: &str,
) -> (serde_json::Value, Vec<Message>) {
    let subscribe = hub.subscribe_matching(topics.iter().copied()).history(History::All);
    let mut client = Client::of(subscribe.open().expect("it opens"), None);
    let status = client.status().await;
    client.read_to(to).await;
    (status, client.messages()[1..].to_vec())
}

/// A client comes back with an id, is resumed, and reads up to an event. Returns what it received.
pub(super) async fn read_resumed(hub: &Hub, topics: &[&str], id: &str, to: &str) -> Vec<Message> {
    let mut client = Client::expect(hub, topics, Some(id), "resumed").await;
    client.read_to(to).await;
    client.messages()[1..].to_vec()
}

/// In the order of their positions. (A page of a log may have an older value than the next one.)
#[track_caller]
fn assert_in_order(messages: &[Message], context: &str) {
    let ids: Vec<_> = messages.iter().map(|it| position(it.last_event_id())).collect();
    assert!(ids.is_sorted(), "{context}: {messages:?}");
}

pub(super) const SETS: [&[&str]; 3] = [&["values"], &["values", "other"], &["val*", "silent"]];

pub async fn a_fresh_client_gets_the_newest_value_of_each_key<E: Engine>(log: E) {
    let hub = log.node(builder()).await;
    let (ids, known) = publish_values(&hub, 103).await;
    for topics in SETS {
        let (status, messages) = read_fresh(&hub, topics, ids.last().expect("some")).await;
        assert_eq!((&status["status"], status.get("complete")), (&"fresh".into(), None));
        assert_in_order(&messages, &format!("{topics:?}"));
        let mut values = Values::new();
        learn(&mut values, &messages);
        assert_eq!(Some(&values), known.last(), "{topics:?}");
    }
}

pub async fn a_client_resumes_to_the_newest_values_after_every_event<E: Engine>(log: E) {
    let hub = log.node(builder()).await;
    let (ids, known) = publish_values(&hub, 103).await;
    let last = ids.last().expect("some");
    for (n, id) in ids.iter().enumerate().take(103) {
        let topics = SETS[n % SETS.len()];
        let messages = read_resumed(&hub, topics, id, last).await;
        assert_in_order(&messages, &format!("{topics:?} after {n}"));
        let mut values = known[n].clone();
        learn(&mut values, &messages);
        assert_eq!(Some(&values), known.last(), "{topics:?} after {n}");
    }
}
