use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::Arc;

use crate::log::TopicLog;
use crate::number_map::NumberMap;

/// The logs of topics, found by their names: a single one by its hash, and those with a prefix in order.
///
/// The hashes are kept, so that a table of a hundred thousand grows within a millisecond, without a look at the names.
#[derive(Debug, Default)]
pub(super) struct TopicMap<S = RandomState> {
    hasher: S,
    /// By their hash. A log whose place is taken has the next one that is free.
    by_hash: NumberMap<u64, Arc<TopicLog>>,
    by_name: BTreeSet<ByName>,
}

#[derive(Debug)]
struct ByName(Arc<TopicLog>);

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        self.0.name.as_str()
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.as_str().cmp(other.0.name.as_str())
    }
}

impl<S: BuildHasher> TopicMap<S> {
    pub(super) fn get(&self, name: &str) -> Option<&Arc<TopicLog>> {
        self.place(name).ok()
    }

    /// Inserts the log of a topic that has none.
    pub(super) fn insert(&mut self, log: Arc<TopicLog>) {
        if let Err(place) = self.place(log.name.as_str()) {
            self.by_hash.insert(place, log.clone());
            self.by_name.insert(ByName(log));
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        let Ok(log) = self.place(name).cloned() else { return };
        let mut place = self.hasher.hash_one(name);
        while self.by_hash.get(&place).is_some_and(|other| other.id != log.id) {
            place = place.wrapping_add(1);
        }
        self.by_hash.remove(&place);
        self.by_name.remove(name);
        // Those that this one has kept from their places move up.
        place = place.wrapping_add(1);
        while let Some(next) = self.by_hash.remove(&place) {
            if let Err(free) = self.place(next.name.as_str()) {
                self.by_hash.insert(free, next);
            }
            place = place.wrapping_add(1);
        }
        if self.by_hash.len() < self.by_hash.capacity() / 8 {
            self.by_hash.shrink_to_fit();
        }
    }

    /// The log of this name, or the place that it would have.
    fn place(&self, name: &str) -> Result<&Arc<TopicLog>, u64> {
        let mut place = self.hasher.hash_one(name);
        while let Some(log) = self.by_hash.get(&place) {
            if log.name.as_str() == name {
                return Ok(log);
            }
            place = place.wrapping_add(1);
        }
        Err(place)
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// All logs, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<TopicLog>> {
        self.by_name.iter().map(|ByName(log)| log)
    }

    /// Those whose names begin with a prefix, in order, from the first after a name on.
    pub(super) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<TopicLog>> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let logs = self.by_name.range::<str, _>((from, Bound::Unbounded)).map(|ByName(log)| log);
        logs.take_while(move |log| log.name.as_str().starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use super::*;
    use crate::log::coverage::{Coverage, LowWatermark};
    use crate::log::retention::Retention;
    use crate::topic::TopicPattern;

    fn log(id: u64, name: &str) -> Arc<TopicLog> {
        let name = TopicPattern::new(name).unwrap();
        let coverage = Coverage::Since(LowWatermark::default());
        Arc::new(TopicLog::new(id, name, Arc::new(Retention::none()), coverage, false))
    }

    /// Hashes by the first byte, so that most collide.
    #[derive(Default)]
    struct FirstByte(u64);

    impl Hasher for FirstByte {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            if self.0 == 0 {
                self.0 = bytes.first().copied().unwrap_or_default().into();
            }
        }
    }

    #[test]
    fn topics_whose_hashes_collide_are_all_found() {
        let mut map: TopicMap<BuildHasherDefault<FirstByte>> = TopicMap::default();
        let names: Vec<String> =
            (0..60).map(|n| format!("{}{n}", ["a", "b", "c"][n % 3])).collect();
        let mut known = std::collections::BTreeMap::new();
        let mut random = fastrand::Rng::with_seed(1);
        for id in 1..10_000 {
            let name = &names[random.usize(..names.len())];
            match known.remove(name) {
                Some(_) => map.remove(name),
                None => {
                    map.insert(log(id, name));
                    known.insert(name, id);
                }
            }
            map.remove("d");
            for name in &names {
                assert_eq!(map.get(name).map(|log| log.id), known.get(name).copied(), "{name}");
            }
            assert!(map.iter().map(|log| log.id).eq(known.values().copied()));
            assert_eq!(map.by_hash.len(), map.len());
        }
    }

    #[test]
    fn topics_with_a_prefix_come_in_order_from_a_name_on() {
        let mut map: TopicMap = TopicMap::default();
        for (id, name) in (1..).zip(["a", "ab", "abc", "abd", "ac", "b"]) {
            map.insert(log(id, name));
        }
        let ids = |prefix, after| map.with_prefix(prefix, after).map(|log| log.id).collect();
        let all: Vec<u64> = ids("", None);
        assert_eq!(all, [1, 2, 3, 4, 5, 6]);
        let after: Vec<u64> = ids("ab", Some("abc"));
        assert_eq!(after, [4]);
        let none: Vec<u64> = ids("abcd", None);
        assert!(none.is_empty());
    }
}
