use std::time::{Duration, Instant};

/// What is left of a turn: the work for one cohort or stream, before everything else has its turn.
pub(super) struct Turn {
    writes_left: usize,
    /// How many writes come before the next look at the clock.
    untimed: usize,
    /// Set at the first look at the clock.
    ends: Option<Instant>,
}

impl Turn {
    /// How many writes a turn has, unless they take longer than [`TIME`](Self::TIME).
    pub(super) const WRITES: usize = 512;
    const TIME: Duration = Duration::from_millis(5);
    /// So many that most turns do without the clock.
    const UNTIMED_WRITES: usize = 32;

    pub(super) fn new(writes: usize) -> Self {
        Self { writes_left: writes, untimed: Self::UNTIMED_WRITES, ends: None }
    }

    /// How many writes may be made before they must be counted; 0 at the end of the turn.
    pub(super) fn writes(&self) -> usize {
        self.writes_left.min(self.untimed)
    }

    /// Counts writes, or what costs about as much.
    pub(super) fn count(&mut self, writes: usize) {
        self.writes_left = self.writes_left.saturating_sub(writes);
        self.untimed = self.untimed.saturating_sub(writes);
        if self.untimed == 0 {
            self.untimed = Self::UNTIMED_WRITES;
            let now = Instant::now();
            if *self.ends.get_or_insert(now + Self::TIME) <= now {
                self.writes_left = 0;
            }
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.writes_left == 0
    }
}
