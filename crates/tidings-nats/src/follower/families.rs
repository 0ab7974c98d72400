use std::collections::BTreeMap;
use std::iter;
use std::ops::Bound;

use tidings::{Topic, TopicPattern};

/// Families by what their names begin with, so that a topic is compared with those only that it may belong
/// to: there may be one for each user, and each message is looked up.
#[derive(Debug, Default)]
pub(super) struct Families(BTreeMap<Box<[u8]>, Vec<TopicPattern>>);

impl Families {
    pub(super) fn insert(&mut self, family: TopicPattern) {
        self.0.entry(family.prefix().as_bytes().into()).or_default().push(family);
    }

    pub(super) fn remove(&mut self, family: &TopicPattern) {
        let begin = family.prefix().as_bytes();
        if let Some(same) = self.0.get_mut(begin) {
            same.retain(|other| other != family);
            if same.is_empty() {
                self.0.remove(begin);
            }
        }
    }

    /// Those that a topic belongs to.
    pub(super) fn of<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = &'a TopicPattern> {
        let name = topic.as_str().as_bytes();
        // From the whole name to nothing of it. Between two of its beginnings that are there, others may stand.
        let mut end = Bound::Included(name);
        let same = iter::from_fn(move || {
            loop {
                let mut before = self.0.range::<[u8], _>((Bound::Unbounded, end));
                let (begin, families) = before.next_back()?;
                let common = begin.iter().zip(name).take_while(|(one, other)| one == other).count();
                if common == begin.len() {
                    end = Bound::Excluded(&name[..common]);
                    return Some(families);
                }
                end = Bound::Included(&name[..common]);
            }
        });
        same.flatten().filter(|family| family.matches(topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_topic_finds_all_families_that_it_belongs_to(
            families in prop::collection::btree_set("[abé.]{0,4}\\*[ab*]{0,2}", 0..30),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            name in "[abé.]{1,6}",
        ) {
            let mut all: Vec<_> =
                families.iter().map(|family| TopicPattern::new(family).unwrap()).collect();
            let mut index = Families::default();
            all.iter().for_each(|family| index.insert(family.clone()));
            for at in removed {
                if !all.is_empty() {
                    index.remove(&all.swap_remove(at.index(all.len())));
                }
            }
            let topic = Topic::new(name).unwrap();
            let mut found: Vec<_> = index.of(&topic).cloned().collect();
            found.sort();
            all.retain(|family| family.matches(&topic));
            all.sort();
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn what_was_removed_leaves_nothing() {
        let mut index = Families::default();
        let families = ["a.*", "a.*.b", "*"].map(|family| TopicPattern::new(family).unwrap());
        families.iter().for_each(|family| index.insert(family.clone()));
        families.iter().for_each(|family| index.remove(family));
        assert!(index.0.is_empty());
    }
}
