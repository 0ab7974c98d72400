//! The end of a topic.

use futures_util::future::join_all;
use tidings::error::{PublishError, PublishErrorKind, SubscribeErrorKind};
use tidings::{END_EVENT, Event, History, Hub, Resume};

use super::{Client, Engine, publish, publish_all};
use crate::checker::position;
use crate::limit::within;

/// Publishes the last event of a topic, and returns its id.
pub(super) async fn finish(hub: &Hub, topic: &str) -> String {
    let finish = hub.finish(topic, Event::new("last"));
    within("an acknowledgement", finish).await.expect("a topic is finished").id().to_string()
}

/// Why an event is not published.
pub(super) async fn refused(hub: &Hub, topic: &str) -> PublishErrorKind {
    let publish = hub.publish(topic, Event::new("late"));
    within("an answer", publish).await.expect_err("nothing follows a last event").kind()
}

/// Reads the end of a stream, and nothing before it.
pub(super) async fn ends(client: &mut Client) {
    let end = client.next().await.expect("an event that says why the stream ends");
    assert_eq!((end.event(), end.data()), (END_EVENT, r#"{"reason":"finished"}"#));
    assert!(client.next().await.is_none(), "nothing follows the end");
}

/// A client that comes back with an id; `None` if it is told that there is nothing to come.
fn come_back(hub: &Hub, topics: &[&str], id: &str) -> Option<Client> {
    let subscribe = hub.subscribe_matching(topics.iter().copied()).retry(None).heartbeat(None);
    match subscribe.resume(Resume::new().with_last_event_id(id)).open() {
        Ok(subscription) => Some(Client::of(subscription, Some(id))),
        Err(error) => {
            assert_eq!(error.kind(), SubscribeErrorKind::Finished, "{error}");
            None
        }
    }
}

fn is_over(hub: &Hub, topics: &[&str], id: &str) -> bool {
    come_back(hub, topics, id).is_none()
}

/// Comes back until there is nothing to come, as an EventSource does: a node that has to ask its log ends the stream, and
/// knows it then. Returns the ids of events.
pub(super) async fn read_to_the_end(hub: &Hub, topics: &[&str], mut id: String) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let Some(mut client) = come_back(hub, topics, &id) else { return ids };
        assert_eq!(client.status().await["status"], "resumed");
        let mut messages = vec![client.next().await.expect("an event or the end")];
        while messages.last().is_some_and(|message| message.event() != END_EVENT) {
            messages.push(client.next().await.expect("an event or the end"));
        }
        assert!(client.next().await.is_none(), "nothing follows the end");
        let events = messages.iter().filter(|message| message.event() != END_EVENT);
        ids.extend(events.map(|message| message.last_event_id().to_owned()));
        id = client.last_event_id().to_owned();
    }
    assert!(is_over(hub, topics, &id), "it is not over for a client with {id}");
    ids
}

/// What a fresh client is sent up to the end.
pub(super) async fn fresh(hub: &Hub, topic: &str, history: History) -> Vec<String> {
    let subscribe = hub.subscribe([topic]).history(history).retry(None).heartbeat(None);
    let mut client = Client::of(subscribe.open().expect("the subscription opens"), None);
    assert_eq!(client.status().await["status"], "fresh");
    let mut data = Vec::new();
    loop {
        let message = client.next().await.expect("an event or the end");
        if message.event() == END_EVENT {
            assert!(client.next().await.is_none(), "nothing follows the end");
            return data;
        }
        data.push(message.data().to_owned());
    }
}

pub async fn a_stream_ends_after_the_last_events_of_all_its_topics<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut one = Client::expect(&hub, &["a"], None, "fresh").await;
    let mut both = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let mut pattern = Client::expect(&hub, &["a", "*"], None, "fresh").await;
    let first = publish(&hub, "a", "first").await;
    let last = finish(&hub, "a").await;
    assert_eq!(one.read_ids(2).await, [&*first.id, &*last]);
    ends(&mut one).await;
    let more = publish(&hub, "b", "more").await;
    let end = finish(&hub, "b").await;
    assert_eq!(both.read_ids(4).await, [&*first.id, &last, &more.id, &end]);
    ends(&mut both).await;
    let other = publish(&hub, "c", "other").await;
    assert_eq!(pattern.read_ids(5).await[3..], [&*end, &*other.id], "a pattern is never finished");
    assert_eq!(hub.metrics().ended_finished, 2);
}

