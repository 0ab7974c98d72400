use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::backend::Log;
use crate::log::retention::{Retention, RetentionRules};
use crate::log::{Floor, TopicLog};
use crate::pattern_map::PatternMap;
use crate::sync::RwLock;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::topic::{Topic, TopicPattern};

/// The topics of a hub: created on use, gone when they have neither subscribers nor retained
/// events; and the families of them that somebody subscribes to.
///
/// A family is a log like a topic's, to which the events of all its topics are appended as well: it is
/// what its subscribers read and wait for. Their past is in the topics' own logs, see [`Past`].
#[derive(Debug)]
pub(crate) struct Topics {
    rules: RetentionRules,
    /// Told which topics there are: a log that delivers only those.
    selective: Option<Arc<dyn Log>>,
    /// Changes under the sequencer's lock. Most hubs have none, and ask no further.
    has_families: AtomicBool,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    logs: HashMap<Topic, Arc<TopicLog>>,
    families: PatternMap<Arc<TopicLog>>,
    next_id: u64,
    vanished: Tombstones,
}

/// The logs that the past of some topics and families is in.
pub(crate) struct Past<'a> {
    pub(crate) topics: Cow<'a, [Arc<TopicLog>]>,
    /// What vanished topics of the families had lost.
    pub(crate) floor: Floor,
}

impl Past<'_> {
    /// Whether these are not the logs that the present is read from.
    pub(crate) fn is_apart(&self) -> bool {
        matches!(self.topics, Cow::Owned(_))
    }
}

impl Topics {
    /// `log` is that of the hub, if it has one.
    pub(crate) fn new(rules: RetentionRules, log: Option<Arc<dyn Log>>) -> Self {
        let selective = log.filter(|log| log.is_selective());
        Self { rules, selective, has_families: AtomicBool::new(false), state: RwLock::default() }
    }

    /// All topics that were never known had lost this.
    pub(crate) fn forget(&self, floor: Floor) {
        self.state.write().vanished = Tombstones { forgotten: floor, ..Tombstones::default() };
    }

    pub(crate) fn all(&self) -> Vec<Arc<TopicLog>> {
        let state = self.state.read();
        let families = state.families.iter().map(|(_, log)| log);
        state.logs.values().chain(families).cloned().collect()
    }

    /// What is to be kept of a topic, or of a family if that was one.
    pub(crate) fn retention_of(&self, name: &TopicPattern) -> Retention {
        self.rules.of(name)
    }

    /// What a topic begins with, in place of what it had lost before, if the log says what is delivered.
    pub(crate) fn first_floor(&self, otherwise: Floor) -> Floor {
        if self.selective.is_some() { Floor::UNFOLLOWED } else { otherwise }
    }

    pub(crate) fn get(&self, topic: &Topic) -> Option<Arc<TopicLog>> {
        self.state.read().logs.get(topic).cloned()
    }

    /// A topic or a family.
    pub(crate) fn find(&self, name: &TopicPattern) -> Option<Arc<TopicLog>> {
        self.state.read().find(name)
    }

    /// Where an event of a topic belongs; the caller looks for its families. A selective log is told of
    /// topics that somebody subscribes to, and of no others.
    pub(crate) fn for_event(&self, topic: &Topic) -> Option<Arc<TopicLog>> {
        let log = self.get(topic);
        if log.is_some() || self.selective.is_some() {
            return log;
        }
        Some(self.create(&mut self.state.write(), &topic.into(), Floor::default()))
    }

    /// The families that a topic belongs to. They stay as long as the caller holds the sequencer.
    pub(crate) fn families_of(&self, topic: &Topic) -> Vec<Arc<TopicLog>> {
        if !self.has_families.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.state.read().families.matching(topic).map(|(_, log)| log.clone()).collect()
    }

    /// Whether there is a log that an event of this topic would be appended to.
    pub(crate) fn is_known(&self, topic: &Topic) -> bool {
        self.get(topic).is_some() || !self.families_of(topic).is_empty()
    }

    /// How many streams are subscribed to a topic, by its name or by a family.
    pub(crate) fn subscribers_of(&self, topic: &Topic) -> usize {
        let logs = self.get(topic).into_iter().chain(self.families_of(topic));
        logs.map(|log| log.lock().subscribers).sum()
    }

