use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use slab::Slab;

use crate::clock::Clock;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, thread};

/// Most due times are rounded up to this many milliseconds, so that thousands of heartbeats share a wake-up of the timer
/// thread.
pub(crate) const QUANTUM: u64 = 50;

/// In so many milliseconds, what has panicked is tried again.
pub(crate) const AFTER_PANIC: u64 = 1_000;

const NOT_SCHEDULED: u64 = 0;
const CANCELLED: u64 = u64::MAX;

/// Something with a due time in the shared timers.
pub(crate) trait Timed: Send + Sync {
    /// Where the timers keep the target's due time.
    fn timer(&self) -> &TimerSlot;

    /// Called at the due time or later, on the timer thread, with no lock held. Returns the next due time, in
    /// milliseconds of the clock.
    fn fire(&self, now: u64) -> Option<u64>;
}

/// A target's entry in the timers. Read and written under their lock only.
#[derive(Debug)]
pub(crate) struct TimerSlot {
    due: AtomicU64,
    /// Its index among the targets with the same due time.
    index: AtomicUsize,
}

impl TimerSlot {
    pub(crate) fn new() -> Self {
        Self { due: AtomicU64::new(NOT_SCHEDULED), index: AtomicUsize::new(0) }
    }
}

/// The due times of all streams and hubs of one clock, in place of a timer for each. Since they are rounded, there are few
/// different ones, each with a list of targets: 16 bytes a target.
pub(crate) struct Timers {
    schedule: Mutex<Schedule>,
    earlier: Condvar,
}

struct Schedule {
    due: BTreeMap<u64, Slab<Weak<dyn Timed>>>,
    /// The last due time that has fired. No target is ever listed for it again, or for an earlier one: the slots of its
    /// targets still name their indices in that list.
    fired: u64,
    running: bool,
}

