use std::sync::Arc;
use std::time::Duration;

use crate::clock::millis;
use crate::topic::TopicPattern;

/// How much of a topic is kept for clients that reconnect, or that ask for history.
///
/// There are three limits, and the first that is reached applies: the number of events, their bytes (as encoded, plus about
/// 150 bytes of bookkeeping for each), and their age. Default: 1,000 events, 1 MiB, 10 minutes.
///
/// The limits are for replay. A burst on a topic that retains little must not reset clients that are connected and keep
/// up. So whatever is retained, *they* can read the events of a small live window: 256 events, 256 KiB, 10 seconds.
///
/// ```
/// use std::time::Duration;
/// use tidings::{Hub, Retention};
///
/// let hub = Hub::builder()
///     .retain("price:*", Retention::default().events(1))?
///     .retain("chat:*", Retention::default().events(10_000).age(Duration::from_secs(3600)))?
///     .build();
/// # Ok::<(), tidings::error::FieldError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Retention {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
}

impl Retention {
    /// Keeps nothing: the topic is live only, and a client that missed an event is reset.
    pub fn none() -> Self {
        Self::default().events(0)
    }

    /// At most this many events. Default: 1,000.
    pub fn events(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// At most this many bytes. Default: 1 MiB.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// No event older than this, in whole milliseconds. Default: 10 minutes.
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    pub(crate) fn age_millis(&self) -> u64 {
        // A quarter of the range, so that sums with the clock cannot overflow.
        millis(self.age).min(u64::MAX / 4)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1_000, bytes: 1024 * 1024, age: Duration::from_secs(600) }
    }
}

/// The events that connected clients may read although they are not retained: see [`Retention`].
pub(crate) const LIVE_WINDOW: Retention =
    Retention { events: 256, bytes: 256 * 1024, age: Duration::from_secs(10) };

/// Retention by pattern: the first rule that matches applies. Topics share what they have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetentionRules {
    pub(crate) rules: Vec<(TopicPattern, Arc<Retention>)>,
    pub(crate) otherwise: Arc<Retention>,
}

impl RetentionRules {
    /// The retention of a topic or pattern. A pattern is matched as text, like a name.
    pub(crate) fn of(&self, name: &TopicPattern) -> &Arc<Retention> {
        self.rules
            .iter()
            .find(|(pattern, _)| pattern.matches_text(name.as_str()))
            .map_or(&self.otherwise, |(_, retention)| retention)
    }
}
