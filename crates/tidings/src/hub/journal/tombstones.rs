use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::log::coverage::LowWatermark;
use crate::topic::Topic;

/// The low watermarks of topics that have vanished, so that a client that comes back to one is reset.
///
/// Without them, a topic that expired and vanished would look as if it had never had an event, and a client
/// that missed one would be "resumed" over the gap. Their number is bounded: when there are too many, the
/// lowest are merged into one low watermark for all topics that are not remembered. That may cause a reset
/// too many, never one too few.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// By name: whoever looks at some at a time misses none that changes meanwhile.
    low_watermarks: BTreeMap<Topic, LowWatermark>,
    /// By position. The lowest is merged first: it does the least harm to other topics, and a topic that
    /// comes and goes all the time does not harm them.
    order: BTreeSet<(u64, Topic)>,
    merged: LowWatermark,
}

impl Tombstones {
    const MAX: usize = 16 * 1024;

    /// Remembers no topic: each has lost this.
    pub(super) fn of_all(merged: LowWatermark) -> Self {
        Self { merged, ..Self::default() }
    }

    pub(super) fn add(&mut self, topic: &Topic, low: LowWatermark) {
        let known = self.low_watermarks.entry(topic.clone()).or_default();
        self.order.remove(&(known.position, topic.clone()));
        *known = known.max(low);
        self.order.insert((known.position, topic.clone()));
        if self.order.len() > Self::MAX {
            let lowest =
                self.order.pop_first().and_then(|(_, topic)| self.low_watermarks.remove(&topic));
            self.merged = self.merged.max(lowest.unwrap_or_default());
        }
    }

    /// What a topic begins with when it comes into being again.
    pub(super) fn low_watermark(&self, topic: &Topic) -> LowWatermark {
        self.low_watermarks.get(topic).copied().unwrap_or_default().max(self.merged)
    }

    /// Those of topics whose names begin with a prefix, in order, from the first after a name on.
    pub(super) fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&Topic>,
    ) -> impl Iterator<Item = (&'a Topic, LowWatermark)> {
        // Every name comes after the empty one, which is none.
        let first = Topic::new(prefix).map_or(Bound::Unbounded, Bound::Included);
        let from = after.map_or(first, |after| Bound::Excluded(after.clone()));
        self.low_watermarks
            .range((from, Bound::Unbounded))
            .take_while(move |(topic, _)| topic.as_str().starts_with(prefix))
            .map(|(topic, low)| (topic, *low))
    }

    /// What the topics that are not remembered have lost.
    pub(super) fn merged(&self) -> LowWatermark {
        self.merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::reset_reason::ResetReason;

    fn low(position: u64) -> LowWatermark {
        LowWatermark { offset: position, position, reason: ResetReason::Expired }
    }

    #[test]
    fn a_vanished_topic_is_remembered_and_others_are_not_blamed() {
        let mut tombstones = Tombstones::default();
        let [a, b] = ["a", "b"].map(|name| Topic::new(name).unwrap());
        tombstones.add(&a, low(7));
        tombstones.add(&a, low(3));
        assert_eq!(tombstones.low_watermark(&a), low(7));
        assert_eq!(tombstones.low_watermark(&b), LowWatermark::default());
    }

    #[test]
    fn a_topic_that_comes_and_goes_does_not_harm_others() {
        let mut tombstones = Tombstones::default();
        let busy = Topic::new("busy").unwrap();
        for n in 1..=3 * Tombstones::MAX as u64 {
            tombstones.add(&busy, low(2 * n));
            if n <= Tombstones::MAX as u64 {
                tombstones.add(&Topic::new(format!("t{n}")).unwrap(), low(2 * n + 1));
            }
        }
        assert_eq!(tombstones.low_watermark(&busy), low(6 * Tombstones::MAX as u64));
        assert_eq!(tombstones.merged, low(3));
    }

    #[test]
    fn too_many_tombstones_become_one_for_all() {
        let mut tombstones = Tombstones::default();
        for n in 1..=Tombstones::MAX as u64 + 5 {
            tombstones.add(&Topic::new(format!("t{n}")).unwrap(), low(n));
        }
        assert_eq!(tombstones.order.len(), Tombstones::MAX);
        assert_eq!(tombstones.low_watermarks.len(), Tombstones::MAX);
        assert_eq!(tombstones.low_watermark(&Topic::new("t2").unwrap()), low(5));
        assert_eq!(tombstones.low_watermark(&Topic::new("t6").unwrap()), low(6));
        assert_eq!(tombstones.low_watermark(&Topic::new("never").unwrap()), low(5));
    }
}
