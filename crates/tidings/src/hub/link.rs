use std::time::Duration;

use crate::backend::{LogError, RecordError};
use crate::health::{Health, Link};

/// What a log reports about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkState {
    /// Why the link is down. Before the log has reported anything, it is neither down nor up.
    down: Option<String>,
    is_up: bool,
    /// When that changed, in milliseconds of the hub's clock.
    since: u64,
    /// When the replica last had everything.
    caught_up: Option<u64>,
    rejected: u64,
    /// The last rejected entry, and why.
    last_rejected: Option<String>,
}

impl LinkState {
    pub(super) fn new(now: u64) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// Whether the link has gone up or down with this report. Of errors, the last one is shown.
    pub(super) fn change(&mut self, link: Result<(), &LogError>, now: u64) -> bool {
        let has_changed = self.is_up != link.is_ok();
        if has_changed {
            self.since = now;
        }
        self.is_up = link.is_ok();
        self.down = link.err().map(ToString::to_string);
        has_changed
    }

    pub(super) fn catch_up(&mut self, now: u64) {
        self.caught_up = Some(now);
    }

    pub(super) fn reject(&mut self, position: u64, error: &RecordError) {
        self.rejected += 1;
        self.last_rejected = Some(format!("position {position}: {error}"));
    }

    pub(super) fn health(self, is_closed: bool, max_lag: Duration, now: u64) -> Health {
        let elapsed = |then: u64| Duration::from_millis(now.saturating_sub(then));
        let link = match (self.down, self.is_up) {
            (Some(error), _) => Link::Down { error, since: elapsed(self.since) },
            (None, true) => Link::Up,
            (None, false) => Link::Connecting,
        };
        Health {
            is_closed,
            is_draining: false,
            link,
            lag: self.caught_up.map(elapsed),
            rejected: self.rejected,
            last_rejected: self.last_rejected,
            writer_restarts: 0,
            max_lag,
        }
    }
}
