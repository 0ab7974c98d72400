use std::time::{Duration, Instant};

/// Tells the time. Tests choose it.
pub(super) type Clock = fn() -> Instant;

/// What is left of a turn: the work of one kind, before everything else has its turn.
#[derive(Debug)]
pub(super) struct Turn {
    clock: Clock,
    writes: usize,
    writes_left: usize,
    /// How many writes come before the next look at the clock.
    untimed: usize,
    /// Set at the first look at the clock.
    ends: Option<Instant>,
}

impl Turn {
    /// How many writes a turn has, unless they take longer than [`TIME`](Self::TIME).
    pub(super) const WRITES: usize = 512;
    pub(super) const TIME: Duration = Duration::from_millis(2);
    /// How many batches a cohort or a stream is sent before others have their turn.
    pub(super) const BATCHES: usize = 4;
    /// A new stream, or the end of one, takes about as long as so many writes.
    pub(super) const CHANGE: usize = 4;
    /// So many that most turns do without the clock.
    const UNTIMED_WRITES: usize = 32;
    /// A write of more bytes takes longer.
    const WRITE_BYTES: usize = 16 * 1024;

    pub(super) fn new(writes: usize, clock: Clock) -> Self {
        Self { clock, writes, writes_left: writes, untimed: Self::UNTIMED_WRITES, ends: None }
    }

    /// As how many writes a write of so many bytes counts.
    pub(super) fn cost(bytes: usize) -> usize {
        1 + bytes / Self::WRITE_BYTES
    }

    /// How many writes may be made before they must be counted; 0 at the end of the turn.
    pub(super) fn writes(&self) -> usize {
        self.writes_left.min(self.untimed)
    }

    /// As how many writes the end of a stream of so many topics counts: it leaves each of them.
    pub(super) fn end(topics: usize) -> usize {
        Self::CHANGE + topics / 16
    }

    /// Counts writes, or what costs about as much.
    pub(super) fn count(&mut self, writes: usize) {
        self.writes_left = self.writes_left.saturating_sub(writes);
        self.untimed = self.untimed.saturating_sub(writes);
        if self.untimed == 0 {
            self.untimed = Self::UNTIMED_WRITES;
            let now = (self.clock)();
            if *self.ends.get_or_insert(now + Self::TIME) <= now {
                self.writes_left = 0;
            }
        }
    }

    /// How many writes were counted; all if the time is over.
    pub(super) fn counted(&self) -> usize {
        self.writes - self.writes_left
    }

    pub(super) fn is_spent(&self) -> bool {
        self.writes_left == 0
    }
}
