//! The hub's journal: where the order of its events is made, and what becomes of topics.
//!
//! A plain structure of `&mut self`, which [`Shared`](super::shared::Shared) holds in a mutex. It wakes nobody and calls
//! nothing foreign: what a change leaves to be done without the lock, it returns as [`Effects`]. The only locks that it
//! takes are those of the topics' logs, which it shares with readers.

pub(crate) mod effects;
pub(crate) mod entry;
mod filtered_logs;
pub(super) mod keys;
mod memory;
pub(crate) mod source;
mod targets;
mod tombstones;
mod topic_map;
pub(crate) mod topics;

use std::sync::Arc;

use super::published::Published;
use crate::backend::Origin;
use crate::encode;
use crate::epoch::Epoch;
use crate::error::{PublishError, PublishErrorCause};
use crate::filter::Filter;
use crate::log::TopicLog;
use crate::log::coverage::{Coverage, LowWatermark};
use crate::log::frame::Frame;
use crate::log::reset_reason::ResetReason;
use crate::log::retention::RetentionRules;
use crate::log::standing::{LastEvent, Standing};
use crate::log::tail::{self, Tail};
use crate::pinned::Pinned;
use crate::topic::{Topic, TopicPattern};
use effects::Effects;
use entry::{Entry, EntryKind};
use keys::Keys;
use memory::Memory;
use source::{ReplicaHistory, Source};
use targets::Targets;
use topics::{STEP, Topics};

/// See the [module](self).
///
/// Taking a number, appending the event to its topics and moving the watermark are one step, under the journal's
/// lock and those of the topics. So no reader sees event 7 before event 6, and a reader that finds an event also
/// finds a watermark that covers it.
#[derive(Debug)]
pub(crate) struct Journal {
    source: Source,
    /// The last offset given out.
    offset: u64,
    is_closed: bool,
    pub(crate) topics: Topics,
    memory: Memory,
    pinned: Arc<Pinned>,
}

/// The newest offset and position of a hub, and the history that they belong to.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) offset: u64,
    pub(crate) position: u64,
    pub(crate) epoch: Epoch,
    /// Of a hub that is the replica of a log.
    pub(crate) replica: Option<ReplicaHistory>,
}

impl Head {
    /// The newest position that the hub knows of. On a log, it may be ahead of what the hub has.
    pub(crate) fn newest_known(&self) -> u64 {
        let of_log = self.replica.map_or(0, |history| history.end.max(history.acknowledged));
        self.position.max(of_log)
    }

    /// Whether the hub's log delivers only topics that the hub is interested in.
    pub(crate) fn is_selective(&self) -> bool {
        self.replica.is_some_and(|replica| replica.is_selective)
    }
}

impl Journal {
    /// Of a hub in memory. `window`: for how long idempotency keys are known, in milliseconds.
    pub(super) fn local(
        rules: Arc<RetentionRules>,
        budget: usize,
        window: u64,
        pinned: Arc<Pinned>,
    ) -> Self {
        let source = Source::local(Keys::new(window));
        let topics = Topics::new(rules, &source, LowWatermark::default());
        Self::new(source, topics, budget, pinned)
    }

    /// Of a hub that is the replica of a log.
    pub(super) fn replica(
        rules: Arc<RetentionRules>,
        budget: usize,
        origin: Origin,
        is_selective: bool,
        pinned: Arc<Pinned>,
    ) -> Self {
        let position = origin.position;
        let low = LowWatermark { offset: 0, position, reason: ResetReason::Trimmed };
        let source = Source::replica(origin, is_selective);
        let topics = Topics::new(rules, &source, low);
        Self::new(source, topics, budget, pinned)
    }

    fn new(source: Source, topics: Topics, budget: usize, pinned: Arc<Pinned>) -> Self {
        let memory = Memory::new(budget);
        Self { source, offset: 0, is_closed: false, topics, memory, pinned }
    }

