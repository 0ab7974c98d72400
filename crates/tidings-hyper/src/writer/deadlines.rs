use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The deadlines of stalled streams, with their keys.
pub(super) struct Deadlines {
    timeout: Option<Duration>,
    sorted: BTreeSet<(Instant, usize)>,
}

impl Deadlines {
    /// `timeout` is how long a stream may be stalled; `None` for ever.
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, sorted: BTreeSet::new() }
    }

    /// Sets a stream's deadline, counted from now.
    pub(super) fn set(&mut self, key: usize) -> Option<Instant> {
        let deadline = Instant::now() + self.timeout?;
        self.sorted.insert((deadline, key));
        Some(deadline)
    }

    pub(super) fn cancel(&mut self, deadline: Instant, key: usize) {
        self.sorted.remove(&(deadline, key));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.sorted.first().map(|(deadline, _)| *deadline)
    }

    /// Removes a deadline that has passed; returns its stream's key.
    pub(super) fn pop_overdue(&mut self) -> Option<usize> {
        self.next().filter(|deadline| *deadline <= Instant::now())?;
        self.sorted.pop_first().map(|(_, key)| key)
    }
}
