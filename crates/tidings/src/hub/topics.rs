use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::backend::Log;
use crate::log::retention::RetentionRules;
use crate::log::{Floor, TopicLog};
use crate::sync::RwLock;
use crate::topic::Topic;

/// The topics of a hub: created on use, gone when they have neither subscribers nor retained
/// events.
#[derive(Debug)]
pub(crate) struct Topics {
    rules: RetentionRules,
    /// Told which topics there are: a log that delivers only those.
    selective: Option<Arc<dyn Log>>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    logs: HashMap<Topic, Arc<TopicLog>>,
    next_id: u64,
    vanished: Tombstones,
}

impl Topics {
    /// `log` is that of the hub, if it has one.
    pub(crate) fn new(rules: RetentionRules, log: Option<Arc<dyn Log>>) -> Self {
        let selective = log.filter(|log| log.is_selective());
        Self { rules, selective, state: RwLock::default() }
    }

    /// All topics that were never known had lost this.
    pub(crate) fn forget(&self, floor: Floor) {
        self.state.write().vanished = Tombstones { forgotten: floor, ..Tombstones::default() };
    }

    pub(crate) fn all(&self) -> Vec<Arc<TopicLog>> {
        self.state.read().logs.values().cloned().collect()
    }

    /// What a topic begins with, in place of what it had lost before, if the log says what is delivered.
    pub(crate) fn first_floor(&self, otherwise: Floor) -> Floor {
        if self.selective.is_some() { Floor::UNFOLLOWED } else { otherwise }
    }

    pub(crate) fn get(&self, topic: &Topic) -> Option<Arc<TopicLog>> {
        self.state.read().logs.get(topic).cloned()
    }

    pub(crate) fn get_or_create(&self, topic: &Topic) -> Arc<TopicLog> {
        if let Some(log) = self.get(topic) {
            return log;
        }
        self.create(&mut self.state.write(), topic)
    }

    /// Gets topics and counts one more subscriber in each, so that they stay.
    pub(crate) fn subscribe(&self, topics: &[Topic]) -> Vec<Arc<TopicLog>> {
        // A read lock is enough for topics that exist: they vanish under the write lock only.
        let state = self.state.read();
        let existing: Option<Vec<_>> =
            topics.iter().map(|topic| state.logs.get(topic).cloned()).collect();
        if let Some(logs) = existing {
            logs.iter().for_each(|log| log.lock().subscribers += 1);
            return logs;
        }
        drop(state);
        let mut state = self.state.write();
        topics
            .iter()
            .map(|topic| {
                let log = self.create(&mut state, topic);
                log.lock().subscribers += 1;
                log
            })
            .collect()
    }

    /// Takes a topic out if it is vacant. Returns whether it is gone.
    ///
    /// The caller holds the sequencer, which alone adds and evicts events.
    pub(crate) fn remove_vacant(&self, log: &Arc<TopicLog>) -> bool {
        let mut state = self.state.write();
        let mut inner = log.lock();
        if inner.gone {
            return true;
        }
        if !inner.is_vacant() {
            return false;
        }
        inner.gone = true;
        let floor = inner.floor;
        drop(inner);
        state.logs.remove(&log.topic);
        match &self.selective {
            Some(selective) => selective.want(&log.topic, None),
            None if floor.position > 0 => state.vanished.add(&log.topic, floor),
            None => {}
        }
        if state.logs.len() < state.logs.capacity() / 8 {
            state.logs.shrink_to_fit();
        }
        true
    }

    fn create(&self, state: &mut State, topic: &Topic) -> Arc<TopicLog> {
        if let Some(log) = state.logs.get(topic) {
            return log.clone();
        }
        state.next_id += 1;
        let floor = self.first_floor(state.vanished.floor(topic));
        let retention = self.rules.of(topic);
        let log = Arc::new(TopicLog::new(state.next_id, topic.clone(), retention, floor));
        state.logs.insert(topic.clone(), log.clone());
        // Under the lock, so that what is wanted and what is not comes in the order in which it happened.
        if let Some(selective) = &self.selective {
            selective.want(topic, Some(log.id));
        }
        log
    }

