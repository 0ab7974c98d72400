use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::Io;

/// The progress of what was written to a connection.
///
/// A client that is slow makes progress: its system acknowledges bytes whenever it has room for them again. One that has
/// vanished, or does not read, makes none. What waits in the system's buffer counts, too: heartbeats for a client that has
/// vanished fit into it.
#[derive(Debug)]
pub(crate) struct Writes {
    limit: Option<Duration>,
    /// The last write has to wait.
    is_waiting: bool,
    /// Something was written that may not have arrived.
    is_watched: bool,
    /// How many bytes were acknowledged when that last grew, and when.
    last: Option<(u64, Instant)>,
}

impl Writes {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, is_waiting: false, is_watched: false, last: None }
    }

    /// After a write, or an attempt. Returns whether it must be looked at now, and again from then on.
    pub(crate) fn after(&mut self, is_waiting: bool) -> bool {
        let is_new = !self.is_watched || (is_waiting && !self.is_waiting);
        self.is_watched = true;
        if self.is_waiting && !is_waiting {
            self.last = None;
        }
        self.is_waiting = is_waiting;
        is_new
    }

    /// Returns when to look again, or an error if there was no progress for too long.
    pub(crate) fn look(&mut self, io: &impl Io, now: Instant) -> io::Result<Option<Instant>> {
        let Some(limit) = self.limit.filter(|_| self.is_watched) else {
            return Ok(None);
        };
        let progress = io.progress();
        let is_outstanding = match progress {
            Some(progress) => progress.is_outstanding || self.is_waiting,
            None => self.is_waiting,
        };
        if !is_outstanding {
            self.is_watched = false;
            self.last = None;
            return Ok(None);
        }
        let acknowledged = progress.map_or(0, |progress| progress.acknowledged);
        let since = match self.last {
            Some((before, since)) if before == acknowledged => since,
            _ => now,
        };
        self.last = Some((acknowledged, since));
        if now >= since + limit {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("client has taken no bytes for {limit:?}"),
            ));
        }
        Ok(Some((since + limit).min(now + limit / 2)))
    }
}
