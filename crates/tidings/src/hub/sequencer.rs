use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::keys::Keys;
use crate::backend::IdempotencyKey;
use crate::log::{Floor, State, TopicLog};
use crate::resume::Epoch;
use crate::subscription::status::ResetReason;
use crate::waking::Waiters;

/// Where the order of a hub's events is made. One lock: taking a number, appending the event to
/// its topic and publishing the watermark are one step, so no reader sees 7 before 6.
///
/// It also keeps the hub's byte budget, and finds the topics whose events expire. Both indices
/// hold at most one entry a topic, by the oldest event it *had* when the entry was made; entries
/// are brought up to date when their turn comes, not at every event.
#[derive(Debug)]
pub(crate) struct Sequencer {
    /// Names the history that the positions belong to.
    pub(crate) epoch: Epoch,
    /// The last offset given out.
    pub(crate) offset: u64,
    /// The last position given out, or reached in the hub's log.
    pub(crate) position: u64,
    /// Bytes of memory that all topics hold.
    pub(crate) cost: usize,
    pub(crate) budget: usize,
    pub(crate) closed: bool,
    /// Of a hub in memory.
    pub(crate) keys: Keys,
    /// By oldest offset, then topic id.
    oldest: BTreeMap<(u64, u64), Weak<TopicLog>>,
    /// By date in milliseconds, then topic id.
    expiry: BTreeMap<(u64, u64), Weak<TopicLog>>,
}

/// What an event is to be, as it comes in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It gets the next position, unless there was an event with its key.
    Durable(Option<IdempotencyKey>),
    /// It has a position, from the hub's log.
    Placed {
        position: u64,
        /// Milliseconds of the hub's clock.
        at: u64,
    },
    Ephemeral,
}

impl Sequencer {
    pub(crate) fn new(epoch: Epoch, budget: usize, keys: Keys) -> Self {
        Self {
            epoch,
            offset: 0,
            position: 0,
            cost: 0,
            budget,
            closed: false,
            keys,
            oldest: BTreeMap::new(),
            expiry: BTreeMap::new(),
        }
    }

    /// The position of an event that is here already.
    pub(super) fn known(&mut self, kind: &Kind, now: u64) -> Option<u64> {
        match kind {
            Kind::Durable(Some(key)) => self.keys.get(key, now),
            Kind::Placed { position, .. } => Some(*position).filter(|at| *at <= self.position),
            _ => None,
        }
    }

    /// Gives an event the next offset, and a position if it is to have one. Returns that and the event's
    /// time.
    pub(super) fn number(&mut self, kind: &Kind, now: u64) -> (Option<u64>, u64) {
        self.offset += 1;
        match kind {
            Kind::Durable(key) => {
                self.position += 1;
                if let Some(key) = key {
                    self.keys.insert(key.clone(), self.position, now);
                }
                (Some(self.position), now)
            }
            Kind::Placed { position, at } => {
                self.position = *position;
                (Some(*position), now.min(*at))
            }
            Kind::Ephemeral => (None, now),
        }
    }

    /// Counts a frame that was appended to a topic, removes what had to make room for it, and
    /// enters the topic into the indices.
    pub(crate) fn appended(
        &mut self,
        log: &Arc<TopicLog>,
        state: &mut State,
        cost: usize,
        now: u64,
    ) {
        self.cost += cost;
        self.evict(log, state, now);
        if state.oldest_key.is_none() {
            state.oldest_key = state.oldest();
            if let Some(offset) = state.oldest_key {
                self.oldest.insert((offset, log.id), Arc::downgrade(log));
            }
        }
        // A date may come closer: an event that is not retained any more stays for the live
        // window only.
        let deadline = log.deadline(state);
        if deadline.is_some_and(|at| state.expiry_key.is_none_or(|key| at < key)) {
            self.enter_expiry(log, state);
        }
    }

    fn enter_expiry(&mut self, log: &Arc<TopicLog>, state: &mut State) {
        if let Some(key) = state.expiry_key {
            self.expiry.remove(&(key, log.id));
        }
        state.expiry_key = log.deadline(state);
        if let Some(at) = state.expiry_key {
            self.expiry.insert((at, log.id), Arc::downgrade(log));
        }
    }