impl Schedule {
    /// Removes a target, if it is listed.
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
            schedule: Mutex::new(Schedule { due: BTreeMap::new(), fired: 0, running: false }),
            earlier: Condvar::new(),
        }
    }

    /// `at` is rounded up to a multiple of `quantum`.
    pub(crate) fn insert(&self, slot: &TimerSlot, target: Weak<dyn Timed>, at: u64, quantum: u64) {
        let mut schedule = self.schedule.lock();
        let at = at.clamp(schedule.fired + 1, CANCELLED - quantum).next_multiple_of(quantum);
        // A cancelled target stays cancelled, even if a `fire` that ran meanwhile returns a next time.
        if slot.due.load(Ordering::Relaxed) == CANCELLED {
            return;
        }
        let removed = schedule.remove(slot);
        slot.due.store(at, Ordering::Relaxed);
        let targets = schedule.due.entry(at).or_default();
        let index = targets.insert(target);
        let is_new = targets.len() == 1;
        slot.index.store(index, Ordering::Relaxed);
        let is_first =
            is_new && schedule.due.first_key_value().map(|(first, _)| *first) == Some(at);
        drop(schedule);
        // Outside the lock: it may be the last reference.
        drop(removed);
        if is_first {
            self.earlier.notify_one();
        }
    }

    pub(crate) fn cancel(&self, slot: &TimerSlot) {
        let mut schedule = self.schedule.lock();
        let removed = schedule.remove(slot);
        slot.due.store(CANCELLED, Ordering::Relaxed);
        drop(schedule);
        // Outside the lock: it may be the last reference.
        drop(removed);
    }

    /// Fires everything that is due at `now`.
    pub(crate) fn fire_due(&self, now: u64) {
        let mut due = Vec::new();
        {
            let mut schedule = self.schedule.lock();
            while let Some(first) = schedule.due.first_entry() {
                if *first.key() > now {
                    break;
                }
                let (at, targets) = first.remove_entry();
                due.push(targets);
                schedule.fired = at;
            }
        }
        // No lock is held: waking a task may drop its stream, which cancels its timer.
        for (_, target) in due.into_iter().flatten() {
            let Some(target) = target.upgrade() else {
                continue;
            };
            // Wakers and subscribers of `tracing` are not the hub's: one that panics must not end the thread, nor keep the
            // others from firing.
            let fired = catch_unwind(AssertUnwindSafe(|| target.fire(now)));
            if let Some(next) = fired.unwrap_or(Some(now.saturating_add(AFTER_PANIC))) {
                self.insert(target.timer(), Arc::downgrade(&target), next.max(now + 1), QUANTUM);
            }
            // It may be the last reference.
            drop_safely(target);
        }
    }

    /// Starts the timer thread, unless it runs.
    pub(crate) fn keep_running(&self, clock: &Clock) {
        let mut schedule = self.schedule.lock();
        if schedule.running {
            return;
        }
        let clock = clock.clone();
        // If the thread cannot be started, the next target tries again.
        schedule.running = thread::Builder::new()
            .name("tidings-timer".into())
            .spawn(move || clock.timers().run(&clock))
            .is_ok();
    }

    fn run(&self, clock: &Clock) {
        loop {
            let mut schedule = self.schedule.lock();
            let now = clock.now();
            match schedule.due.first_key_value().map(|(at, _)| *at) {
                Some(at) if at <= now => {
                    drop(schedule);
                    self.fire_due(now);
                }
                Some(at) => {
                    let wait = Duration::from_millis(at - now);
                    self.earlier.wait_for(&mut schedule, wait);
                }
                None => self.earlier.wait(&mut schedule),
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.schedule.lock().due.values().map(Slab::len).sum()
    }
}

/// Drops what may be the application's, where a panic must not end the thread or what it does.
pub(crate) fn drop_safely<T>(what: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(what)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::panic::resume_unwind;
    use std::sync::atomic::AtomicUsize;

    struct Bell {
        slot: TimerSlot,
        rung: AtomicUsize,
        panics: bool,
    }

    impl Timed for Bell {
        fn timer(&self) -> &TimerSlot {
            &self.slot
        }

        fn fire(&self, _: u64) -> Option<u64> {
            self.rung.fetch_add(1, Ordering::Relaxed);
            if self.panics {
                resume_unwind(Box::new("on purpose"));
            }
            None
        }
    }

    impl Bell {
        fn rung(&self) -> usize {
            self.rung.load(Ordering::Relaxed)
        }
    }

    fn bell() -> Arc<Bell> {
        bell_that(false)
    }

    fn bell_that(panics: bool) -> Arc<Bell> {
        Arc::new(Bell { slot: TimerSlot::new(), rung: AtomicUsize::new(0), panics })
    }

    #[track_caller]
    fn rings_in_time(bell: &Bell) {
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        while bell.rung() == 0 {
            assert!(std::time::Instant::now() < limit, "the timer never fired");
            std::thread::yield_now();
        }
    }

    #[test]
    fn cancelled_and_dropped_targets_leave_nothing() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        let bells: Vec<_> = (0..100).map(|_| bell()).collect();
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
        let bell = bell();
        clock.schedule(&bell, clock.now() + 1);
        rings_in_time(&bell);
    }

    #[test]
    fn a_target_that_panics_keeps_no_other_from_firing_and_fires_again() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        let bells = [false, true, false].map(bell_that);
        for bell in &bells {
            clock.schedule(bell, clock.now() + 100);
        }
        let rung = || bells.each_ref().map(|bell| bell.rung());
        manual.advance(Duration::from_millis(150));
        assert_eq!(rung(), [1, 1, 1]);
        manual.advance(Duration::from_millis(AFTER_PANIC + QUANTUM));
        assert_eq!(rung(), [1, 2, 1]);
    }

    #[test]
    fn the_thread_goes_on_after_a_target_that_panics() {
        let clock = Clock::system();
        for bell in [true, false].map(bell_that) {
            clock.schedule(&bell, clock.now() + 1);
            rings_in_time(&bell);
        }
    }
}
