use std::collections::{BTreeMap, HashMap};

use crate::topic::{Topic, TopicPattern};

/// Families of topics, with something for each, found by the topics that belong to them.
///
/// By what their names begin with: with ten thousand families such as `user:42:*`, a topic is compared
/// with those few that it may belong to.
///
/// ```
/// use tidings::backend::PatternMap;
/// use tidings::{Topic, TopicPattern};
///
/// let mut families = PatternMap::default();
/// families.insert(TopicPattern::new("user:42:*")?, "ada");
/// families.insert(TopicPattern::new("user:*:mail")?, "postmaster");
/// let topic = Topic::new("user:7:mail")?;
/// let found: Vec<_> = families.matching(&topic).map(|(_, who)| *who).collect();
/// assert_eq!(found, ["postmaster"]);
/// # Ok::<(), tidings::FieldError>(())
/// ```
#[derive(Debug)]
pub struct PatternMap<T> {
    by_prefix: HashMap<Box<str>, Vec<(TopicPattern, T)>>,
    /// How many different prefixes there are of each length in bytes.
    lengths: BTreeMap<usize, usize>,
}

impl<T> PatternMap<T> {
    /// What is kept for a family.
    pub fn get(&self, family: &TopicPattern) -> Option<&T> {
        let same = self.by_prefix.get(family.prefix())?;
        same.iter().find(|(other, _)| other == family).map(|(_, value)| value)
    }

    /// The families that a topic belongs to, in no order.
    pub fn matching<'a>(
        &'a self,
        topic: &'a Topic,
    ) -> impl Iterator<Item = (&'a TopicPattern, &'a T)> {
        // A length beyond its end, or in the middle of a character: none of these.
        let prefixes = self.lengths.keys().filter_map(|length| topic.as_str().get(..*length));
        let same = prefixes.filter_map(|prefix| self.by_prefix.get(prefix)).flatten();
        same.filter(|(family, _)| family.matches(topic)).map(|(family, value)| (family, value))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPattern, &T)> {
        self.by_prefix.values().flatten().map(|(family, value)| (family, value))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    /// Takes in a family that is not there. A pattern without `*` is a family of one topic.
    pub fn insert(&mut self, family: TopicPattern, value: T) {
        let prefix = family.prefix();
        if !self.by_prefix.contains_key(prefix) {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        self.by_prefix.entry(prefix.into()).or_default().push((family, value));
    }

    /// Takes out a family, if it is there.
    pub fn remove(&mut self, family: &TopicPattern) {
        let prefix = family.prefix();
        let Some(same) = self.by_prefix.get_mut(prefix) else { return };
        same.retain(|(other, _)| other != family);
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
}

impl<T> Default for PatternMap<T> {
    fn default() -> Self {
        Self { by_prefix: HashMap::new(), lengths: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn family(name: &str) -> TopicPattern {
        TopicPattern::new(name).unwrap()
    }

    proptest! {
        #[test]
        fn a_topic_finds_all_families_that_it_belongs_to(
            families in prop::collection::btree_set("[abé.]{0,4}\\*[ab*]{0,2}", 0..30),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            name in "[abé.]{1,6}",
        ) {
            let mut all: Vec<_> = families.iter().map(|name| family(name)).collect();
            let mut index = PatternMap::default();
            all.iter().for_each(|family| index.insert(family.clone(), family.clone()));
            for at in removed {
                if !all.is_empty() {
                    let gone = all.swap_remove(at.index(all.len()));
                    index.remove(&gone);
                    prop_assert_eq!(index.get(&gone), None);
                }
            }
            prop_assert!(all.iter().all(|family| index.get(family) == Some(family)));
            prop_assert_eq!(index.iter().count(), all.len());
            let topic = Topic::new(name).unwrap();
            let mut found: Vec<_> = index.matching(&topic).map(|(family, _)| family.clone()).collect();
            found.sort();
            all.retain(|family| family.matches(&topic));
            all.sort();
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn what_was_removed_leaves_nothing() {
        let mut families = PatternMap::default();
        let names: Vec<_> = (0..1_000).map(|n| family(&format!("{n}:*"))).collect();
        names.iter().for_each(|name| families.insert(name.clone(), ()));
        families.insert(family("7:*:x"), ());
        names.iter().for_each(|name| families.remove(name));
        assert!(families.iter().map(|(family, ())| family).eq([&family("7:*:x")]));
        families.remove(&family("7:*:x"));
        families.remove(&family("never:*"));
        assert!(families.is_empty() && families.lengths.is_empty());
        assert!(families.by_prefix.capacity() < 100);
    }
}
