use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::timers::{Timed, TimerSlot};

/// How long a stream may be idle before it sends a heartbeat, unless set: 15 seconds.
///
/// Below the idle time-outs that proxies and load balancers come with (60 s for nginx and AWS's
/// ALB, 100 s or more for Cloudflare), also when one heartbeat is late.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);

/// The heartbeat: an empty comment, which clients ignore (HTML, section 9.2.6).
pub(crate) const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// What keeps one stream alive: its waker, and when it last wrote.
#[derive(Debug)]
pub(crate) struct Pulse {
    /// A lock, not an atomic waker: one can ask whether it is still there, which a stream that is
    /// polled in vain has to know.
    waker: Mutex<Option<Waker>>,
    /// A heartbeat is to be sent.
    due: AtomicBool,
    /// The stream is to end.
    stopped: AtomicBool,
    last_write: AtomicU64,
    /// Milliseconds; 0 for no heartbeats.
    interval: u64,
    slot: TimerSlot,
    clock: Clock,
}

impl Pulse {
    pub(crate) fn new(clock: Clock, interval: Option<Duration>) -> Self {
        Self {
            waker: Mutex::new(None),
            due: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            last_write: AtomicU64::new(clock.now()),
            // A quarter of the range, so that sums with the clock cannot overflow.
            interval: interval.map_or(0, |interval| {
                u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).clamp(1, u64::MAX / 4)
            }),
            slot: TimerSlot::new(),
            clock,
        }
    }

    /// Enters the stream into the shared timers; `target` is the pulse itself or its owner.
    pub(crate) fn start<T: Timed + 'static>(&self, target: &Arc<T>) {
        if self.interval > 0 {
            self.clock.schedule(target, self.clock.now() + self.interval);
        }
    }

    /// Forgets the stream's date.
    pub(crate) fn leave(&self) {
        if self.interval > 0 {
            self.clock.cancel(&self.slot);
        }
    }

    /// Has the stream end.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.wake();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn register(&self, waker: &Waker) {
        let mut registered = self.waker.lock();
        if !registered.as_ref().is_some_and(|registered| registered.will_wake(waker)) {
            let before = registered.replace(waker.clone());
            drop(registered);
            // Outside the lock: it may be the last reference to a task.
            drop(before);
        }
    }

    /// Whether this waker is registered, and was not woken since.
    #[cfg(feature = "http-body")]
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
    pub(crate) fn wrote(&self) {
        if self.interval > 0 {
            self.wrote_at(self.clock.now());
        }
    }

    /// The same for what was read from a log, where the clock was read as it was published.
    pub(crate) fn wrote_published(&self) {
        if self.interval > 0 {
            self.wrote_at(self.clock.recent());
        }
    }

    /// The same, for whoever has read the clock already.
    pub(crate) fn wrote_at(&self, now: u64) {
        self.last_write.store(now, Ordering::Relaxed);
        self.due.store(false, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Ordering::Acquire)
    }

    /// The heartbeat, if one is to be sent.
    pub(crate) fn beat(&self) -> Option<Bytes> {
        // A load first: this runs at every wake-up, and a swap takes the cache line for writing.
        if self.is_due() {
            self.wrote();
            return Some(HEARTBEAT);
        }
        None
    }
}

impl Timed for Pulse {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, now: u64) -> Option<u64> {
        let due = self.last_write.load(Ordering::Relaxed).saturating_add(self.interval);
        if now < due {
            return Some(due);
        }
        self.due.store(true, Ordering::Release);
        self.wake();
        Some(now + self.interval)
    }
}