pub async fn a_client_that_comes_back_gets_the_rest_and_the_end_once<E: Engine>(log: E) {
    let hub = log.hub().await;
    let events = (0..9).map(|n| (["a", "other", "b"][n % 3], n.to_string()));
    let published = publish_all(&hub, events).await;
    let last = finish(&hub, "a").await;
    let end = finish(&hub, "b").await;
    let later = publish(&hub, "other", "later").await;
    for (at, entry) in published.iter().enumerate() {
        let rest = published[at + 1..].iter().filter(|entry| entry.topic != "other");
        let mut expected: Vec<_> = rest.map(|entry| entry.id.clone()).collect();
        expected.extend([last.clone(), end.clone()]);
        let mut client = Client::expect(&hub, &["a", "b"], Some(&entry.id), "resumed").await;
        assert_eq!(client.read_ids(expected.len()).await, expected, "after {}", entry.id);
        ends(&mut client).await;
        assert!(is_over(&hub, &["a", "b"], client.last_event_id()));
    }
    for id in [&*end, &later.id, hub.position().as_str()] {
        assert!(is_over(&hub, &["a", "b"], id), "after {id}");
        assert!(!is_over(&hub, &["a", "b", "other"], id) && !is_over(&hub, &["a", "b*"], id));
    }
    // Nobody was sent these.
    let (epoch, position) = later.id.rsplit_once('-').expect("an id has a position");
    let position: u64 = position.parse().expect("a position is a number");
    for id in [format!("{epoch}-{}", position + 1_000), format!("other-{position}")] {
        assert!(!is_over(&hub, &["a", "b"], &id), "after {id}");
    }
    assert!(is_over(&hub, &["a"], &last) && !is_over(&hub, &["b"], &last));
    assert_eq!(hub.clients().count(), 0);
}

pub async fn a_fresh_client_gets_its_history_or_the_last_event_and_the_end<E: Engine>(log: E) {
    let hub = log.hub().await;
    publish_all(&hub, (0..3).map(|n| ("a", n.to_string()))).await;
    finish(&hub, "a").await;
    publish(&hub, "other", "later").await;
    assert_eq!(fresh(&hub, "a", History::None).await, ["last"]);
    assert_eq!(fresh(&hub, "a", History::Last(2)).await, ["2", "last"]);
    assert_eq!(fresh(&hub, "a", History::All).await, ["0", "1", "2", "last"]);
    let mut open = Client::expect(&hub, &["a", "other"], None, "fresh").await;
    let live = publish(&hub, "other", "live").await;
    assert_eq!(open.read_ids(1).await, [live.id], "another topic goes on");
}

pub async fn nothing_follows_a_last_event<E: Engine>(log: E) {
    let hub = log.hub().await;
    let finish = || hub.finish_once("key", "a", Event::new("last"));
    let first = within("an acknowledgement", finish()).await.expect("a topic is finished");
    assert_eq!(refused(&hub, "a").await, PublishErrorKind::Finished);
    let again = hub.finish("a", Event::new("again"));
    let again = within("an answer", again).await.expect_err("it is finished");
    assert_eq!(again.kind(), PublishErrorKind::Finished);
    let retried = within("an acknowledgement", finish()).await.expect("the same outcome");
    assert_eq!((retried.id(), retried.is_duplicate()), (first.id(), true));
    publish(&hub, "b", "another topic").await;
    assert_eq!(fresh(&hub, "a", History::All).await, ["last"]);
}

/// Whether an event may be in the log, and may be seen.
fn is_in_doubt(error: &PublishError) -> bool {
    error.log_error().is_some_and(|error| !error.kind().is_clean())
}

/// Publishes to a topic from several tasks while one of them finishes it: what was published is before the last event, and
/// all others are told that it is finished, or that one event is in doubt and the next one that it is finished.
pub(super) async fn race(nodes: &[Hub], round: usize) {
    let topic = format!("race:{round}");
    let mut live = Vec::new();
    for node in nodes {
        live.push(Client::expect(node, &[&topic], None, "fresh").await);
    }
    let first = publish(&nodes[0], &topic, "first").await;
    for client in &mut live {
        client.read_to(&first.id).await;
    }
    let publishers = (0..4).map(|number| {
        let (hub, topic) = (nodes[number % nodes.len()].clone(), topic.clone());
        tokio::spawn(async move {
            let (mut ids, mut doubts) = (Vec::new(), false);
            for n in 0..40 {
                let publish = hub.publish(&*topic, Event::new(format!("{n} of {number}")));
                match within("an answer", publish).await {
                    Ok(published) => ids.push(published.id().to_string()),
                    Err(error) if is_in_doubt(&error) && !std::mem::replace(&mut doubts, true) => {}
                    Err(error) => {
                        assert_eq!(error.kind(), PublishErrorKind::Finished, "{error}");
                        break;
                    }
                }
            }
            ids
        })
    });
    let publishers: Vec<_> = publishers.collect();
    for _ in 0..round % 20 {
        tokio::task::yield_now().await;
    }
    let last = finish(&nodes[round % nodes.len()], &topic).await;
    let outcomes = join_all(publishers).await.into_iter();
    let mut ids: Vec<_> =
        outcomes.flat_map(|ids| ids.expect("a publisher does not panic")).collect();
    ids.sort_unstable_by_key(|id| position(id));
    ids.push(last);
    assert!(ids.is_sorted_by_key(|id| position(id)), "published after the last event: {ids:?}");
    for client in &mut live {
        assert_eq!(client.read_ids(ids.len()).await, ids, "round {round}");
        ends(client).await;
    }
    for node in nodes {
        assert_eq!(read_to_the_end(node, &[&topic], first.id.clone()).await, ids);
    }
}

pub async fn a_publication_is_before_the_end_or_is_told_that_it_is_not<E: Engine>(log: E) {
    let hub = log.hub().await;
    for round in 0..40 {
        race(std::slice::from_ref(&hub), round).await;
    }
}
