use std::collections::HashMap;

use futures_util::future::join_all;
use tidings::{Event, Hub};

use crate::checker::{Entry, position};
use crate::limit::within;

/// Publishes an event, and returns it once it is acknowledged.
pub async fn publish(hub: &Hub, topic: &str, data: &str) -> Entry {
    let publish = hub.publish(topic, Event::new(data));
    let published = within("an acknowledgement", publish).await.expect("an event is published");
    entry(published.id().as_str(), topic, data)
}

/// Publishes events one after the other without waiting in between. Returns them in the log's order once all
/// are acknowledged.
///
/// # Panics
///
/// When that is not the order of the calls for each topic.
pub async fn publish_all(
    hub: &Hub,
    events: impl IntoIterator<Item = (&str, String)>,
) -> Vec<Entry> {
    let events = events.into_iter().map(|(topic, data)| (topic, Event::new(data)));
    publish_events(hub, events).await
}

/// The same for events that are more than data.
pub(super) async fn publish_events(
    hub: &Hub,
    events: impl IntoIterator<Item = (&str, Event)>,
) -> Vec<Entry> {
    let publishes =
        events.into_iter().map(|(topic, event)| {
            let data = event.data().unwrap_or_default().to_owned();
            let publish = hub.publish(topic, event);
            async move {
                entry(publish.await.expect("an event is published").id().as_str(), topic, &data)
            }
        });
    let publishes: Vec<_> = publishes.collect();
    let mut entries = within("all acknowledgements", join_all(publishes)).await;
    let mut newest = HashMap::new();
    for entry in &entries {
        let at = position(&entry.id);
        let before = newest.insert(entry.topic.clone(), at);
        assert!(before < Some(at), "not in the order of the calls: {entry:?}");
    }
    in_order(&mut entries);
    entries
}

/// Publishes `count` events to each topic, each topic from its own task. Returns them in the log's order.
pub(super) async fn publish_from_tasks(
    hub: &Hub,
    topics: &[&'static str],
    count: usize,
) -> Vec<Entry> {
    let publishers = topics.iter().map(|topic| {
        let (hub, topic) = (hub.clone(), *topic);
        tokio::spawn(async move {
            publish_all(&hub, (0..count).map(|n| (topic, format!("{topic} {n}")))).await
        })
    });
    let published = join_all(publishers).await.into_iter();
    let mut published: Vec<_> =
        published.flat_map(|entries| entries.expect("a publisher does not panic")).collect();
    in_order(&mut published);
    published
}

/// Sorts events by their positions in the log.
pub(super) fn in_order(entries: &mut [Entry]) {
    entries.sort_unstable_by_key(|entry| position(&entry.id));
}

fn entry(id: &str, topic: &str, data: &str) -> Entry {
    Entry { id: id.to_owned(), topic: topic.to_owned(), data: data.to_owned() }
}
