//! The position of a hub, and history as data: for pages that show the state and then open a stream.

use std::time::Duration;

use futures_util::future::join;
use tidings::{EventHistory, History, Hub, HubBuilder, Retention};

use super::{Client, Engine, publish};
use crate::checker::{Entry, is_of, position};
use crate::limit::within;

async fn read(hub: &Hub, topics: &[&str], history: History) -> EventHistory {
    within("a history", hub.history_matching(topics, history)).await.expect("the log answers")
}

fn ids(history: &EventHistory) -> Vec<&str> {
    history.events.iter().map(|event| event.id().expect("an event has an id")).collect()
}

pub async fn a_history_is_as_long_as_it_is_asked_for<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut published = Vec::new();
    for n in 0..12 {
        published.push(publish(&hub, ["a", "b", "c"][n % 3], &n.to_string()).await);
    }
    for topics in [&["a", "b"][..], &["b"], &["*"], &["a*", "b"], &["silent"]] {
        let of = |entry: &&Entry| is_of(topics, &entry.topic);
        let all: Vec<_> = published.iter().filter(of).map(|entry| &*entry.id).collect();
        for (history, count) in [
            (History::None, 0),
            (History::Last(1), 1),
            (History::Last(3), 3),
            (History::Within(Duration::from_secs(60)), 12),
            (History::All, 12),
        ] {
            let read = read(&hub, topics, history).await;
            let expected = &all[all.len().saturating_sub(count)..];
            assert_eq!(ids(&read), expected, "{topics:?} {history:?}");
            Client::expect(&hub, topics, Some(read.position.as_str()), "resumed").await;
        }
    }
}

pub async fn a_client_goes_on_from_the_position_of_its_hub<E: Engine>(log: E) {
    let hub = log.hub().await;
    for n in 0..20 {
        let before = publish(&hub, "a", "before").await;
        let now = hub.position();
        assert!(position(now.as_str()) >= position(&before.id), "{now} {before:?}");
        let after = publish(&hub, "a", &n.to_string()).await;
        let mut client = Client::expect(&hub, &["a", "b"], Some(now.as_str()), "resumed").await;
        assert_eq!(client.read_ids(1).await, [after.id]);
    }
}

pub async fn a_history_and_its_stream_have_every_event_once<E: Engine>(log: E) {
    let hub = log.node(keeping_all()).await;
    meet(&hub, &hub).await;
}

pub(super) fn keeping_all() -> HubBuilder {
    Hub::builder().retention(Retention::default().events(10_000))
}

/// Reads history on one hub, and goes on from it, while events are published on another, or on the same.
pub(super) async fn meet(publisher: &Hub, reader: &Hub) {
    const SETS: [&[&str]; 4] = [&["a", "b"], &["a"], &["a*"], &["a*", "b"]];
    let (mut published, mut pages) = (Vec::new(), Vec::new());
    for round in 0..40 {
        let publishing = async {
            for n in 0..8 {
                published
                    .push(publish(publisher, ["a", "b"][n % 2], &format!("{round} {n}")).await);
                tokio::task::yield_now().await;
            }
        };
        let reading = async {
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            let topics = SETS[round % SETS.len()];
            let history = read(reader, topics, History::All).await;
            let client = Client::connect(reader, topics, Some(history.position.as_str()));
            (topics, history, client)
        };
        let ((), page) = join(publishing, reading).await;
        pages.push(page);
    }
    for (topics, history, mut client) in pages {
        let of = |entry: &&Entry| is_of(topics, &entry.topic);
        let expected: Vec<_> = published.iter().filter(of).map(|entry| &*entry.id).collect();
        assert_eq!(client.status().await["status"], "resumed");
        let read = ids(&history);
        let rest = client.read_ids(expected.len() - read.len()).await;
        assert_eq!([read, rest].concat(), expected, "{topics:?}");
    }
}
