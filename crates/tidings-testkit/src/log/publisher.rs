use std::collections::HashMap;

use futures_util::future::join_all;
use tidings::{Event, Hub};

use crate::checker::Entry;
use crate::limit::within;

/// Publishes an event, and notes it when it is acknowledged.
pub async fn publish(hub: &Hub, topic: &str, data: &str) -> Entry {
    let publish = hub.publish(topic, Event::new(data));
    let published = within("an acknowledgement", publish).await.expect("an event is published");
    entry(published.id().as_str(), topic, data)
}

/// Publishes events one after the other, without waiting in between, and notes them when all are
/// acknowledged, in the log's order.
///
/// # Panics
///
/// When that is not the order of the calls for each topic.
pub async fn publish_all(
    hub: &Hub,
    events: impl IntoIterator<Item = (&str, String)>,
) -> Vec<Entry> {
    let (events, publishes): (Vec<_>, Vec<_>) = events
        .into_iter()
        .map(|(topic, data)| {
            let publish = hub.publish(topic, Event::new(&*data));
            ((topic, data), publish)
        })
        .unzip();
    let published = within("all acknowledgements", join_all(publishes)).await;
    let mut entries: Vec<_> = events
        .into_iter()
        .zip(published)
        .map(|((topic, data), published)| {
            entry(published.expect("an event is published").id().as_str(), topic, &data)
        })
        .collect();
    let mut newest = HashMap::new();
    for entry in &entries {
        let before = newest.insert(entry.topic.clone(), position(entry));
        assert!(before < Some(position(entry)), "not in the order of the calls: {entry:?}");
    }
    entries.sort_by_key(position);
    entries
}

/// An event that was published.
pub fn entry(id: &str, topic: &str, data: &str) -> Entry {
    Entry { id: id.to_owned(), topic: topic.to_owned(), data: data.to_owned() }
}

/// Its place in the log's order.
pub(super) fn position(entry: &Entry) -> u64 {
    crate::checker::position(&entry.id)
}
