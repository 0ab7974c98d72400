use std::sync::{Arc, Weak};
use std::time::Duration;

use super::replication::Replication;
use super::sequencer::Sequencer;
use super::topics::Topics;
use crate::clock::Clock;
use crate::log::feed::{Coalescing, Feeds};
use crate::log::{Floor, State, TopicLog};
use crate::metrics::Counters;
use crate::registry::{Client, Registry};
use crate::resume::Epoch;
use crate::subscription::history::Watermark;
use crate::subscription::status::ResetReason;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::timers::{Timed, TimerSlot};
use crate::topic::TopicPattern;
use crate::waking::Waiter;

/// What all handles and subscriptions of a hub share.
///
/// Locks are taken in this order: sequencer, topics, one topic's log; or several, by whoever has the
/// sequencer. No lock is held while a task is woken or a client dropped.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) topics: Topics,
    pub(crate) registry: Registry,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) coalescing: Coalescing,
    pub(crate) sequencer: Mutex<Sequencer>,
    /// The newest offset that readers may see. Written under the sequencer *and* the topic's
    /// lock, so whoever sees a frame also sees a watermark that covers it.
    pub(crate) watermark: AtomicU64,
    pub(crate) closed: AtomicBool,
    pub(crate) defaults: Defaults,
    pub(crate) counters: Counters,
    /// For a hub that is the replica of a log.
    pub(crate) replication: Option<Replication>,
    pub(super) sweep: Sweep,
    pub(super) this: Weak<Shared>,
}

/// What subscriptions and events have unless they say otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults {
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) retry: Option<Duration>,
    /// Of an encoded event.
    pub(crate) max_event_bytes: usize,
    /// How far a hub that is ready may lag behind its log.
    pub(crate) max_lag: Duration,
}

/// The regular removal of what has expired, while there is anything to expire.
#[derive(Debug)]
pub(super) struct Sweep {
    slot: TimerSlot,
    scheduled: AtomicBool,
}

impl Sweep {
    /// Milliseconds.
    const INTERVAL: u64 = 1_000;

    pub(super) fn new() -> Self {
        Self { slot: TimerSlot::new(), scheduled: AtomicBool::new(false) }
    }
}

/// Where the hub is, and in which history.
#[derive(Debug, Clone)]
pub(crate) struct Present {
    pub(crate) mark: Watermark,
    pub(crate) epoch: Epoch,
    /// The offset at which this history began.
    pub(crate) began: u64,
}

impl Shared {
    /// The newest offset that may be read.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// The newest offset with its position, and the history that they are of: read one by one, they
    /// could be of two moments.
    pub(crate) fn present(&self) -> Present {
        let sequencer = self.sequencer.lock();
        let mark = Watermark { offset: sequencer.offset, position: sequencer.position };
        // It changes under this lock, too.
        let began = self.replication.as_ref().map_or(0, Replication::history_began);
        Present { mark, epoch: sequencer.epoch.clone(), began }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.sequencer.lock().epoch.clone()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends every stream once it has sent what was published until now.
    pub(crate) fn close(&self) {
        self.sequencer.lock().closed = true;
        self.closed.store(true, Ordering::Release);
        self.registry.wake_all();
    }

    /// Gets topics and families, and counts one more subscriber in each.
    pub(crate) fn subscribe(&self, names: &[TopicPattern]) -> Vec<Arc<TopicLog>> {
        if !names.iter().any(TopicPattern::has_wildcard) {
            return self.topics.subscribe(names, Floor::default());
        }
        // A new family has every event from this place on.
        let sequencer = self.sequencer.lock();
        let (offset, position) = (sequencer.offset, sequencer.position);
        self.topics.subscribe(names, Floor { offset, position, reason: ResetReason::Trimmed })
    }

    /// Ends a subscription's part in its topics, and then in the registry: when that is empty, no
    /// topic counts a subscriber any more.
    pub(crate) fn unsubscribe(&self, client: &Client) {
        self.leave(&client.feed.topics, |state| state.subscribers -= 1);
        self.registry.leave(client);
    }

    /// Ends a replay of topics.
    pub(crate) fn end_replay(&self, topics: &[Arc<TopicLog>]) {
        self.leave(topics, |state| state.replays -= 1);
    }

    /// Takes a reader out of topics.
    fn leave(&self, topics: &[Arc<TopicLog>], take_out: impl Fn(&mut State)) {
        for log in topics {
            let mut state = log.lock();
            take_out(&mut state);
            let is_last = !state.is_read();
            drop(state);
            if is_last {
                self.left_alone(log);
            }
        }
    }

    /// A topic has lost its last reader: nobody reads its live window, and it may vanish.
    fn left_alone(&self, log: &Arc<TopicLog>) {
        let mut sequencer = self.sequencer.lock();
        let mut state = log.lock();
        if !state.is_read() {
            state.left_alone();
            sequencer.evict(log, &mut state, self.clock.now());
        }
        let vacant = state.is_vacant();
        drop(state);
        if vacant {
            self.remove_vacant(&mut sequencer, [log.clone()]);
        }
    }

    pub(super) fn remove_vacant(
        &self,
        sequencer: &mut Sequencer,
        logs: impl IntoIterator<Item = Arc<TopicLog>>,
    ) {
        for log in logs {
            if self.topics.remove_vacant(&log) {
                sequencer.forget(&log);
            }
        }
    }

    /// Whether a reader at an offset has nothing to read although a topic says so: a log is just about to
    /// tell all of them of a hole. It will wake this one when it has.
    pub(crate) fn is_between<W: Waiter + 'static>(&self, offset: u64, waiter: &Arc<W>) -> bool {
        let Some(replication) = self.replication.as_ref().filter(|_| self.watermark() == offset)
        else {
            return false;
        };
        replication.stand_by(waiter);
        self.watermark() == offset
    }

    /// Makes sure that what was just published will expire.
    pub(super) fn keep_sweeping(&self) {
        if self.sweep.scheduled.load(Ordering::Relaxed)
            || self.sweep.scheduled.swap(true, Ordering::AcqRel)
        {
            return;
        }
        if let Some(this) = self.this.upgrade() {
            self.clock.schedule(&this, self.clock.now() + Sweep::INTERVAL);
        }
    }

    /// Returns whether there is anything left that will expire.
    fn sweep(&self, now: u64) -> bool {
        let mut sequencer = self.sequencer.lock();
        let emptied = sequencer.expire(now);
        self.remove_vacant(&mut sequencer, emptied);
        let expiring = sequencer.has_expiring();
        drop(sequencer);
        self.coalescing.cool(now) || expiring
    }
}

impl Timed for Shared {
    fn timer(&self) -> &TimerSlot {
        &self.sweep.slot
    }

    fn fire(&self, now: u64) -> Option<u64> {
        // Taken back before looking: an event that is published meanwhile schedules anew.
        self.sweep.scheduled.store(false, Ordering::Release);
        let again = self.sweep(now) && !self.sweep.scheduled.swap(true, Ordering::AcqRel);
        again.then(|| now + Sweep::INTERVAL)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.clock.cancel(&self.sweep.slot);
        if let Some(replication) = &self.replication {
            self.clock.cancel(replication.timer());
        }
    }
}
