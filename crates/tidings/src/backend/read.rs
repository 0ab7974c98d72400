use super::Epoch;
use super::record::Record;
use crate::topic::TopicPattern;

/// A interest to read events back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Read {
    /// Of these topics, and of the topics of these families: at least one, sorted, each once. A topic may
    /// belong to several.
    pub topics: Vec<TopicPattern>,
    /// Where to begin.
    pub start: Start,
    /// Where to end: no event behind this position.
    pub to: u64,
    /// A page ends with the first event that takes it to this many bytes of data, or sooner.
    pub max_bytes: usize,
}

impl Read {
    /// Whether events of the topic of this name are asked for.
    #[must_use]
    pub fn is_of(&self, topic: &str) -> bool {
        let by_name = self.topics.binary_search_by(|asked| asked.as_str().cmp(topic));
        by_name.is_ok() || self.families().any(|family| family.matches_text(topic))
    }

    /// Those of the topics that are families.
    pub fn families(&self) -> impl Iterator<Item = &TopicPattern> {
        self.topics.iter().filter(|asked| asked.has_wildcard())
    }
}

/// Where a [`Read`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// With the first event behind this position. If one that was there may be gone, the answer is
    /// [`LogErrorKind::Trimmed`](super::LogErrorKind::Trimmed).
    After(u64),
    /// With the newest events up to the end, at most `count` of all topics together and none that was
    /// published before `since`, in milliseconds since the Unix epoch. What is gone is not missed.
    Newest {
        /// At most this many.
        count: usize,
        /// None older than this.
        since: u64,
    },
}

/// Some of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The history that was read: taken in one step with the records, where the engine has a way to.
    pub epoch: Epoch,
    /// In the order of their positions.
    pub records: Vec<Record>,
    /// Behind this position begins what was read: for [`Start::After`] the position given there.
    pub from: u64,
    /// Up to this position everything was read. If it is not the end that was asked for, the next page
    /// begins behind it.
    pub to: u64,
}
