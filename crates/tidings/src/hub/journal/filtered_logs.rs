use std::sync::Arc;

use crate::event::tags::Tags;
use crate::event::{AttributeName, AttributeValue};
use crate::filter::Filter;
use crate::log::TopicLog;
use crate::sync::HashMap;

/// The filtered logs of a topic or pattern. An event finds those that it is for by its attributes: of a thousand filters
/// that each ask for another value of one attribute, it is compared with one.
#[derive(Debug, Default)]
pub(super) struct FilteredLogs {
    logs: HashMap<Filter, Arc<TopicLog>>,
    /// Those whose filters need an attribute to have one of some values, by these.
    by_value: HashMap<AttributeName, HashMap<AttributeValue, Vec<Arc<TopicLog>>>>,
    /// All others.
    others: Vec<Arc<TopicLog>>,
}

impl FilteredLogs {
    pub(super) fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<TopicLog>> {
        self.logs.values()
    }

    pub(super) fn get(&self, filter: &Filter) -> Option<&Arc<TopicLog>> {
        self.logs.get(filter)
    }

    pub(super) fn insert(&mut self, filter: &Filter, log: Arc<TopicLog>) {
        self.logs.insert(filter.clone(), log.clone());
        // Where it is in the company of the fewest.
        let company = |name: &AttributeName, values: &[AttributeValue]| -> usize {
            let lists = self.by_value.get(name);
            let lists = lists.into_iter().flat_map(|lists| values.iter().map(|it| lists.get(it)));
            lists.flatten().map(Vec::len).sum()
        };
        let Some((name, values)) = filter.needs().min_by_key(|(name, it)| company(name, it)) else {
            return self.others.push(log);
        };
        let lists = self.by_value.entry(name.clone()).or_default();
        for value in values {
            lists.entry(value.clone()).or_default().push(log.clone());
        }
    }

    pub(super) fn remove(&mut self, filter: &Filter) {
        let Some(log) = self.logs.remove(filter) else { return };
        let is_other = |it: &Arc<TopicLog>| it.id != log.id;
        self.others.retain(is_other);
        for (name, values) in filter.needs() {
            let Some(lists) = self.by_value.get_mut(name) else { continue };
            for value in values {
                if let Some(list) = lists.get_mut(value) {
                    list.retain(is_other);
                    if list.is_empty() {
                        lists.remove(value);
                    }
                }
            }
            if lists.is_empty() {
                self.by_value.remove(name);
            }
        }
    }

    /// Adds the logs that an event with these tags goes to.
    pub(super) fn add_matching(&self, tags: Option<&Tags>, logs: &mut Vec<Arc<TopicLog>>) {
        if tags.is_some_and(|tags| tags.is_last) {
            return logs.extend(self.logs.values().cloned());
        }
        let passes = |log: &&Arc<TopicLog>| log.filter().is_none_or(|filter| filter.passes(tags));
        logs.extend(self.others.iter().filter(passes).cloned());
        for (name, value) in tags.iter().flat_map(|tags| &tags.attributes) {
            let found = self.by_value.get(name).and_then(|lists| lists.get(value));
            logs.extend(found.into_iter().flatten().filter(passes).cloned());
        }
    }
}