    pub(crate) fn head(&self) -> Head {
        let (replica, epoch) = match &self.source {
            Source::Local { epoch, .. } => (None, epoch),
            Source::Replica(replica) => (Some(replica.history), &replica.epoch),
        };
        let position = self.source.position();
        Head { offset: self.offset, position, epoch: epoch.clone(), replica }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.source.epoch().clone()
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Appends an event to the logs of its topic and of the patterns that match, and to the filtered ones that it passes,
    /// and moves the watermark on.
    ///
    /// # Errors
    ///
    /// When the hub is closed, and when the topic is finished.
    pub(super) fn append(
        &mut self,
        entry: Entry<'_>,
        now: u64,
        tail: &Tail,
    ) -> Result<(Published, Effects), PublishError> {
        if self.is_closed {
            return Err(PublishErrorCause::Closed.into());
        }
        let known = self.source.known(&entry.kind, now);
        let topic = match entry.kind {
            EntryKind::Durable(_) | EntryKind::Replicated { .. } if known.is_none() => {
                self.topics.for_event(entry.topic, now)
            }
            _ => self.topics.get(entry.topic).cloned(),
        };
        let mut others = self.topics.patterns_of(entry.topic);
        let patterns = !others.is_empty();
        self.topics.add_filtered(topic.as_ref(), entry.tags.as_deref(), &mut others);
        let hiding = match (&topic, entry.tags.as_deref()) {
            (Some(topic), Some(tags)) if entry.kind != EntryKind::Ephemeral => {
                self.topics.superseded_in(topic, tags)
            }
            _ => Vec::new(),
        };
        let mut targets = Targets::lock(topic.as_ref(), &others);
        let subscribers = targets.subscribers();
        let mut effects = Effects::default();
        if let Some(position) = known.or_else(|| self.pass(&entry.kind, &targets)) {
            let is_duplicate = known.is_some();
            let published = Published::new(self.epoch(), position, subscribers, is_duplicate);
            return Ok((published, effects));
        }
        let replicated = match entry.kind {
            EntryKind::Replicated { seen, .. } => Some(seen),
            EntryKind::Durable(_) | EntryKind::Ephemeral => None,
        };
        let last = match topic {
            Some(_) => targets.last_event(),
            None => replicated.and_then(|_| self.topics.known_end_of(entry.topic, now)),
        };
        if let Some(last) = last {
            let Some(seen) = replicated else { return Err(PublishErrorCause::Finished.into()) };
            if last.voids(seen) {
                let vacant = targets.vacant().cloned();
                self.remove_vacant(vacant, &mut effects);
                let position = self.pass_over(&entry.kind);
                let published = Published::new(self.epoch(), position, subscribers, false);
                return Ok((published, effects));
            }
            self.topics.set_end(entry.topic, None, now);
        }
        let name = entry.topic;
        let frame = self.frame(entry, now);
        let topic = topic.as_ref().map_or(0, |topic| topic.id);
        tail.enter(self.offset, tail::Entry::To { topic, patterns });
        targets.append(&frame, &mut self.memory, now, &mut effects);
        if let Some(key) = frame.tags.as_ref().and_then(|tags| tags.key.as_ref()) {
            hiding.iter().for_each(|log| self.memory.hide(log, key));
        }
        if let (Some(_), Some(position), true) = (replicated, frame.position, frame.is_last()) {
            self.topics.set_end(name, Some(LastEvent { position }), now);
        }
        // Still under the logs' locks: a reader that finds the frame finds the watermark, too.
        tail.set_watermark(self.offset);
        let vacant = targets.vacant().cloned();
        self.remove_vacant(vacant, &mut effects);
        self.remove_oldest(&mut effects);
        let position = frame.position.unwrap_or_default();
        Ok((Published::new(self.epoch(), position, subscribers, false), effects))
    }

    /// Passes over an event that no log is to have, and returns the position that it leaves.
    fn pass(&mut self, kind: &EntryKind, targets: &Targets<'_>) -> Option<u64> {
        match kind {
            EntryKind::Durable(_) => None,
            EntryKind::Replicated { .. } => targets.is_empty().then(|| self.pass_over(kind)),
            EntryKind::Ephemeral => (targets.subscribers() == 0).then_some(0),
        }
    }

    /// The position of an event that has come from the hub's log, which the replica has reached with that.
    fn pass_over(&mut self, kind: &EntryKind) -> u64 {
        let EntryKind::Replicated { position, .. } = *kind else { return 0 };
        self.reach(position);
        position
    }

    /// Gives an event its numbers.
    fn frame(&mut self, entry: Entry<'_>, now: u64) -> Frame {
        let Entry { mut body, tags, kind, .. } = entry;
        self.offset += 1;
        let at = match kind {
            EntryKind::Replicated { at, .. } => now.min(at),
            EntryKind::Durable(_) | EntryKind::Ephemeral => now,
        };
        let position = self.source.next_position(kind, now);
        if let Some(position) = position {
            encode::id(self.source.epoch(), position, &mut body);
        }
        body.push(b'\n');
        Frame::new(self.offset, position, at, body, tags, &self.pinned)
    }

    /// Counts one more stream, or other reader, in each of these topics and patterns, or in what passes a filter of them.
    pub(super) fn subscribe(
        &mut self,
        names: &[TopicPattern],
        filter: Option<&Filter>,
        is_stream: bool,
        now: u64,
    ) -> Vec<Arc<TopicLog>> {
        // A new pattern or filtered log has every event from here on.
        let low = LowWatermark {
            offset: self.offset,
            position: self.source.position(),
            reason: ResetReason::Trimmed,
        };
        self.topics.subscribe(names, filter, is_stream, low, now)
    }

    /// Whether all of these topics are finished, with last events up to a position.
    pub(super) fn have_ended(&mut self, names: &[TopicPattern], position: u64, now: u64) -> bool {
        names.iter().all(|name| {
            let end = name.topic().and_then(|topic| self.topics.end_of(&topic, now));
            end.is_some_and(|last| last.position <= position)
        })
    }

    /// Whether a topic was finished before an event at a position, which is void therefore.
    pub(super) fn is_void(&mut self, topic: &Topic, position: u64, now: u64) -> bool {
        self.topics.end_of(topic, now).is_some_and(|last| last.position < position)
    }

    /// This node has finished a topic, of which it may not be given the last event.
    pub(super) fn finished(&mut self, topic: &Topic, last: LastEvent, now: u64) {
        if self.topics.end_of(topic, now).is_none() {
            self.topics.set_end(topic, Some(last), now);
        }
    }

    /// The hub's log has said of topics whether they have had a last event. Those of which an event has come meanwhile are
    /// known better.
    pub(super) fn learn_ends(
        &mut self,
        ends: &[(Arc<TopicLog>, Option<LastEvent>)],
        now: u64,
        tail: &Tail,
    ) -> Effects {
        let mut effects = Effects::default();
        let reached = self.source.position();
        let mut finished = Vec::new();
        for (log, end) in ends {
            let mut state = log.lock();
            let (Standing::Unknown { .. }, Some(topic)) = (state.standing, log.name.topic()) else {
                continue;
            };
            // A last event that was not delivered yet will be.
            match end.filter(|last| last.position <= reached) {
                Some(last) => finished.push((log, state, topic, last)),
                None => log.set_standing(&mut state, Standing::Open, 0),
            }
        }
        if finished.is_empty() {
            return effects;
        }
        // A new offset, which no reader has reached: so every reader notices.
        self.offset += 1;
        tail.enter(self.offset, tail::Entry::Any);
        for (log, state, topic, last) in &mut finished {
            self.topics.set_end(topic, Some(*last), now);
            effects.wake(log.finish(state, *last, self.offset));
        }
        let filtered = finished.iter().flat_map(|(log, ..)| self.topics.filtered_of(log));
        let mut filtered: Vec<_> = filtered.map(|log| (log, log.lock())).collect();
        for (log, state) in &mut filtered {
            effects.wake(log.skip(state, self.offset));
        }
        // Still under the logs' locks: a reader that finds the end finds the watermark, too.
        tail.set_watermark(self.offset);
        effects
    }

    /// The last reader of these topics has left: nobody needs their live window, and they may vanish. Removes some events
    /// at once, and leaves the topics that have more of them.
    pub(super) fn on_last_reader_gone(
        &mut self,
        logs: &mut Vec<Arc<TopicLog>>,
        now: u64,
    ) -> Effects {
        let (mut effects, mut work) = (Effects::default(), 0);
        while work < STEP {
            let Some(log) = logs.pop() else { break };
            let mut state = log.lock();
            let mut evicted = 0;
            // Another one may have come meanwhile.
            if !state.is_read() {
                state.on_last_reader_gone();
                evicted = self.memory.evict(&log, &mut state, now);
            }
            work += 1 + evicted;
            drop(state);
            match evicted < STEP {
                true => self.remove_vacant([log], &mut effects),
                false => logs.push(log),
            }
        }
        effects
    }

    /// Removes the oldest events that the budget has no room for: at most some at once.
    pub(super) fn keep_budget(&mut self) -> Effects {
        let mut effects = Effects::default();
        self.remove_oldest(&mut effects);
        effects
    }

    fn remove_oldest(&mut self, effects: &mut Effects) {
        let vacant = self.memory.keep_budget(self.offset);
        self.remove_vacant(vacant, effects);
        effects.is_over_budget = self.memory.is_over_budget(self.offset);
    }

    /// Removes what has expired: at most some events at once. Returns whether there is more.
    pub(super) fn expire(&mut self, now: u64) -> (Effects, bool) {
        let mut effects = Effects::default();
        let (vacant, is_more) = self.memory.expire(now);
        self.remove_vacant(vacant, &mut effects);
        (effects, is_more)
    }

    /// Whether anything is left that will expire.
    pub(super) fn has_expiring(&self) -> bool {
        self.memory.has_expiring()
    }

    /// Removes those of these topics and patterns that are vacant.
    fn remove_vacant(
        &mut self,
        logs: impl IntoIterator<Item = Arc<TopicLog>>,
        effects: &mut Effects,
    ) {
        for log in logs {
            // A filtered log may have been all that kept the one that it is of.
            for log in [&log].into_iter().chain(log.filtered.as_ref().map(|it| &it.of)) {
                let is_listed = self.topics.has(log);
                let mut state = log.lock();
                if is_listed && state.is_vacant() {
                    self.memory.forget(log, &mut state);
                    state.on_removed(&self.pinned);
                    drop(state);
                    self.topics.remove(log);
                    effects.drop_topic(log.clone());
                }
            }
        }
    }

    /// The replica begins again: after a gap, or in another history.
    pub(super) fn restart(&mut self, origin: Origin, tail: &Tail) -> Effects {
        let Some(replica) = self.source.replica_mut() else { return Effects::default() };
        // A new offset, which no reader has reached: so every reader notices.
        self.offset += 1;
        tail.enter(self.offset, tail::Entry::Any);
        let Origin { epoch, position, end } = origin;
        let reason = if replica.epoch == epoch {
            replica.reach(position);
            ResetReason::Trimmed
        } else {
            (replica.epoch, replica.position) = (epoch, position);
            (replica.history.began, replica.history.acknowledged) = (self.offset, 0);
            ResetReason::Unknown
        };
        replica.history.end = end;
        let low = LowWatermark { offset: self.offset, position: replica.position, reason };
        self.topics.forget_vanished(low);
        let logs = self.topics.all();
        let mut effects = self.clear(&logs, self.topics.coverage(low), tail);
        self.remove_vacant(logs, &mut effects);
        effects
    }

    /// The hub's log delivers these topics and patterns from now on, as far as the interests of these numbers are
    /// still those that the hub has.
    pub(super) fn follow(
        &mut self,
        names: &[(&TopicPattern, u64)],
        position: u64,
        tail: &Tail,
    ) -> Effects {
        let Some(replica) = self.source.replica_mut() else { return Effects::default() };
        replica.reach(position);
        let position = replica.position;
        self.offset += 1;
        tail.enter(self.offset, tail::Entry::Any);
        let logs = names.iter().filter_map(|(name, interest)| {
            let log = self.topics.find(name).filter(|log| log.id == *interest)?;
            (!log.lock().coverage.is_followed()).then(|| log.clone())
        });
        let with_filtered = |log: Arc<TopicLog>| {
            let filtered: Vec<_> = self.topics.filtered_of(&log).cloned().collect();
            std::iter::once(log).chain(filtered)
        };
        let mut logs: Vec<_> = logs.flat_map(with_filtered).collect();
        // Each is locked once, even if the backend repeats itself.
        logs.sort_unstable_by_key(|log| log.id);
        logs.dedup_by_key(|log| log.id);
        // Streams that have subscribed meanwhile may have missed something, and look into the hub's log.
        let low = LowWatermark { offset: self.offset, position, reason: ResetReason::Trimmed };
        self.clear(&logs, Coverage::Since(low), tail)
    }

    /// Clears logs, and moves the watermark on while all of them are locked: a reader that finds it in the one
    /// must not miss it in the other.
    fn clear(&mut self, logs: &[Arc<TopicLog>], coverage: Coverage, tail: &Tail) -> Effects {
        let mut effects = Effects::default();
        let mut states: Vec<_> = logs.iter().map(|log| log.lock()).collect();
        for (log, state) in logs.iter().zip(&mut states) {
            effects.wake(self.memory.clear(log, state, self.offset, coverage));
        }
        tail.set_watermark(self.offset);
        effects
    }

    /// The replica has everything up to a position.
    pub(super) fn reach(&mut self, position: u64) {
        self.source.replica_mut().into_iter().for_each(|replica| replica.reach(position));
    }

    /// A publication of this node is in the log. Returns whether it is in the history that the hub knows.
    pub(super) fn acknowledge(&mut self, epoch: &Epoch, position: u64) -> bool {
        let replica = self.source.replica_mut().filter(|replica| replica.epoch == *epoch);
        let Some(replica) = replica else { return false };
        let acknowledged = &mut replica.history.acknowledged;
        *acknowledged = (*acknowledged).max(position);
        true
    }

    /// The number of topics, the last offset given out, and the bytes of memory that events take.
    pub(super) fn figures(&self) -> (usize, u64, usize) {
        (self.topics.count(), self.offset, self.memory.bytes())
    }

    #[cfg(test)]
    pub(crate) fn log(&self, topic: &str) -> Option<Arc<TopicLog>> {
        self.topics.find(&TopicPattern::new(topic).unwrap()).cloned()
    }

    #[cfg(test)]
    pub(crate) fn index_sizes(&self) -> (usize, usize) {
        self.memory.index_sizes()
    }
}
