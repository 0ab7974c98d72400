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
        Self { base: newest.max(unix_millis()), began: Instant::now() }
    }

    pub(crate) fn now(self) -> u64 {
        self.base.saturating_add(millis(self.began.elapsed()))
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
