use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Weak};

use super::topics::STEP;
use crate::event::EventKey;
use crate::log::coverage::Coverage;
use crate::log::frame::Frame;
use crate::log::{TopicLog, TopicState};
use crate::waking::Waiters;

/// The memory that the events of all topics take: keeps the hub's byte budget, and finds the topics whose events
/// expire.
///
/// Both indices hold at most one entry a topic, by the oldest event that it *had* when the entry was made.
/// Entries are brought up to date when their turn comes, not at every event.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: usize,
    budget: usize,
    /// By the turn of the oldest event, then topic id.
    oldest: BTreeMap<(NonZeroU64, u64), Weak<TopicLog>>,
    /// By time in milliseconds, then topic id.
    expiry: BTreeMap<(NonZeroU64, u64), Weak<TopicLog>>,
}

/// Set in the turns of values of keys, which may be as old as they like.
const LAST: NonZeroU64 = NonZeroU64::MIN.saturating_add((1 << 63) - 1);

/// When an event's turn comes to make room: those are first that are oldest, and values of keys are last. Filtered logs have
/// none of their own.
fn turn(log: &TopicLog, offset: u64) -> u64 {
    let has_values = log.retention.is_latest_per_key() && log.filtered.is_none();
    offset | if has_values { LAST.get() } else { 0 }
}

