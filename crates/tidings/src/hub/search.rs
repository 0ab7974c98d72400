use std::sync::Arc;

use super::journal::topics::{Past, STEP};
use super::shared::Shared;
use crate::filter::Filter;
use crate::log::TopicLog;
use crate::log::coverage::LowWatermark;
use crate::log::filtered::filter_of;
use crate::topic::{Topic, TopicPattern};

/// Looks for the past of topics and patterns, in steps: 64 patterns and a hundred thousand topics are millions of
/// comparisons. An index by the topics' names would not make them fewer, because `*` may stand anywhere.
///
/// Whoever begins it knows the hub's head: what was published up to it is in what is found.
pub(crate) struct Search {
    /// See [`by_prefix`].
    groups: Vec<Vec<TopicPattern>>,
    /// The group whose topics are being compared, and after which of them.
    group: usize,
    place: Place,
    found: Vec<Arc<TopicLog>>,
    /// Some were not found, but named.
    has_topics: bool,
    vanished: LowWatermark,
    filter: Option<Filter>,
}

#[derive(Debug)]
enum Place {
    Topics(Option<Arc<TopicLog>>),
    /// Last: a topic that was not found among the others because it has just vanished is here.
    Vanished(Option<Topic>),
}

impl Search {
    /// How much a step costs at most, in comparisons: some hundred microseconds.
    const STEP_COST: usize = 4 * 1024;

    /// What it costs to begin to read a topic, in comparisons.
    const AGAIN: usize = 4;

    /// `None` if the past is in the same logs as the present.
    pub(crate) fn of(logs: &[Arc<TopicLog>], shared: &Shared) -> Option<Self> {
        // A selective log does not deliver the topics of a pattern one by one.
        let is_selective = shared.replication.as_ref().is_some_and(|it| it.is_selective);
        let (patterns, topics): (Vec<_>, Vec<_>) =
            logs.iter().map(|log| log.whole().clone()).partition(|log| log.name.has_wildcard());
        (!is_selective && !patterns.is_empty()).then(|| Self {
            groups: by_prefix(patterns.iter().map(|log| log.name.clone()).collect()),
            group: 0,
            place: Place::Topics(None),
            has_topics: !topics.is_empty(),
            found: topics,
            vanished: LowWatermark::default(),
            filter: filter_of(logs).cloned(),
        })
    }

    /// How many bytes it may come to hold.
    pub(crate) fn most_memory(&self, shared: &Shared) -> usize {
        (self.found.len() + shared.journal.lock().topics.count()) * size_of::<Arc<TopicLog>>()
    }

    /// Makes a step, unless it is at its end. Returns what it has cost, in comparisons.
    pub(crate) fn step(&mut self, shared: &Shared) -> Option<usize> {
        let Some(patterns) = self.groups.get(self.group) else {
            let Place::Topics(_) = self.place else { return None };
            (self.group, self.place) = (0, Place::Vanished(None));
            return Some(0);
        };
        let prefix = patterns.first().map_or("", TopicPattern::prefix);
        let matches = |name: &str| patterns.iter().any(|pattern| pattern.matches_text(name));
        let most = STEP.min(Self::STEP_COST / patterns.len()).max(1);
        let before = self.found.len();
        let count = match &mut self.place {
            Place::Topics(after) => {
                let page = shared.journal.lock().topics.page(prefix, after.as_deref(), most);
                let found = page.iter().filter(|log| matches(log.name.as_str()));
                self.found.extend(found.cloned());
                *after = page.last().cloned();
                page.len()
            }
            Place::Vanished(after) => {
                let page =
                    shared.journal.lock().topics.page_of_vanished(prefix, after.as_ref(), most);
                let found = page.iter().filter(|(topic, _)| matches(topic.as_str()));
                self.vanished = found.fold(self.vanished, |lost, (_, low)| lost.max(*low));
                *after = page.last().map(|(topic, _)| topic.clone());
                page.len()
            }
        };
        // Where the next group begins, its first topic comes after nothing.
        self.group += usize::from(count == 0);
        // What is found is looked at again.
        let again = Self::AGAIN * (self.found.len() - before);
        Some(count * patterns.len() + again)
    }

    /// What was found.
    pub(crate) fn finish(self, shared: &Shared) -> Past<'static> {
        let mut logs = self.found;
        // The topics of patterns were found in order, each once.
        if self.has_topics {
            logs.sort_by(|a, b| a.name.cmp(&b.name));
            logs.dedup_by_key(|log| log.id);
        }
        let vanished = self.vanished.max(shared.journal.lock().topics.lost_by_forgotten());
        Past { logs: logs.into(), vanished, filter: self.filter }
    }
}

/// Patterns by the prefixes within which all that they match is: that of the first in each group. No prefix begins with
/// another.
pub(super) fn by_prefix(mut patterns: Vec<TopicPattern>) -> Vec<Vec<TopicPattern>> {
    patterns.sort_by(|a, b| a.prefix().cmp(b.prefix()));
    let mut groups: Vec<Vec<TopicPattern>> = Vec::new();
    for pattern in patterns {
        let group = groups.last_mut().filter(|group| {
            group.first().is_some_and(|first| pattern.prefix().starts_with(first.prefix()))
        });
        match group {
            Some(group) => group.push(pattern),
            None => groups.push(vec![pattern]),
        }
    }
    groups
}
