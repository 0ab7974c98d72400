use super::Epoch;
use super::record::Record;
use crate::topic::TopicPattern;

/// A request to read events back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Read {
    /// The topics and patterns to read: at least one, sorted, each once. A topic may match several.
    pub topics: Vec<TopicPattern>,
    /// Where to begin.
    pub start: Start,
    /// Where to end: no event after this position.
    pub to: u64,
    /// A page ends with the event that takes it to this many bytes of data, or earlier.
    pub max_bytes: usize,
}

impl Read {
    /// A question about topics and patterns, which are sorted.
    pub fn new(topics: Vec<TopicPattern>, start: Start, to: u64, max_bytes: usize) -> Self {
        Self { topics, start, to, max_bytes }
    }
}

impl Read {
    /// Whether the request is for events of the topic with this name.
    #[must_use]
    pub fn is_of(&self, topic: &str) -> bool {
        let by_name = self.topics.binary_search_by(|asked| asked.as_str().cmp(topic));
        by_name.is_ok() || self.patterns().any(|pattern| pattern.matches_text(topic))
    }

    /// The topics that have a wildcard.
    pub fn patterns(&self) -> impl Iterator<Item = &TopicPattern> {
        self.topics.iter().filter(|asked| asked.has_wildcard())
    }
}

/// Where a [`Read`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// With the first event after this position. If the log may have lost an event after it, the answer is
    /// [`LogErrorKind::Trimmed`](super::LogErrorKind::Trimmed).
    After(u64),
    /// With the newest events: at most `count` of all topics together, and none that was published before `since`, in
    /// milliseconds since the Unix epoch. Events that are gone are no error.
    Newest {
        /// At most this many.
        count: usize,
        /// None older than this.
        since: u64,
    },
}

/// Some of the events that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The history that was read: taken in one step with the records, if the engine can do that.
    pub epoch: Epoch,
    /// In the order of their positions.
    pub records: Vec<Record>,
    /// The page begins after this position: for [`Start::After`], the position given there.
    pub from: u64,
    /// The page has everything up to this position. If that is not the end that was asked for, the next page begins
    /// after it.
    pub to: u64,
    /// For [`Start::Newest`]: why the page does not begin earlier.
    pub reach: Reach,
}

/// How far back the [newest](Start::Newest) events of some topics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reach {
    /// To the first of them that the log still has; events before it may be gone. A log that is not sure says this.
    #[default]
    Retained,
    /// To the `count` that was asked for.
    Count,
    /// To the time that was asked for: everything that was published since then is there.
    Time,
    /// To the very first: none of these topics has lost any.
    All,
}

impl Page {
    /// A page that has everything after `from`, up to `to`.
    #[must_use]
    pub fn new(epoch: Epoch, records: Vec<Record>, from: u64, to: u64) -> Self {
        Self { epoch, records, from, to, reach: Reach::default() }
    }

    /// Says how far back the newest events go.
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }
}