    /// Where the past of these topics and families is. To be called with the hub's present known: what was
    /// published up to then is in there.
    pub(crate) fn past_of<'a>(&self, logs: &'a [Arc<TopicLog>]) -> Past<'a> {
        // A selective log does not give the topics of a family one by one.
        if self.selective.is_some() || !logs.iter().any(|log| log.name.has_wildcard()) {
            return Past { topics: logs.into(), floor: Floor::default() };
        }
        let is_asked = |topic: &Topic| logs.iter().any(|log| log.name.matches(topic));
        let state = self.state.read();
        let topics = state.logs.iter().filter(|(topic, _)| is_asked(topic));
        let mut topics: Vec<_> = topics.map(|(_, log)| log.clone()).collect();
        let floor = state.vanished.floor_of_all(is_asked);
        drop(state);
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Past { topics: topics.into(), floor }
    }

    /// Gets topics and families and counts one more subscriber in each, so that they stay.
    ///
    /// The caller holds the sequencer if there are families; `floor` is what a new one has not got.
    pub(crate) fn subscribe(&self, names: &[TopicPattern], floor: Floor) -> Vec<Arc<TopicLog>> {
        // A read lock is enough for topics that exist: they vanish under the write lock only.
        let state = self.state.read();
        let existing: Option<Vec<_>> = names.iter().map(|name| state.find(name)).collect();
        if let Some(logs) = existing {
            logs.iter().for_each(|log| log.lock().subscribers += 1);
            return logs;
        }
        drop(state);
        let mut state = self.state.write();
        names
            .iter()
            .map(|name| {
                let log = self.create(&mut state, name, floor);
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
        let topic = log.name.topic();
        match &topic {
            Some(topic) => drop(state.logs.remove(topic)),
            None => {
                state.families.remove(&log.name);
                self.has_families.store(!state.families.is_empty(), Ordering::Relaxed);
            }
        }
        match (&self.selective, topic) {
            (Some(selective), _) => selective.set_interest(&log.name, None),
            (None, Some(topic)) if floor.position > 0 => state.vanished.add(&topic, floor),
            (None, _) => {}
        }
        if state.logs.len() < state.logs.capacity() / 8 {
            state.logs.shrink_to_fit();
        }
        true
    }

    /// `floor` is that of a family, if it is one.
    fn create(&self, state: &mut State, name: &TopicPattern, floor: Floor) -> Arc<TopicLog> {
        if let Some(log) = state.find(name) {
            return log;
        }
        state.next_id += 1;
        let topic = name.topic();
        let floor = topic.as_ref().map_or(floor, |topic| state.vanished.floor(topic));
        let floor = self.first_floor(floor);
        let retention = match &topic {
            // What it would retain its topics have: the live window is enough.
            None if self.selective.is_none() => Retention::none(),
            _ => self.retention_of(name),
        };
        let log = Arc::new(TopicLog::new(state.next_id, name.clone(), retention, floor));
        match topic {
            Some(topic) => drop(state.logs.insert(topic, log.clone())),
            None => {
                state.families.insert(name.clone(), log.clone());
                self.has_families.store(true, Ordering::Relaxed);
            }
        }
        // Under the lock, so that what is wanted and what is not comes in the order in which it happened.
        if let Some(selective) = &self.selective {
            selective.set_interest(name, Some(log.id));
        }
        log
    }

    pub(crate) fn count(&self) -> usize {
        self.state.read().logs.len()
    }

    pub(crate) fn list(&self) -> Vec<(Topic, usize)> {
        let state = self.state.read();
        let mut list: Vec<_> =
            state.logs.iter().map(|(topic, log)| (topic.clone(), log.lock().subscribers)).collect();
        drop(state);
        list.sort();
        list
    }

    pub(crate) fn list_families(&self) -> Vec<(TopicPattern, usize)> {
        let state = self.state.read();
        let families = state.families.iter();
        let mut list: Vec<_> =
            families.map(|(name, log)| (name.clone(), log.lock().subscribers)).collect();
        drop(state);
        list.sort();
        list
    }
}

impl State {
    fn find(&self, name: &TopicPattern) -> Option<Arc<TopicLog>> {
        match name.topic() {
            Some(topic) => self.logs.get(&topic).cloned(),
            None => self.families.get(name).cloned(),
        }
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
    floors: HashMap<Topic, Floor>,
    /// By position. The lowest floor goes first: it does the least harm to other topics,
    /// and a topic that comes and goes all the time is not blamed on them.
    order: BTreeSet<(u64, Topic)>,
    forgotten: Floor,
}

impl Tombstones {
    const MAX: usize = 16 * 1024;

    fn add(&mut self, topic: &Topic, floor: Floor) {
        let known = self.floors.entry(topic.clone()).or_default();
        self.order.remove(&(known.position, topic.clone()));
        *known = known.max(floor);
        self.order.insert((known.position, topic.clone()));
        if self.order.len() > Self::MAX {
            let lowest = self.order.pop_first().and_then(|(_, topic)| self.floors.remove(&topic));
            self.forgotten = self.forgotten.max(lowest.unwrap_or_default());
        }
    }

    /// What a topic begins with when it comes into being again.
    fn floor(&self, topic: &Topic) -> Floor {
        self.floors.get(topic).copied().unwrap_or_default().max(self.forgotten)
    }

    /// The strictest floor of those topics, whatever they are called, that are asked for.
    fn floor_of_all(&self, is_asked: impl Fn(&Topic) -> bool) -> Floor {
        let asked = self.order.iter().rev().find(|(_, topic)| is_asked(topic));
        let known = asked.and_then(|(_, topic)| self.floors.get(topic));
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
