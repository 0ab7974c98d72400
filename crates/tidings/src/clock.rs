//! The source of time of a hub: the machine's, or a test's own.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::timers::{QUANTUM, Timed, TimerSlot, Timers};

/// A hub's source of time, for all that streams and the hub wait for, and for the age of events: heartbeats, retention, expiry,
/// checks, drains, rates, intervals. Times of day (`expires_at`, `connected_at`, `since`) are the wall clock's.
///
/// [`Clock::system`] is the default. Tests that must not wait use a `ManualClock`, which the
/// feature `test-util` has.
#[derive(Clone)]
pub struct Clock(Arc<ClockInner>);

struct ClockInner {
    time: Time,
    /// The newest time that was read.
    recent: AtomicU64,
    timers: Timers,
}

enum Time {
    /// Milliseconds are counted from this instant.
    System(Instant),
    #[cfg(any(test, feature = "test-util"))]
    Manual(AtomicU64),
}

impl Clock {
    /// The machine's monotonic clock.
    ///
    /// All hubs and streams of the process share one timer thread (`tidings-timer`), which starts
    /// with the first thing that will be due, and sleeps while nothing is. A thread, not a
    /// task: streams may live on several runtimes, and each of those may end before the others.
    pub fn system() -> Self {
        static SYSTEM: OnceLock<Clock> = OnceLock::new();
        SYSTEM
            .get_or_init(|| {
                unix_millis();
                Self::new(Time::System(Instant::now()))
            })
            .clone()
    }

    fn new(time: Time) -> Self {
        Self(Arc::new(ClockInner { time, recent: AtomicU64::new(1), timers: Timers::new() }))
    }

    /// Milliseconds since an arbitrary instant; never 0, which the callers use for "never".
    pub(crate) fn now(&self) -> u64 {
        match &self.0.time {
            Time::System(origin) => {
                let elapsed = origin.elapsed();
                // Not `as_millis`, which is a division of 128 bits.
                let now = 1 + elapsed.as_secs() * 1_000 + u64::from(elapsed.subsec_millis());
                self.0.recent.store(now, Ordering::Relaxed);
                now
            }
            #[cfg(any(test, feature = "test-util"))]
            Time::Manual(now) => now.load(Ordering::Acquire),
        }
    }

    /// The time at which the clock was last read, which every publication does. Good enough to record that a stream is not
    /// idle, once for each stream and event: reading the clock costs as much as the rest of the delivery.
    pub(crate) fn recent(&self) -> u64 {
        match &self.0.time {
            Time::System(_) => self.0.recent.load(Ordering::Relaxed),
            #[cfg(any(test, feature = "test-util"))]
            Time::Manual(now) => now.load(Ordering::Acquire),
        }
    }

    /// Fires `target` at `at` milliseconds or a little later, in place of its earlier due time.
    pub(crate) fn schedule<T: Timed + 'static>(&self, target: &Arc<T>, at: u64) {
        self.schedule_within(target, at, QUANTUM);
    }

    /// The same, to the millisecond: for the few targets of which thousands of streams wait for each.
    pub(crate) fn schedule_exactly<T: Timed + 'static>(&self, target: &Arc<T>, at: u64) {
        self.schedule_within(target, at, 1);
    }

    fn schedule_within<T: Timed + 'static>(&self, target: &Arc<T>, at: u64, quantum: u64) {
        let weak = Arc::downgrade(target);
        self.0.timers.insert(target.timer(), weak, at, quantum);
        match self.0.time {
            Time::System(_) => {
                self.0.timers.keep_running(self);
            }
            #[cfg(any(test, feature = "test-util"))]
            Time::Manual(_) => {}
        }
    }

    /// Removes a target for good.
    pub(crate) fn cancel(&self, slot: &TimerSlot) {
        self.0.timers.cancel(slot);
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.0.timers
    }
}

/// Milliseconds since the Unix epoch, to compare with times that others have written. By the wall clock; but one that is
/// set ahead while the process runs makes nothing older, or a hub would forget at once what its log brings.
pub(crate) fn unix_millis() -> u64 {
    static BEGAN: OnceLock<(Instant, u64)> = OnceLock::new();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
    let (began, at) = *BEGAN.get_or_init(|| (Instant::now(), wall));
    wall.min(at.saturating_add(millis(began.elapsed())))
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.0.time {
            Time::System(_) => "system",
            #[cfg(any(test, feature = "test-util"))]
            Time::Manual(_) => "manual",
        };
        f.debug_tuple("Clock").field(&kind).finish()
    }
}

/// A clock that stands still until [`advance`](Self::advance) is called: for tests.
///
/// ```
/// use std::time::Duration;
/// use tidings::{Event, History, Hub, clock::ManualClock};
///
/// let clock = ManualClock::new();
/// let hub = Hub::builder().clock(&clock).build();
/// hub.publish("news", Event::new("old")).wait()?;
///
/// clock.advance(Duration::from_secs(601)); // heartbeats fall due, old events expire
/// assert!(hub.history("news", History::All).wait()?.events.is_empty());
/// # Ok::<(), tidings::error::Error>(())
/// ```
///
/// With the feature `test-util`.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug, Clone)]
pub struct ManualClock(Clock);

#[cfg(any(test, feature = "test-util"))]
impl ManualClock {
    /// A clock at its beginning.
    pub fn new() -> Self {
        Self(Clock::new(Time::Manual(AtomicU64::new(1))))
    }

    /// The clock of a hub or a stream. They take a `&ManualClock` for it, too.
    pub fn clock(&self) -> Clock {
        self.0.clone()
    }

    /// Advances by whole milliseconds, and does everything that is due before it returns.
    pub fn advance(&self, by: Duration) {
        if let Time::Manual(now) = &self.0.0.time {
            // It stops at half the range, so that sums with it cannot overflow.
            let end = |now: u64| Some(now.saturating_add(millis(by)).min(u64::MAX / 2));
            let _ = now.fetch_update(Ordering::AcqRel, Ordering::Acquire, end);
        }
        self.0.0.timers.fire_due(self.0.now());
    }
}

#[cfg(any(test, feature = "test-util"))]
impl From<&ManualClock> for Clock {
    fn from(clock: &ManualClock) -> Self {
        clock.clock()
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}
