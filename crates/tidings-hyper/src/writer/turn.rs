use std::time::{Duration, Instant};

/// What is left of a turn: the work that is done for one cohort or stream before everything else has
/// its turn.
pub(super) struct Turn {
    writes_left: usize,
    /// Set at the first look at the clock.
    ends: Option<Instant>,
}

impl Turn {
    /// How many writes a turn has, unless they take longer than [`TIME`](Self::TIME).
    pub(super) const WRITES: usize = 512;
    const TIME: Duration = Duration::from_millis(5);
    /// The clock is looked at after this many writes, so that most turns do without.
    const UNTIMED_WRITES: usize = 32;

    pub(super) fn new(writes: usize) -> Self {
        Self { writes_left: writes, ends: None }
    }

    /// Counts a write, or what costs about as much.
    pub(super) fn count(&mut self) {
        self.writes_left = self.writes_left.saturating_sub(1);
        if self.writes_left % Self::UNTIMED_WRITES == 0 {
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