    /// Removes what a topic need not keep.
    pub(crate) fn evict(&mut self, log: &TopicLog, state: &mut State, now: u64) {
        self.cost -= log.evict(state, now);
    }

    /// Empties a topic: what it had is void, or not all that there is. Whoever stands before the floor
    /// will notice; returned is who is to be woken for that.
    pub(crate) fn empty(&mut self, log: &TopicLog, floor: Floor) -> Waiters {
        let mut state = log.lock();
        self.cost -= state.cost();
        self.unlist(log, &mut state);
        log.empty(&mut state, floor)
    }

    /// Takes a topic that has vanished out of the indices.
    pub(crate) fn forget(&mut self, log: &TopicLog) {
        self.unlist(log, &mut log.lock());
    }

    fn unlist(&mut self, log: &TopicLog, state: &mut State) {
        if let Some(key) = state.oldest_key.take() {
            self.oldest.remove(&(key, log.id));
        }
        if let Some(key) = state.expiry_key.take() {
            self.expiry.remove(&(key, log.id));
        }
    }

    /// Removes the hub's oldest events until the budget holds, or only the newest is left: its
    /// readers are just waking up. Returns the topics that may have become vacant.
    pub(crate) fn keep_budget(&mut self) -> Vec<Arc<TopicLog>> {
        let mut emptied = Vec::new();
        while self.cost > self.budget {
            let Some(first) = self.oldest.first_entry().filter(|e| e.key().0 < self.offset) else {
                break;
            };
            let ((_, id), weak) = first.remove_entry();
            let Some(log) = weak.upgrade() else { continue };
            let next = self.oldest.first_key_value().map_or(u64::MAX, |((offset, _), _)| *offset);
            // A topic's event is its families' as well: several may have the same one as their oldest.
            let is_old = |oldest| oldest <= next && oldest < self.offset;
            let mut state = log.lock();
            while self.cost > self.budget && state.oldest().is_some_and(is_old) {
                self.cost -= match (state.durable.front(), state.ephemeral.front()) {
                    (Some(durable), Some(ephemeral)) if ephemeral.offset < durable.offset => {
                        state.ephemeral.pop().map_or(0, |frame| frame.cost())
                    }
                    (Some(_), _) => state.evict_front(ResetReason::Trimmed),
                    (None, _) => state.ephemeral.pop().map_or(0, |frame| frame.cost()),
                };
            }
            state.oldest_key = state.oldest();
            if let Some(offset) = state.oldest_key {
                self.oldest.insert((offset, id), Arc::downgrade(&log));
            }
            if state.is_vacant() {
                drop(state);
                emptied.push(log);
            }
        }
        emptied
    }

    /// Removes what has expired. Returns the topics that may have become vacant.
    pub(crate) fn expire(&mut self, now: u64) -> Vec<Arc<TopicLog>> {
        let mut emptied = Vec::new();
        while let Some(first) = self.expiry.first_entry() {
            if first.key().0 > now {
                break;
            }
            let Some(log) = first.remove().upgrade() else {
                continue;
            };
            let mut state = log.lock();
            self.evict(&log, &mut state, now);
            self.enter_expiry(&log, &mut state);
            // A frame may be due again only later, or the next turn would never end.
            if let Some(key) = state.expiry_key.filter(|key| *key <= now) {
                if let Some(weak) = self.expiry.remove(&(key, log.id)) {
                    state.expiry_key = Some(now + 1);
                    self.expiry.insert((now + 1, log.id), weak);
                }
            }
            if state.is_vacant() {
                drop(state);
                emptied.push(log);
            }
        }
        emptied
    }

    /// Whether a topic holds anything that will expire.
    pub(crate) fn has_expiring(&self) -> bool {
        !self.expiry.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn index_sizes(&self) -> (usize, usize) {
        (self.oldest.len(), self.expiry.len())
    }
}
