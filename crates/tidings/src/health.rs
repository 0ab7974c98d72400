use std::fmt;
use std::time::Duration;

/// The state of a hub when this was made: see [`Hub::health`](crate::Hub::health).
///
/// Its text is `ready`, or the reason why the hub is not; and how often a writer thread has failed, if one has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// [`Hub::close`](crate::Hub::close) was called.
    pub is_closed: bool,
    /// [`Hub::drain`](crate::Hub::drain) was called.
    pub is_draining: bool,
    /// Whether the hub's log can be reached.
    pub link: Link,
    /// The time since the hub last had everything that is in its log. `None` in memory, and until the hub has everything
    /// for the first time.
    pub lag: Option<Duration>,
    /// The number of entries of the log that were left out because they are not events.
    pub rejected: u64,
    /// The last of these entries, and the cause.
    pub last_rejected: Option<String>,
    /// How often a writer thread of a server's direct transport has failed. It was started again, and its streams have
    /// ended. The cause is a defect: its message went to the standard error.
    pub writer_restarts: u64,
    pub(crate) max_lag: Duration,
}

/// Whether a hub's log can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// The hub is in memory.
    None,
    /// The log is being connected to for the first time.
    Connecting,
    /// The log answers.
    Up,
    /// The log does not answer. Streams stay open, and go on when it does.
    Down {
        /// The last error.
        error: String,
        /// For how long.
        since: Duration,
    },
}

impl Health {
    /// Whether new clients should be sent here: the hub is open and does not
    /// drain, its log answers, and it does not lag by more than [`HubBuilder::max_lag`](crate::HubBuilder::max_lag).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let is_current = self.lag.is_some_and(|lag| lag <= self.max_lag);
        let is_open = !self.is_closed && !self.is_draining;
        is_open && (self.link == Link::None || (self.link == Link::Up && is_current))
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::as_secs_f64;
        match (&self.link, self.lag) {
            _ if self.is_ready() => f.write_str("ready")?,
            _ if self.is_closed => f.write_str("hub is closed")?,
            _ if self.is_draining => f.write_str("hub is draining")?,
            (Link::Down { error, since }, _) => {
                write!(f, "log link is down for {:.1} s: {error}", seconds(since))?;
            }
            (Link::Up, Some(lag)) => write!(f, "log lags by {:.1} s", seconds(&lag))?,
            _ => f.write_str("hub has not caught up with its log yet")?,
        }
        match self.writer_restarts {
            0 => Ok(()),
            1 => f.write_str("; a writer was restarted"),
            restarts => write!(f, "; writers were restarted {restarts} times"),
        }
    }
}
