use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::log::TopicLog;
use crate::topic::{Topic, TopicPattern};

/// The families of topics that somebody subscribes to.
///
/// Looked up at each event, so by what their names begin with: with ten thousand families such as
/// `user:42:*`, an event is compared with those few that it may belong to.
#[derive(Debug, Default)]
pub(super) struct Families {
    by_prefix: HashMap<Box<str>, Vec<Arc<TopicLog>>>,
    /// How many different prefixes there are of each length in bytes.
    lengths: BTreeMap<usize, usize>,
}

impl Families {
    pub(super) fn get(&self, family: &TopicPattern) -> Option<Arc<TopicLog>> {
        let same = self.by_prefix.get(family.prefix())?;
        same.iter().find(|log| log.name == *family).cloned()
    }

    /// Those that a topic belongs to.
    pub(super) fn of(&self, topic: &Topic) -> Vec<Arc<TopicLog>> {
        let mut families = Vec::new();
        for length in self.lengths.keys() {
            // Beyond its end, or in the middle of a character: none of these.
            let Some(prefix) = topic.as_str().get(..*length) else { continue };
            let same = self.by_prefix.get(prefix).into_iter().flatten();
            families.extend(same.filter(|log| log.name.matches(topic)).cloned());
        }
        families
    }

    pub(super) fn insert(&mut self, log: Arc<TopicLog>) {
        let prefix = log.name.prefix();
        if !self.by_prefix.contains_key(prefix) {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        self.by_prefix.entry(prefix.into()).or_default().push(log);
    }

    pub(super) fn remove(&mut self, family: &TopicPattern) {
        let prefix = family.prefix();
        let Some(same) = self.by_prefix.get_mut(prefix) else { return };
        same.retain(|log| log.name != *family);
        if !same.is_empty() {
            return;
        }
        self.by_prefix.remove(prefix);
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
        if self.by_prefix.len() < self.by_prefix.capacity() / 8 {
            self.by_prefix.shrink_to_fit();
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<TopicLog>> {
        self.by_prefix.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Retention;
    use crate::log::Floor;

    fn family(id: u64, name: &str) -> Arc<TopicLog> {
        let name = TopicPattern::new(name).unwrap();
        Arc::new(TopicLog::new(id, name, Retention::none(), Floor::default()))
    }

    fn of(families: &Families, topic: &str) -> Vec<u64> {
        let mut ids: Vec<_> =
            families.of(&Topic::new(topic).unwrap()).iter().map(|log| log.id).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn a_topic_finds_all_families_that_it_belongs_to() {
        let mut families = Families::default();
        for (id, name) in [(1, "*"), (2, "a:*"), (3, "a:*:x"), (4, "b:*"), (5, "*:x"), (6, "é*")] {
            families.insert(family(id, name));
        }
        assert_eq!(of(&families, "a:1:x"), [1, 2, 3, 5]);
        assert_eq!(of(&families, "a:1"), [1, 2]);
        assert_eq!(of(&families, "b"), [1]);
        // Two bytes, and another prefix of that length would end inside of it.
        assert_eq!(of(&families, "é"), [1, 6]);
        assert_eq!(of(&families, "xé"), [1]);
        assert_eq!(families.get(&TopicPattern::new("a:*:x").unwrap()).unwrap().id, 3);
        assert!(families.get(&TopicPattern::new("a:**").unwrap()).is_none());
    }

    #[test]
    fn what_was_removed_leaves_nothing() {
        let mut families = Families::default();
        let names: Vec<_> = (0..1_000).map(|n| family(n, &format!("{n}:*"))).collect();
        names.iter().for_each(|log| families.insert(log.clone()));
        families.insert(family(1_000, "7:*:x"));
        names.iter().for_each(|log| families.remove(&log.name));
        assert_eq!(of(&families, "7:1:x"), [1_000]);
        assert_eq!(families.all().count(), 1);
        families.remove(&TopicPattern::new("7:*:x").unwrap());
        families.remove(&TopicPattern::new("never:*").unwrap());
        assert_eq!((families.by_prefix.len(), families.lengths.len()), (0, 0));
        assert!(families.by_prefix.capacity() < 100);
    }
}
