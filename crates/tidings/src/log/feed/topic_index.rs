use std::sync::Arc;

use crate::log::TopicLog;
use crate::log::tail::{Entry, Tail};

/// Finds the topics of a feed to which an event went.
#[derive(Debug)]
pub(super) struct TopicIndex {
    /// The ids of topics, sorted.
    ids: Box<[u64]>,
    /// The places of these topics in the feed.
    places: Box<[u32]>,
    /// The places of the patterns.
    patterns: Box<[u32]>,
}

impl TopicIndex {
    /// So many topics are looked at faster than an event is looked up.
    const FEW: usize = if cfg!(any(test, shuttle)) { 1 } else { 8 };

    pub(super) fn of(topics: &[Arc<TopicLog>]) -> Option<Box<Self>> {
        if topics.len() <= Self::FEW {
            return None;
        }
        let places = || (0..).zip(topics);
        let mut by_id: Vec<_> = places().map(|(place, topic)| (topic.whole().id, place)).collect();
        by_id.sort_unstable();
        let ids = by_id.iter().map(|(id, _)| *id).collect();
        let in_order = by_id.into_iter().map(|(_, place)| place).collect();
        let patterns = places().filter(|(_, topic)| topic.name.has_wildcard());
        let patterns = patterns.map(|(place, _)| place).collect();
        Some(Box::new(Self { ids, places: in_order, patterns }))
    }

    /// The places of the topics to which the events after `from` and up to `to` went, and perhaps of others. `None` if it
    /// is not known, or is no less work than to look at all topics.
    pub(super) fn changed(&self, from: u64, to: u64, tail: &Tail) -> Option<Vec<u32>> {
        if to.saturating_sub(from) > self.ids.len() as u64 {
            return None;
        }
        let mut changed = Vec::new();
        let mut is_any = false;
        let is_known = tail.for_each(from, to, |entry| match entry {
            Entry::Any => is_any = true,
            Entry::To { topic, patterns } => {
                let index = self.ids.binary_search(&topic).ok();
                changed.extend(index.and_then(|index| self.places.get(index)));
                if patterns {
                    changed.extend_from_slice(&self.patterns);
                }
            }
        });
        changed.sort_unstable();
        changed.dedup();
        (is_known && !is_any).then_some(changed)
    }
}
