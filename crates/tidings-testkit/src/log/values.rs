//! Topics that keep the newest event of each key.

use std::collections::BTreeMap;

use tidings::{Event, Filter, History, Hub, HubBuilder, Message, Retention, STATUS_EVENT};

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

fn admin() -> Filter {
    Filter::equal("role", "admin").expect("a filter")
}

/// Updates of ten keys, of which a third are for admins. Returns the id of the last one, and what of them the newest values
/// are.
pub(super) async fn publish_for_roles(hub: &Hub, topic: &str) -> (String, Vec<String>) {
    let data = |n: usize| format!("k{} {n}", n % 10);
    let mut last = String::new();
    for n in 0..=60 {
        let event = Event::keyed(format!("k{}", n % 10), data(n)).expect("a key");
        let role = if n % 3 == 0 { "admin" } else { "guest" };
        let publish = hub.publish(topic, event.with_attribute("role", role).expect("a name"));
        let published = within("an acknowledgement", publish).await.expect("is published");
        last = published.id().to_string();
    }
    (last, [51, 54, 57, 60].map(data).into())
}

/// What a client for admins is sent after a status, up to an event.
pub(super) async fn read_for_admins(
    hub: &Hub,
    topics: &[&str],
    id: Option<&str>,
    last: &str,
) -> Vec<String> {
    let subscribe = hub.subscribe_matching(topics.iter().copied()).filter(admin());
    let resume =
        id.map_or(tidings::Resume::new(), |id| tidings::Resume::new().with_last_event_id(id));
    let subscribe = subscribe.resume(resume).history(History::All);
    let mut client = Client::of(subscribe.open().expect("it opens"), id);
    let expected = if id.is_some() { "resumed" } else { "fresh" };
    assert_eq!(client.status().await["status"], expected, "{topics:?}");
    client.read_to(last).await;
    client.messages()[1..].iter().map(|message| message.data().to_owned()).collect()
}

pub async fn a_filtered_client_gets_the_newest_values_that_match<E: Engine>(log: E) {
    let hub = log.node(builder()).await;
    let begin = hub.position().to_string();
    let mut live = Client::connect_filtered(&hub, &["values"], Some(admin()), None);
    assert_eq!(live.status().await["status"], "fresh");
    let (last, newest) = publish_for_roles(&hub, "values").await;
    // One that is in time may have more of them.
    live.read_to(&last).await;
    assert!(live.messages()[1..].iter().all(|message| {
        let (_, number) = message.data().split_once(' ').expect("a key and a number");
        number.parse::<usize>().is_ok_and(|number| number % 3 == 0)
    }));
    for topics in SETS {
        assert_eq!(read_for_admins(&hub, topics, None, &last).await, newest, "{topics:?}");
        assert_eq!(read_for_admins(&hub, topics, Some(&begin), &last).await, newest, "{topics:?}");
        let history = hub.history_matching(topics, History::All).filter(admin());
        let history = within("a history", history).await.expect("the log answers");
        assert!(history.events.iter().map(Message::data).eq(&newest), "{topics:?}");
    }
}

pub async fn a_new_topic_of_a_filtered_stream_has_its_filter<E: Engine>(log: E) {
    let hub = log.node(builder()).await;
    let (_, newest) = publish_for_roles(&hub, "values").await;
    let mut client = Client::connect_filtered(&hub, &["other"], Some(admin()), None);
    assert_eq!(client.status().await["status"], "fresh");
    let handle = hub.client(client.id()).history(History::All);
    assert!(handle.subscribe("values").expect("a good name"));
    for role in ["guest", "admin"] {
        let event = Event::new(role).with_attribute("role", role).expect("a name");
        let publish = hub.publish("values", event);
        within("an acknowledgement", publish).await.expect("is published");
    }
    let messages = client.read(newest.len() + 1).await;
    let data: Vec<_> = messages.iter().map(Message::data).collect();
    assert_eq!(data[..newest.len()], newest);
    assert_eq!(data[newest.len()], "admin");
}
