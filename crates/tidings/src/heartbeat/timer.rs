use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::clock::{Clock, millis};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use crate::timers::{Timed, TimerSlot};
use crate::waking::{Turn, Waiter, Waking};

/// What a stream can be called for, besides events and heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Call {
    /// It is closed.
    Close = 1,
    /// It is to end, with its last event.
    End = 2,
    /// The application is to be asked whether the client may stay.
    Check = 4,
    /// It is to change its topics.
    Topics = 8,
    /// It has ended.
    Gone = 16,
    /// It was to end when it has sent the rest, and is to end at once.
    EndSooner = 32,
}

/// What a stream was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calls(u8);

impl Calls {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn has(self, call: Call) -> bool {
        self.0 & call as u8 != 0
    }
}

/// Wakes one stream: when a heartbeat is due, when there is something to read, and when it is called.
#[derive(Debug)]
pub(crate) struct HeartbeatTimer {
    /// In a lock, not in an atomic waker: a stream that is polled without need asks whether it is still there.
    waker: Mutex<Option<Waker>>,
    is_due: AtomicBool,
    calls: AtomicU8,
    pub(crate) turn: Turn,
    last_write: AtomicU64,
    /// Milliseconds; 0 for no heartbeats.
    interval: AtomicU64,
    slot: TimerSlot,
    clock: Clock,
}

impl HeartbeatTimer {
    pub(crate) fn new(clock: Clock, interval: Option<Duration>) -> Self {
        Self {
            waker: Mutex::new(None),
            is_due: AtomicBool::new(false),
            calls: AtomicU8::new(0),
            turn: Turn::default(),
            last_write: AtomicU64::new(clock.now()),
            interval: AtomicU64::new(in_millis(interval)),
            slot: TimerSlot::new(),
            clock,
        }
    }

    /// Enters the stream into the shared timers; `target` is the timer itself or its owner.
    pub(crate) fn start<T: Timed + 'static>(&self, target: &Arc<T>) {
        let interval = self.interval();
        if interval > 0 {
            self.clock.schedule(target, self.clock.now() + interval);
        }
    }

    /// Sets another interval, and starts again.
    pub(crate) fn restart<T: Timed + 'static>(&self, interval: Option<Duration>, target: &Arc<T>) {
        self.interval.store(in_millis(interval), Ordering::Relaxed);
        self.on_write();
        self.start(target);
    }

    /// The stream is dropped: it is not woken any more.
    pub(crate) fn stop(&self) {
        self.clock.cancel(&self.slot);
        let waker = self.waker.lock().take();
        drop(waker);
        self.turn.end();
    }

    #[inline]
    fn interval(&self) -> u64 {
        self.interval.load(Ordering::Relaxed)
    }

    /// Makes the stream look for what it is called for.
    pub(crate) fn call(&self, call: Call) {
        self.note(call);
        self.wake();
    }

    /// The same for a caller that wakes it later.
    pub(crate) fn note(&self, call: Call) {
        self.calls.fetch_or(call as u8, Ordering::AcqRel);
    }

    /// Notes one call, if another was not noted before. Returns whether it was not.
    pub(crate) fn note_unless(&self, call: Call, other: Call) -> bool {
        let note = |calls| (!Calls(calls).has(other)).then_some(calls | call as u8);
        self.calls.fetch_update(Ordering::AcqRel, Ordering::Acquire, note).is_ok()
    }

    /// The stream has done what it was called for.
    pub(crate) fn clear(&self, call: Call) {
        self.calls.fetch_and(!(call as u8), Ordering::AcqRel);
    }

    #[inline]
    pub(crate) fn calls(&self) -> Calls {
        Calls(self.calls.load(Ordering::Acquire))
    }

    pub(crate) fn register(&self, waker: &Waker) {
        let is_same = |registered: &Waker| registered.will_wake(waker);
        if self.waker.lock().as_ref().is_some_and(is_same) {
            return;
        }
        // Cloned and dropped outside the lock: a waker is an executor's code, and may hold the last reference to a
        // task.
        let waker = waker.clone();
        let before = self.waker.lock().replace(waker);
        drop(before);
    }

    /// Whether this waker is registered, and was not woken since.
    #[inline]
    pub(crate) fn is_registered(&self, waker: &Waker) -> bool {
        self.waker.lock().as_ref().is_some_and(|registered| registered.will_wake(waker))
    }

    pub(crate) fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Something was written: the stream is not idle.
    pub(crate) fn on_write(&self) {
        if self.interval() > 0 {
            self.on_write_at(self.clock.now());
        }
    }

    /// The same for an event: the clock was read when it was published.
    pub(crate) fn on_write_event(&self) {
        if self.interval() > 0 {
            self.on_write_at(self.clock.recent());
        }
    }

    /// The same, for a caller that has read the clock.
    pub(crate) fn on_write_at(&self, now: u64) {
        self.last_write.store(now, Ordering::Relaxed);
        self.is_due.store(false, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Acquire)
    }

    /// Whether a heartbeat is due, which the stream then writes.
    pub(crate) fn take(&self) -> bool {
        // No swap: this runs at every wake-up, and a swap takes the cache line for writing.
        let is_due = self.is_due();
        if is_due {
            self.on_write();
        }
        is_due
    }
}

/// 0 for no heartbeats.
fn in_millis(interval: Option<Duration>) -> u64 {
    // A quarter of the range, so that sums with the clock cannot overflow.
    interval.map_or(0, |interval| millis(interval).clamp(1, u64::MAX / 4))
}

impl Waiter for HeartbeatTimer {
    fn wake(&self) {
        self.wake();
    }

    fn turn(&self) -> Option<&Turn> {
        Some(&self.turn)
    }

    fn wake_in_turn(&self, waking: &Waking) {
        let mut registered = self.waker.lock();
        let waker = registered.take();
        // One without a waker runs without being asked.
        if waker.is_some() {
            self.turn.begin(waking);
        }
        drop(registered);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Timed for HeartbeatTimer {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, now: u64) -> Option<u64> {
        let interval = self.interval();
        if interval == 0 {
            return None;
        }
        let due = self.last_write.load(Ordering::Relaxed).saturating_add(interval);
        if now < due {
            return Some(due);
        }
        self.is_due.store(true, Ordering::Release);
        self.wake();
        Some(now + interval)
    }
}
