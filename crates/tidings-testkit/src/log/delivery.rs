//! From a publication to the connected clients.

use std::time::Duration;

use futures_util::future::join_all;
use tidings::{Comment, Event, Hub, error::PublishErrorKind};

use super::publisher::{in_order, publish_from_tasks};
use super::{Client, Engine, publish, publish_all};
use crate::checker::{Entry, check, position};
use crate::limit::within;

pub async fn an_event_is_acknowledged_with_its_id_and_seen_once<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut clients = [Client::connect(&hub, &["a"], None), Client::connect(&hub, &["a"], None)];
    for client in &mut clients {
        assert_eq!(client.status().await["status"], "fresh");
    }
    let one = publish(&hub, "a", "one").await;
    let two = publish(&hub, "a", "two").await;
    for client in &mut clients {
        let messages = client.read(2).await;
        let seen: Vec<_> = messages.iter().map(|m| (m.last_event_id(), m.data())).collect();
        assert_eq!(seen, [(&*one.id, "one"), (&*two.id, "two")]);
    }
}

pub async fn ids_rise_over_all_topics<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut positions = Vec::new();
    for n in 0..20 {
        let topic = ["a", "b", "c"][n % 3];
        positions.push(position(&publish(&hub, topic, "x").await.id));
    }
    assert!(positions.is_sorted_by(|one, next| one < next), "{positions:?}");
}

pub async fn events_are_in_the_order_of_the_calls<E: Engine>(log: E) {
    let hub = log.hub().await;
    let events = (0..200).map(|n| (["a", "b", "c"][n % 3], n.to_string()));
    let published = publish_all(&hub, events).await;
    let numbers = published.iter().map(|entry| entry.data.parse::<usize>().expect("a number"));
    assert!(numbers.is_sorted(), "{published:?}");
}

pub async fn a_thousand_concurrent_publishers_lose_nothing<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let publishers = (0..1_000).map(|n| {
        let hub = hub.clone();
        tokio::spawn(async move {
            let topic = ["a", "b"][n % 2];
            let first = publish(&hub, topic, &format!("first of {n}")).await;
            let second = publish(&hub, topic, &format!("second of {n}")).await;
            assert!(position(&first.id) < position(&second.id), "{first:?} {second:?}");
            [first, second]
        })
    });
    let published = within("all publishers", join_all(publishers)).await;
    let mut published: Vec<Entry> =
        published.into_iter().flat_map(|pair| pair.expect("a publisher does not panic")).collect();
    in_order(&mut published);
    client.read_to(&published[1_999].id).await;
    client.leave_complete(&published, &["a", "b"], 2_000);
}

pub async fn all_clients_see_the_same_order<E: Engine>(log: E) {
    const TOPICS: [&str; 3] = ["a", "b", "c"];
    let hub = log.hub().await;
    let sets = [&TOPICS[..], &["a"], &["c", "b"], &["b", "a"]];
    let clients = sets.map(|topics| (topics, Client::connect(&hub, topics, None)));
    let published = publish_from_tasks(&hub, &TOPICS, 100).await;
    for (topics, mut client) in clients {
        client.read(1 + 100 * topics.len()).await;
        client.leave_complete(&published, topics, 100 * topics.len());
    }
}

/// Events of every kind that can be published.
pub(super) fn kinds() -> Vec<Event> {
    let data = [
        "",
        " ",
        "\n",
        "\r",
        "\r\n",
        "\n\n\n",
        "a\nb\rc\r\nd",
        " two leading",
        "trailing\n",
        "\0",
        "nul \0 inside",
        "\u{2028}\u{2029}",
        "\u{feff}mark",
        "data: x\n\nid: 7\n\n",
        ":comment",
        "žluťoučký 🐎",
        "\u{1}\u{7f}\u{85}",
    ];
    let mut events: Vec<_> = data.map(Event::new).to_vec();
    events.push(Event::new("x".repeat(1_000_000)));
    events.push(Event::new("line\n".repeat(10_000)));
    let named = |name, data: &str| Event::named(name, data).expect("a good name");
    events.push(named("name", "data"));
    events.push(named("a name: with\0 all", ""));
    events.push(named("error", "x").with_retry(Duration::from_millis(1_500)));
    let comment = Comment::new("a comment: with all").expect("a good comment");
    events.push(Event::new("x").with_comment(comment.clone()));
    events.push(named("all", "of\nit").with_retry(Duration::ZERO).with_comment(comment));
    events
}

/// Publishes the events. Returns the bytes that a client should receive, and the last id.
pub(super) async fn publish_kinds(hub: &Hub, topic: &str, events: &[Event]) -> (Vec<u8>, String) {
    let mut expected = Vec::new();
    let mut last = String::new();
    for event in events {
        let publish = hub.publish(topic, event.clone());
        let published = within("an acknowledgement", publish).await.expect("an event");
        expected.extend_from_slice(&event.clone().with_id(published.id()).encode());
        last = published.id().to_string();
    }
    (expected, last)
}

/// Asserts that bytes end as expected. Both may be too large to print.
#[track_caller]
pub(super) fn assert_ends_with(raw: &[u8], expected: &[u8]) {
    let from = raw.len().checked_sub(expected.len()).expect("as many bytes");
    let differ = raw[from..].iter().zip(expected).position(|(one, other)| one != other);
    if let Some(at) = differ {
        let shown = |bytes: &[u8]| {
            let bytes = &bytes[at.saturating_sub(20)..bytes.len().min(at + 20)];
            String::from_utf8_lossy(bytes).into_owned()
        };
        let (actual, expected) = (shown(&raw[from..]), shown(expected));
        panic!("byte {at} differs: {actual:?}, not {expected:?}");
    }
}

pub async fn events_of_every_kind_survive<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let (expected, last) = publish_kinds(&hub, "a", &kinds()).await;
    client.read_to(&last).await;
    assert_ends_with(client.raw(), &expected);
}

pub async fn invalid_publications_are_refused_before_the_log<E: Engine>(log: E) {
    let hub = log.node(Hub::builder().max_event_bytes(1_000)).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let first = publish(&hub, "a", "first").await;
    let named = |name| Event::named(name, "x").expect("a good name");
    for (topic, event, kind) in [
        ("two words", Event::new("x"), PublishErrorKind::Topic),
        ("a", named("tidings:status"), PublishErrorKind::ReservedName),
        ("a", Event::reconnect_after(Duration::ZERO), PublishErrorKind::NotDispatched),
        ("a", Event::new("x".repeat(1_000)), PublishErrorKind::TooLarge),
    ] {
        let outcome = within("a refusal", hub.publish(topic, event)).await;
        assert_eq!(outcome.expect_err("a refusal").kind(), kind);
    }
    let second = publish(&hub, "a", "second").await;
    assert_eq!(client.read_ids(2).await, [first.id, second.id]);
}

pub async fn a_closed_hub_ends_its_streams_after_the_last_event<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let published = publish_all(&hub, (0..100).map(|n| ("a", n.to_string()))).await;
    hub.close();
    let outcome = within("a refusal", hub.publish("a", Event::new("late"))).await;
    assert_eq!(outcome.expect_err("it is closed").kind(), PublishErrorKind::Closed);
    client.read(100).await;
    assert!(client.next().await.is_none());
    assert_eq!(check(&published, &["a"], &[client.leave()]).expect("all as promised").events, 100);
}
