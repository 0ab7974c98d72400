use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::topic_index::TopicIndex;
use super::{Feed, Readers};
use crate::filter::Filter;
use crate::hub::shared::Shared;
use crate::log::TopicLog;
use crate::log::gate::Gate;
use crate::sync::Mutex;

/// The feeds in use.
#[derive(Debug, Default)]
pub(crate) struct Feeds(Mutex<HashMap<FeedKey, Weak<Feed>>>);

/// What feeds differ in.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FeedKey {
    /// The ids of its topics.
    topics: Box<[u64]>,
    filter: Option<Filter>,
    readers: Readers,
    interval: u64,
}

impl FeedKey {
    fn new(topics: &[Arc<TopicLog>], what: (Option<Filter>, Readers, u64)) -> Self {
        let topics = topics.iter().map(|topic| topic.id).collect();
        let (filter, readers, interval) = what;
        Self { topics, filter, readers, interval }
    }
}

impl Feeds {
    /// Of more topics than this, few streams would have the same, and to find those would take long.
    const SHARED: usize = if cfg!(test) { 8 } else { 1024 };

    /// The feed of what passes of these topics, which are sorted, or of all, for streams that read their past from it.
    pub(crate) fn of_past(
        self: &Arc<Self>,
        topics: Vec<Arc<TopicLog>>,
        filter: Option<Filter>,
        readers: Readers,
    ) -> Arc<Feed> {
        if topics.len() > Self::SHARED {
            return Arc::new(Feed::new(topics, (filter, readers), None, None));
        }
        self.get(topics, (filter, readers, 0), || None)
    }

    /// The feed of these topics, which are sorted, for streams that are to be sent something at most once in an interval, in
    /// milliseconds.
    pub(crate) fn of(
        self: &Arc<Self>,
        topics: Vec<Arc<TopicLog>>,
        interval: u64,
        shared: &Shared,
    ) -> Arc<Feed> {
        let count = topics.len();
        let gate = || (interval > 0).then(|| Gate::new(interval, count, shared));
        self.get(topics, (None, Readers::Any, interval), gate)
    }

    fn get(
        self: &Arc<Self>,
        topics: Vec<Arc<TopicLog>>,
        (filter, readers, interval): (Option<Filter>, Readers, u64),
        gate: impl FnOnce() -> Option<Arc<Gate>>,
    ) -> Arc<Feed> {
        let key = FeedKey::new(&topics, (filter.clone(), readers, interval));
        let mut feeds = self.0.lock();
        if let Some(feed) = feeds.get(&key).and_then(Weak::upgrade) {
            return feed;
        }
        let siblings = Some(self.clone());
        let feed = Arc::new(Feed::new(topics, (filter, readers), siblings, gate()));
        feeds.insert(key, Arc::downgrade(&feed));
        feed
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

impl Feed {
    fn new(
        topics: Vec<Arc<TopicLog>>,
        (filter, readers): (Option<Filter>, Readers),
        siblings: Option<Arc<Feeds>>,
        gate: Option<Arc<Gate>>,
    ) -> Self {
        // With a filter or of newcomers, it is only read for its past, which needs no index.
        let may_be_live = siblings.is_some() && filter.is_none() && readers == Readers::Any;
        Self {
            index: may_be_live.then(|| TopicIndex::of(&topics)).flatten(),
            is_latest: topics.iter().any(|topic| topic.retention.is_latest_per_key()),
            topics: topics.into(),
            filter,
            cache: Mutex::default(),
            siblings,
            readers,
            gate,
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let interval = self.interval();
        if let Some(gate) = &self.gate {
            gate.close(self);
        }
        let Some(siblings) = &self.siblings else { return };
        let key = FeedKey::new(&self.topics, (self.filter.clone(), self.readers, interval));
        let mut feeds = siblings.0.lock();
        // Unless the same topics have a new feed already.
        if feeds.get(&key).is_some_and(|feed| feed.strong_count() == 0) {
            feeds.remove(&key);
        }
        if feeds.len() < feeds.capacity() / 8 {
            feeds.shrink_to_fit();
        }
    }
}