    pub(crate) fn count(&self) -> usize {
        self.state.read().logs.len()
    }

    pub(crate) fn list(&self) -> Vec<(Topic, usize)> {
        let state = self.state.read();
        let mut list: Vec<_> =
            state.logs.values().map(|log| (log.topic.clone(), log.lock().subscribers)).collect();
        drop(state);
        list.sort();
        list
    }
}

/// What vanished topics had lost, so that a client who comes back to one is told.
///
/// Without them, a topic that expired and vanished would look as if it had never had an event,
/// and a client that missed one would be "resumed" over the hole. Bounded: when there are too
/// many, the oldest are merged into one floor for all topics that are not remembered. That may
/// cause a reset too many, never one too few.
#[derive(Debug, Default)]
struct Tombstones {
    hasher: RandomState,
    /// By hash of the name: two topics that share one share the stricter floor.
    floors: HashMap<u64, Floor>,
    /// Position and hash. The lowest floor goes first: it does the least harm to other topics,
    /// and a topic that comes and goes all the time is not blamed on them.
    order: BTreeSet<(u64, u64)>,
    forgotten: Floor,
}

impl Tombstones {
    const MAX: usize = 16 * 1024;

    fn add(&mut self, topic: &Topic, floor: Floor) {
        let hash = self.hasher.hash_one(topic);
        let known = self.floors.entry(hash).or_default();
        self.order.remove(&(known.position, hash));
        *known = known.max(floor);
        self.order.insert((known.position, hash));
        if self.order.len() > Self::MAX {
            let lowest = self.order.pop_first().and_then(|(_, hash)| self.floors.remove(&hash));
            self.forgotten = self.forgotten.max(lowest.unwrap_or_default());
        }
    }

    /// What a topic begins with when it comes into being again.
    fn floor(&self, topic: &Topic) -> Floor {
        let known = self.floors.get(&self.hasher.hash_one(topic));
        known.copied().unwrap_or_default().max(self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscription::status::ResetReason;

    fn floor(position: u64) -> Floor {
        Floor { offset: position, position, reason: ResetReason::Expired }
    }

    #[test]
    fn a_vanished_topic_is_remembered_and_others_are_not_blamed() {
        let mut tombstones = Tombstones::default();
        let [a, b] = ["a", "b"].map(|name| Topic::new(name).unwrap());
        tombstones.add(&a, floor(7));
        tombstones.add(&a, floor(3));
        assert_eq!(tombstones.floor(&a), floor(7));
        assert_eq!(tombstones.floor(&b), Floor::default());
    }

    #[test]
    fn a_topic_that_comes_and_goes_is_not_blamed_on_others() {
        let mut tombstones = Tombstones::default();
        let busy = Topic::new("busy").unwrap();
        for n in 1..=3 * Tombstones::MAX as u64 {
            tombstones.add(&busy, floor(2 * n));
            if n <= Tombstones::MAX as u64 {
                tombstones.add(&Topic::new(format!("t{n}")).unwrap(), floor(2 * n + 1));
            }
        }
        assert_eq!(tombstones.floor(&busy), floor(6 * Tombstones::MAX as u64));
        assert_eq!(tombstones.forgotten, floor(3));
    }

    #[test]
    fn too_many_tombstones_become_one_floor_for_all() {
        let mut tombstones = Tombstones::default();
        for n in 1..=Tombstones::MAX as u64 + 5 {
            tombstones.add(&Topic::new(format!("t{n}")).unwrap(), floor(n));
        }
        assert_eq!(tombstones.order.len(), Tombstones::MAX);
        assert_eq!(tombstones.floors.len(), Tombstones::MAX);
        assert_eq!(tombstones.floor(&Topic::new("t2").unwrap()), floor(5));
        assert_eq!(tombstones.floor(&Topic::new("t6").unwrap()), floor(6));
        assert_eq!(tombstones.floor(&Topic::new("never").unwrap()), floor(5));
    }
}