impl Memory {
    pub(super) fn new(budget: usize) -> Self {
        Self { bytes: 0, budget, oldest: BTreeMap::new(), expiry: BTreeMap::new() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a frame to a topic, removes what had to make room for it, and enters the topic into the indices. Returns
    /// the streams that wait for it.
    pub(super) fn append(
        &mut self,
        log: &Arc<TopicLog>,
        state: &mut TopicState,
        frame: Frame,
        now: u64,
    ) -> Waiters {
        let waiters = self.change(log, state, |state| log.append(state, frame));
        self.evict(log, state, now);
        if state.oldest_key.is_none() {
            self.enter_oldest(log, state);
        }
        // The time may come closer: an event that is not retained any more stays for the live window only.
        let deadline = log.deadline(state);
        if deadline.is_some_and(|at| state.expiry_key.is_none_or(|key| at < key.get())) {
            self.enter_expiry(log, state, deadline);
        }
        waiters
    }

    /// Removes an event from a filtered log: a newer one of its key is hidden there.
    pub(super) fn hide(&mut self, log: &TopicLog, key: &EventKey) {
        let state = &mut log.lock();
        self.change(log, state, |state| state.durable.remove_key(key));
    }

    /// Removes events that a topic need not keep, and returns their number. There may be more of them than are removed at
    /// once: [`expire`](Self::expire) removes the rest.
    pub(super) fn evict(&mut self, log: &TopicLog, state: &mut TopicState, now: u64) -> usize {
        self.change(log, state, |state| log.evict(state, now, STEP))
    }

    /// Removes all events of a topic. Returns the streams that wait for it, which have missed something.
    pub(super) fn clear(
        &mut self,
        log: &TopicLog,
        state: &mut TopicState,
        offset: u64,
        coverage: Coverage,
    ) -> Waiters {
        self.forget(log, state);
        self.change(log, state, |state| log.clear(state, offset, coverage))
    }

    /// Counts what a change of a topic's events does to its cost.
    fn change<R>(
        &mut self,
        log: &TopicLog,
        state: &mut TopicState,
        change: impl FnOnce(&mut TopicState) -> R,
    ) -> R {
        self.bytes -= log.cost(state);
        let result = change(state);
        self.bytes += log.cost(state);
        result
    }

    /// Removes a topic from the indices.
    pub(super) fn forget(&mut self, log: &TopicLog, state: &mut TopicState) {
        if let Some(key) = state.oldest_key.take() {
            self.oldest.remove(&(key, log.id));
        }
        if let Some(key) = state.expiry_key.take() {
            self.expiry.remove(&(key, log.id));
        }
    }

    fn enter_oldest(&mut self, log: &Arc<TopicLog>, state: &mut TopicState) {
        let turn = state.oldest().map(|offset| turn(log, offset));
        state.oldest_key = turn.and_then(NonZeroU64::new);
        if let Some(offset) = state.oldest_key {
            self.oldest.insert((offset, log.id), Arc::downgrade(log));
        }
    }

    fn enter_expiry(&mut self, log: &Arc<TopicLog>, state: &mut TopicState, at: Option<u64>) {
        if let Some(key) = state.expiry_key {
            self.expiry.remove(&(key, log.id));
        }
        // At most a millisecond late.
        state.expiry_key = at.map(|at| NonZeroU64::MIN.saturating_add(at.saturating_sub(1)));
        if let Some(at) = state.expiry_key {
            self.expiry.insert((at, log.id), Arc::downgrade(log));
        }
    }

    /// Removes the oldest events until the budget holds, or only the one at `newest` is left: its readers are
    /// just waking up. At most some at once: [`is_over_budget`](Self::is_over_budget) says whether there are more.
    /// Returns the topics that have become vacant.
    pub(super) fn keep_budget(&mut self, newest: u64) -> Vec<Arc<TopicLog>> {
        let mut vacant = Vec::new();
        let mut work = 0;
        while self.is_over_budget(newest) && work < STEP {
            work += 1;
            let next = self.next_turn(newest).and_then(|turn| self.oldest.remove(&turn));
            let Some(log) = next.and_then(|log| log.upgrade()) else { continue };
            let next = self.next_turn(newest).map_or(u64::MAX, |(turn, _)| turn.get());
            // An event of a topic is also in the logs of its patterns: several may have the same oldest one.
            let is_old = |oldest| turn(&log, oldest) <= next && oldest < newest;
            let mut state = log.lock();
            while self.bytes > self.budget && state.oldest().is_some_and(is_old) && work <= STEP {
                work += 1;
                self.change(&log, &mut state, |state| log.evict_oldest(state));
            }
            self.enter_oldest(&log, &mut state);
            if state.is_vacant() {
                drop(state);
                vacant.push(log);
            }
        }
        vacant
    }

    /// Whether there are events before `newest` that the budget has no room for.
    pub(super) fn is_over_budget(&self, newest: u64) -> bool {
        self.bytes > self.budget && self.next_turn(newest).is_some()
    }

    /// The topic whose oldest event goes next, if it is before `newest`.
    fn next_turn(&self, newest: u64) -> Option<(NonZeroU64, u64)> {
        let first = |from| self.oldest.range((from, 0)..).next().map(|(turn, _)| *turn);
        let is_before = |(turn, _): &(NonZeroU64, u64)| turn.get() & !LAST.get() < newest;
        // The newest event may be all that is left but values.
        [NonZeroU64::MIN, LAST].into_iter().find_map(|from| first(from).filter(is_before))
    }

    /// Removes what has expired: at most some events at once. Returns the topics that have become vacant, and whether
    /// there is more to remove.
    pub(super) fn expire(&mut self, now: u64) -> (Vec<Arc<TopicLog>>, bool) {
        let mut vacant = Vec::new();
        let mut work = 0;
        while let Some(first) = self.expiry.first_entry().filter(|first| first.key().0.get() <= now)
        {
            if work >= STEP {
                return (vacant, true);
            }
            work += 1;
            let Some(log) = first.remove().upgrade() else { continue };
            let mut state = log.lock();
            state.expiry_key = None;
            let evicted = self.evict(&log, &mut state, now);
            work += evicted;
            // A frame may be due again only later, or this loop would never end.
            let earliest = if evicted < STEP { now + 1 } else { now };
            let deadline = log.deadline(&state).map(|at| at.max(earliest));
            self.enter_expiry(&log, &mut state, deadline);
            if state.is_vacant() {
                drop(state);
                vacant.push(log);
            }
        }
        (vacant, false)
    }

    /// Whether a topic holds anything that will expire.
    pub(super) fn has_expiring(&self) -> bool {
        !self.expiry.is_empty()
    }

    #[cfg(test)]
    pub(super) fn index_sizes(&self) -> (usize, usize) {
        (self.oldest.len(), self.expiry.len())
    }
}
