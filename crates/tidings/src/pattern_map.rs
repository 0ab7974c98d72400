use std::collections::{BTreeMap, HashMap};

use crate::topic::{Topic, TopicPattern};

/// A map from patterns to values, which finds the patterns that match a topic.
///
/// Patterns are indexed by their prefix: among ten thousand patterns such as `user:42:*`, a topic is compared with the
/// few that may match it.
///
/// ```
/// use tidings::backend::PatternMap;
/// use tidings::{Topic, TopicPattern};
///
/// let mut patterns = PatternMap::default();
/// patterns.insert(TopicPattern::new("user:42:*")?, "ada");
/// patterns.insert(TopicPattern::new("user:*:mail")?, "postmaster");
/// let topic = Topic::new("user:7:mail")?;
/// let found: Vec<_> = patterns.matching(&topic).map(|(_, who)| *who).collect();
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
    /// The value of a pattern.
    pub fn get(&self, pattern: &TopicPattern) -> Option<&T> {
        let same = self.by_prefix.get(pattern.prefix())?;
        same.iter().find(|(other, _)| other == pattern).map(|(_, value)| value)
    }

    /// The patterns that match a topic, in no order.
    pub fn matching<'a>(
        &'a self,
        topic: &'a Topic,
    ) -> impl Iterator<Item = (&'a TopicPattern, &'a T)> {
        // No prefix has a length that is over the topic's, or that ends within a character.
        let prefixes = self.lengths.keys().filter_map(|length| topic.as_str().get(..*length));
        let same = prefixes.filter_map(|prefix| self.by_prefix.get(prefix)).flatten();
        same.filter(|(pattern, _)| pattern.matches(topic)).map(|(pattern, value)| (pattern, value))
    }

    /// All patterns, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPattern, &T)> {
        self.by_prefix.values().flatten().map(|(pattern, value)| (pattern, value))
    }

    /// Whether the map is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    /// Inserts a pattern that the map does not have. A pattern without `*` matches one topic.
    pub fn insert(&mut self, pattern: TopicPattern, value: T) {
        let prefix = pattern.prefix();
        if !self.by_prefix.contains_key(prefix) {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        self.by_prefix.entry(prefix.into()).or_default().push((pattern, value));
    }

    /// Removes a pattern, if the map has it.
    pub fn remove(&mut self, pattern: &TopicPattern) {
        let prefix = pattern.prefix();
        let Some(same) = self.by_prefix.get_mut(prefix) else { return };
        same.retain(|(other, _)| other != pattern);
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

    fn pattern(name: &str) -> TopicPattern {
        TopicPattern::new(name).unwrap()
    }

    proptest! {
        #[test]
        fn a_topic_finds_all_patterns_that_match_it(
            patterns in prop::collection::btree_set("[abé.]{0,4}\\*[ab*]{0,2}", 0..30),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            name in "[abé.]{1,6}",
        ) {
            let mut all: Vec<_> = patterns.iter().map(|name| pattern(name)).collect();
            let mut index = PatternMap::default();
            all.iter().for_each(|pattern| index.insert(pattern.clone(), pattern.clone()));
            for at in removed {
                if !all.is_empty() {
                    let gone = all.swap_remove(at.index(all.len()));
                    index.remove(&gone);
                    prop_assert_eq!(index.get(&gone), None);
                }
            }
            prop_assert!(all.iter().all(|pattern| index.get(pattern) == Some(pattern)));
            prop_assert_eq!(index.iter().count(), all.len());
            let topic = Topic::new(name).unwrap();
            let mut found: Vec<_> = index.matching(&topic).map(|(pattern, _)| pattern.clone()).collect();
            found.sort();
            all.retain(|pattern| pattern.matches(&topic));
            all.sort();
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn removed_patterns_leave_nothing() {
        let mut patterns = PatternMap::default();
        let names: Vec<_> = (0..1_000).map(|n| pattern(&format!("{n}:*"))).collect();
        names.iter().for_each(|name| patterns.insert(name.clone(), ()));
        patterns.insert(pattern("7:*:x"), ());
        names.iter().for_each(|name| patterns.remove(name));
        assert!(patterns.iter().map(|(pattern, ())| pattern).eq([&pattern("7:*:x")]));
        patterns.remove(&pattern("7:*:x"));
        patterns.remove(&pattern("never:*"));
        assert!(patterns.is_empty() && patterns.lengths.is_empty());
        assert!(patterns.by_prefix.capacity() < 100);
    }
}
