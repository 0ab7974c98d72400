use std::time::{Duration, Instant};

/// Looks at all streams, again and again.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The time from one sweep to the next; `None` if there are none.
    interval: Option<Duration>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The next one begins then; if there is no time, at once.
    Waits(Option<Instant>),
    /// The streams before this key were looked at.
    IsAt(usize),
}

impl Sweep {
    /// How many looks in a row, each without progress since the one before it, end a stream.
    pub(super) const LOOKS: i8 = 2;

    /// How many bytes a client must read between two looks: with a limit of 30 seconds, 1.1 KB a second.
    pub(super) const BYTES: u32 = 16 * 1024;

    /// How many looks a client has at most to read what its system has taken up at once: enough for 128 KiB.
    pub(super) const MOST_PATIENCE: i8 = 8;

    /// `timeout` is how long a client may make no progress; `None` for ever. A client that stops right after a look
    /// is found [`LOOKS`](Self::LOOKS) sweeps after the next one.
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        let interval = timeout.map(|timeout| timeout / Self::LOOKS as u32);
        Self { interval, state: State::Waits(None) }
    }

    /// How long until there is something to do; `None` for ever.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.interval?;
        Some(match self.state {
            State::Waits(Some(until)) => until.saturating_duration_since(now),
            State::Waits(None) | State::IsAt(_) => Duration::ZERO,
        })
    }

    /// The first stream to look at now; `None` if it is not time yet.
    pub(super) fn begin(&self, now: Instant) -> Option<usize> {
        (self.wait(now)?.is_zero()).then_some(match self.state {
            State::IsAt(key) => key,
            State::Waits(_) => 0,
        })
    }

    /// The streams before this key were looked at.
    pub(super) fn pause(&mut self, key: usize) {
        self.state = State::IsAt(key);
    }

    /// All streams were looked at. The time to the next sweep counts from here, so that no stream is looked at twice
    /// within it.
    pub(super) fn end(&mut self, now: Instant) {
        self.state = State::Waits(self.interval.map(|interval| now + interval));
    }
}
