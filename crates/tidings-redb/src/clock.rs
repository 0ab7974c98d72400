use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The log's own clock, by which events and keys grow old. Milliseconds.
///
/// It starts with the wall clock, or the newest time in the file if that is later, and then follows the monotonic
/// clock. So it never goes back, and setting the wall clock while the log is open changes nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogClock {
    base: u64,
    began: Instant,
}

impl LogClock {
    /// A clock that continues a time in the file.
    pub(crate) fn after(newest: u64) -> Self {
        Self::starting_at(newest.max(unix_millis()))
    }

    pub(crate) fn starting_at(base: u64) -> Self {
        Self { base, began: Instant::now() }
    }

    /// The time that it took over from the wall clock, after a time in the file.
    pub(crate) fn downtime(self, newest: u64) -> Downtime {
        Downtime { after: newest, length: self.base.saturating_sub(newest) }
    }

    pub(crate) fn now(self) -> u64 {
        self.base.saturating_add(millis(self.began.elapsed()))
    }
}

/// The time between the newest time in the file and the start of this process. Nobody knows how long it really was: the
/// wall clock may have been set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Downtime {
    after: u64,
    length: u64,
}

impl Downtime {
    pub(crate) const NONE: Self = Self { after: 0, length: 0 };

    /// How much of the time since `time` it is.
    pub(crate) fn since(self, time: u64) -> u64 {
        if time <= self.after { self.length } else { 0 }
    }
}

/// The wall clock.
pub(crate) fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_before_the_times_in_the_file() {
        let future = unix_millis() + 3_600_000;
        assert!(LogClock::after(future).now() >= future);
        assert!(LogClock::after(0).now() + 1_000 >= unix_millis());
    }
}
