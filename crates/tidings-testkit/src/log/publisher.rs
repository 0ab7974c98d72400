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
/// acknowledged.
///
/// # Panics
///
/// When the log has not the order of the calls.
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
    let entries: Vec<_> = events
        .into_iter()
        .zip(published)
        .map(|((topic, data), published)| {
            entry(published.expect("an event is published").id().as_str(), topic, &data)
        })
        .collect();
    let in_order = |pair: &[Entry]| position(&pair[0]) < position(&pair[1]);
    assert!(entries.windows(2).all(in_order), "not in the order of the calls");
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
