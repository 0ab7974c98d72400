use crate::log::{TopicLog, TopicState};
use crate::topic::Topic;

/// A topic, as it was when this was made: see [`Hub::topics`](crate::Hub::topics).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub topic: Topic,
    /// The open streams that are subscribed to it by its name.
    pub subscribers: usize,
    /// How many events it got since it exists here, ephemeral ones included. A topic without subscribers and retained
    /// events does not exist; if it comes back, it counts from 0.
    pub events: u64,
    /// How many events it has in memory: those that it retains, and those that are still there for connected clients.
    pub in_memory: usize,
    /// The memory that it takes, in bytes, as the hub's budget counts it.
    pub bytes: usize,
}

impl TopicInfo {
    /// `None` for a pattern.
    pub(crate) fn of(log: &TopicLog) -> Option<Self> {
        let topic = log.name.topic()?;
        let state: &TopicState = &log.lock();
        Some(Self {
            topic,
            subscribers: state.all_subscribers(),
            events: state.appended,
            in_memory: state.durable.len(),
            bytes: log.cost(state),
        })
    }
}
