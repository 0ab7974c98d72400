use std::time::Duration;

use crate::topic::TopicPattern;

/// How much of a topic is kept for clients that reconnect, or that ask for history.
///
/// Three limits, and the first that is reached counts: number of events, bytes (encoded, with
/// some 150 bytes of bookkeeping an event) and age. Default: 1,000 events, 1 MiB, 10 minutes.
///
/// The limits are for replay. So that a burst on a topic that keeps little or nothing does not
/// throw out clients that are connected and keep up, what their topics publish stays readable to
/// *them* within a small live window (256 events, 256 KiB, 10 seconds), whatever is retained.
///
/// ```
/// use std::time::Duration;
/// use tidings::{Hub, Retention};
///
/// let hub = Hub::builder()
///     .retain("price:*", Retention::default().events(1))?
///     .retain("chat:*", Retention::default().events(10_000).age(Duration::from_secs(3600)))?
///     .build();
/// # Ok::<(), tidings::FieldError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Retention {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
}

impl Retention {
    /// Keeps nothing: the topic is live only, and a client that was away is reset if it missed
    /// anything.
    pub fn none() -> Self {
        Self::default().events(0)
    }

    /// At most this many events. Default 1,000.
    pub fn events(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// At most this many bytes. Default 1 MiB.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Nothing older than this. Default 10 minutes; counted in whole milliseconds.
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    pub(crate) fn age_millis(&self) -> u64 {
        // A quarter of the range, so that sums with the clock cannot overflow.
        u64::try_from(self.age.as_millis()).map_or(u64::MAX / 4, |age| age.min(u64::MAX / 4))
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1_000, bytes: 1024 * 1024, age: Duration::from_secs(600) }
    }
}

/// What connected clients may read although it is not retained: see [`Retention`].
pub(crate) const LIVE_WINDOW: Retention =
    Retention { events: 256, bytes: 256 * 1024, age: Duration::from_secs(10) };

/// Retention by topic pattern: the first rule that matches counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetentionRules {
    pub(crate) rules: Vec<(TopicPattern, Retention)>,
    pub(crate) otherwise: Retention,
}

impl RetentionRules {
    /// The retention of a topic or pattern. A pattern is matched as text, like a name.
    pub(crate) fn of(&self, name: &TopicPattern) -> Retention {
        self.rules
            .iter()
            .find(|(pattern, _)| pattern.matches_text(name.as_str()))
            .map_or(self.otherwise, |(_, retention)| *retention)
    }
}
