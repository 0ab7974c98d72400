//! The part that all servers of Tidings use: a hub with its defaults.

use tidings::{Event, History, Hub, Subscribe};

use super::query::{Query, timed};

/// The subscription of a request.
pub(super) fn subscribe(hub: &Hub, query: &Query) -> Subscribe {
    let history = if query.history { History::All } else { History::None };
    let topics = query.topics.iter().map(String::as_str);
    hub.subscribe(topics).history(history).at_most_every(query.interval)
}

/// The publication of a request.
pub(super) fn publish(hub: &Hub, query: &Query, body: &str) -> String {
    timed(|| {
        for topic in query.publications() {
            if let Err(error) = hub.publish(topic, Event::new(body)).wait() {
                eprintln!("cannot publish: {error}");
            }
        }
    })
}
