use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use slab::Slab;

use crate::clock::Clock;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, thread};

/// Dates are rounded up to this many milliseconds, so that thousands of heartbeats share a
/// wake-up of the timer thread.
const QUANTUM: u64 = 50;

const NOT_SCHEDULED: u64 = 0;
const CANCELLED: u64 = u64::MAX;

/// Something with a date in the shared timers.
pub(crate) trait Timed: Send + Sync {
    /// Where the timers note the target's date.
    fn timer(&self) -> &TimerSlot;

    /// Called at or after the date; returns the next one, in milliseconds of the clock.
    ///
    /// Runs on the timer thread, with no lock held.
    fn fire(&self, now: u64) -> Option<u64>;
}

/// A target's place in the timers. Read and written under their lock only.
#[derive(Debug)]
pub(crate) struct TimerSlot {
    due: AtomicU64,
    /// Where it is among those with the same date.
    index: AtomicUsize,
}

impl TimerSlot {
    pub(crate) fn new() -> Self {
        Self { due: AtomicU64::new(NOT_SCHEDULED), index: AtomicUsize::new(0) }
    }
}

/// The dates of all streams and hubs of one clock, instead of a timer each. Dates are few, since
/// they are rounded, and those who share one are in a list: 16 bytes each.
pub(crate) struct Timers {
    state: Mutex<State>,
    earlier: Condvar,
}

struct State {
    due: BTreeMap<u64, Slab<Weak<dyn Timed>>>,
    /// The last date that was fired. There is no list for it, or for an earlier one, ever again:
    /// the slots of its targets still name their places in it.
    fired: u64,
    running: bool,
}

impl State {
    /// Takes a target out, if it is there.
    fn remove(&mut self, slot: &TimerSlot) -> Option<Weak<dyn Timed>> {
        let at = slot.due.load(Ordering::Relaxed);
        let targets = self.due.get_mut(&at)?;
        let target = targets.try_remove(slot.index.load(Ordering::Relaxed));
        if targets.is_empty() {
            self.due.remove(&at);
        }
        target
    }
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State { due: BTreeMap::new(), fired: 0, running: false }),
            earlier: Condvar::new(),
        }
    }

    pub(crate) fn insert(&self, slot: &TimerSlot, target: Weak<dyn Timed>, at: u64) {
        let mut state = self.state.lock();
        let at = at.clamp(state.fired + 1, CANCELLED - QUANTUM).next_multiple_of(QUANTUM);
        // A cancelled target stays so: its date may be set by a `fire` that ran meanwhile.
        if slot.due.load(Ordering::Relaxed) == CANCELLED {
            return;
        }
        let removed = state.remove(slot);
        slot.due.store(at, Ordering::Relaxed);
        let targets = state.due.entry(at).or_default();
        let index = targets.insert(target);
        let is_new = targets.len() == 1;
        slot.index.store(index, Ordering::Relaxed);
        let is_first = is_new && state.due.first_key_value().map(|(first, _)| *first) == Some(at);
        drop(state);
        // Outside the lock: it may be the last reference.
        drop(removed);
        if is_first {
            self.earlier.notify_one();
        }
    }

    pub(crate) fn cancel(&self, slot: &TimerSlot) {
        let mut state = self.state.lock();
        let removed = state.remove(slot);
        slot.due.store(CANCELLED, Ordering::Relaxed);
        drop(state);
        // Outside the lock: it may be the last reference.
        drop(removed);
    }

    /// Fires everything with a date up to `now`.
    pub(crate) fn fire_due(&self, now: u64) {
        let mut due = Vec::new();
        {
            let mut state = self.state.lock();
            while let Some(first) = state.due.first_entry() {
                if *first.key() > now {
                    break;
                }
                let (at, targets) = first.remove_entry();
                due.push(targets);
                state.fired = at;
            }
        }
        // The lock is free here: waking a task may drop its stream, which cancels a date.
        for (_, target) in due.into_iter().flatten() {
            let Some(target) = target.upgrade() else {
                continue;
            };
            if let Some(next) = target.fire(now) {
                self.insert(target.timer(), Arc::downgrade(&target), next.max(now + 1));
            }
        }
    }

    /// Starts the timer thread, unless it runs.
    pub(crate) fn keep_running(&self, clock: &Clock) {
        let mut state = self.state.lock();
        if state.running {
            return;
        }
        let clock = clock.clone();
        // Without the thread there are no heartbeats; with the next date it is tried again.
        state.running = thread::Builder::new()
            .name("tidings-timer".into())
            .spawn(move || clock.timers().run(&clock))
            .is_ok();
    }

    fn run(&self, clock: &Clock) {
        loop {
            let mut state = self.state.lock();
            let now = clock.now();
            match state.due.first_key_value().map(|(at, _)| *at) {
                Some(at) if at <= now => {
                    drop(state);
                    self.fire_due(now);
                }
                Some(at) => {
                    let wait = Duration::from_millis(at - now);
                    self.earlier.wait_for(&mut state, wait);
                }
                None => self.earlier.wait(&mut state),
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state.lock().due.values().map(Slab::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::sync::atomic::AtomicUsize;

    struct Bell {
        slot: TimerSlot,
        rung: AtomicUsize,
        every: u64,
    }

    impl Timed for Bell {
        fn timer(&self) -> &TimerSlot {
            &self.slot
        }

        fn fire(&self, now: u64) -> Option<u64> {
            self.rung.fetch_add(1, Ordering::Relaxed);
            (self.every > 0).then(|| now + self.every)
        }
    }

    fn bell(every: u64) -> Arc<Bell> {
        Arc::new(Bell { slot: TimerSlot::new(), rung: AtomicUsize::new(0), every })
    }

    #[test]
    fn a_date_is_kept_and_renewed() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        let bell = bell(1_000);
        clock.schedule(&bell, clock.now() + 1_000);
        manual.advance(Duration::from_millis(900));
        assert_eq!(bell.rung.load(Ordering::Relaxed), 0);
        manual.advance(Duration::from_millis(200));
        assert_eq!(bell.rung.load(Ordering::Relaxed), 1);
        manual.advance(Duration::from_millis(1_100));
        assert_eq!(bell.rung.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn cancelled_and_dropped_targets_leave_nothing() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        let bells: Vec<_> = (0..100).map(|_| bell(1_000)).collect();
        for bell in &bells {
            clock.schedule(bell, clock.now() + 1_000);
        }
        for bell in &bells[..50] {
            clock.cancel(&bell.slot);
        }
        assert_eq!(clock.timers().len(), 50);
        drop(bells);
        manual.advance(Duration::from_secs(2));
        assert_eq!(clock.timers().len(), 0);
    }

    #[test]
    fn the_system_clock_fires_from_its_thread() {
        let clock = Clock::system();
        let bell = bell(0);
        clock.schedule(&bell, clock.now() + 1);
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while bell.rung.load(Ordering::Relaxed) == 0 {
            assert!(std::time::Instant::now() < limit, "the timer never fired");
            std::thread::yield_now();
        }
    }
}
