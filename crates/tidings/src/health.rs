use std::fmt;
use std::time::Duration;

/// How a hub is, at the moment of asking: see [`Hub::health`](crate::Hub::health).
///
/// As text it is the reason why it is not ready, or `ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// [`Hub::close`](crate::Hub::close) was called.
    pub is_closed: bool,
    /// How the hub's log can be reached.
    pub link: Link,
    /// For how long the hub may have missed events that are in its log: the time since it last had
    /// everything. `None` in memory, and before it had everything for the first time.
    pub lag: Option<Duration>,
    /// How many entries of the log were left out because they are not events.
    pub rejected: u64,
    /// The last of them, and why.
    pub last_rejected: Option<String>,
    pub(crate) max_lag: Duration,
}

/// How a hub's log can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// The hub is in memory.
    None,
    /// It is being reached for the first time.
    Connecting,
    /// It answers.
    Up,
    /// It does not answer. Streams stay open and go on when it does.
    Down {
        /// What went wrong last.
        error: String,
        /// For how long.
        since: Duration,
    },
}

impl Health {
    /// Whether new clients should be sent here: the hub is open, its log answers, and it does not lag
    /// more than [`HubBuilder::max_lag`](crate::HubBuilder::max_lag).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let is_current = self.lag.is_some_and(|lag| lag <= self.max_lag);
        !self.is_closed && (self.link == Link::None || (self.link == Link::Up && is_current))
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::as_secs_f64;
        match (&self.link, self.lag) {
            _ if self.is_ready() => f.write_str("ready"),
            _ if self.is_closed => f.write_str("hub is closed"),
            (Link::Down { error, since }, _) => {
                write!(f, "log link is down for {:.1} s: {error}", seconds(since))
            }
            (Link::Up, Some(lag)) => write!(f, "log lags by {:.1} s", seconds(&lag)),
            _ => f.write_str("log has not caught up yet"),
        }
    }
}
