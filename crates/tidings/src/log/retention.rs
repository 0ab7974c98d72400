use std::sync::Arc;
use std::time::Duration;

use crate::clock::millis;
use crate::topic::{Topic, TopicPattern};

/// How much of a topic is kept for clients that reconnect, or that ask for history.
///
/// There are three limits, and the first that is reached applies: the number of events, their bytes (as encoded, plus about 150
/// bytes of bookkeeping for each, some 70 more and its text for a key, and some 130 for each attribute), and their age.
/// Default: 1,000 events, 1 MiB, 10 minutes.
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
    /// For how long the removal of a key is kept, where the newest event of each key is.
    pub(crate) removals: Option<Duration>,
}

impl Retention {
    /// Keeps nothing: the topic is live only, and a client that missed an event is reset.
    pub fn none() -> Self {
        Self::default().events(0)
    }

    /// Keeps the newest event of each [key](crate::Event::keyed): for tickers, counters and dashboards, whose clients want the
    /// current values and not how they came about. At most 100,000 events and 16 MiB, of any age. The bytes are reached first:
    /// they are enough for some 50,000 small events, so [set](Self::bytes) them for more keys.
    ///
    /// An event takes the place of the one before it with its key, at once. So the topic takes memory for its keys,
    /// however much is published, and what was superseded is not missed: a client that is fresh and asks for
    /// [history](crate::History::All) gets the current value of each key, and a client that lags or resumes gets the newest
    /// value of each key that has changed since, in the order in which they were published. A client that is in time gets
    /// every event.
    ///
    /// [`Event::remove_key`](crate::Event::remove_key) takes a key away. That is kept for [ten minutes](Self::removals), and no
    /// longer if there are more events than the limits allow; a client that lags or stays away for longer is reset. An event without
    /// a key is superseded by nothing: it stays until it is the oldest and a limit is reached. So does the
    /// [last](crate::Hub::finish) event of a topic, also one that removes a key.
    ///
    /// ```
    /// use tidings::{Event, Hub, Retention};
    ///
    /// let hub = Hub::builder().retain("prices", Retention::latest_per_key())?.build();
    /// hub.publish("prices", Event::keyed("EUR", "EUR 1.07")?).wait()?;
    /// hub.publish("prices", Event::keyed("GBP", "GBP 1.25")?).wait()?;
    /// hub.publish("prices", Event::keyed("EUR", "EUR 1.09")?).wait()?;
    ///
    /// let history = hub.history(["prices"], tidings::History::All).wait()?;
    /// let values: Vec<_> = history.events.iter().map(|event| event.data()).collect();
    /// assert_eq!(values, ["GBP 1.25", "EUR 1.09"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn latest_per_key() -> Self {
        Self {
            events: 100_000,
            bytes: 16 * 1024 * 1024,
            age: Duration::MAX,
            removals: Some(Duration::from_secs(600)),
        }
    }

    /// Where the [newest event of each key](Self::latest_per_key) is kept: for how long the removal of a key is. Default: 10
    /// minutes. Elsewhere, this has no effect.
    pub fn removals(mut self, age: Duration) -> Self {
        self.removals = self.removals.map(|_| age);
        self
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
        bounded_millis(self.age)
    }

    pub(crate) fn removals_millis(&self) -> u64 {
        self.removals.map_or(0, bounded_millis)
    }

    pub(crate) fn is_latest_per_key(&self) -> bool {
        self.removals.is_some()
    }

    /// With the same limits, for events of which each supersedes the one before it with its key.
    pub(crate) fn with_keys(self) -> Self {
        Self { removals: Some(Duration::ZERO), ..self }
    }

    /// With the same limits, for events whose keys mean nothing together.
    pub(crate) fn without_keys(self) -> Self {
        Self { removals: None, ..self }
    }
}

/// At most a quarter of the range, so that sums with the clock cannot overflow.
fn bounded_millis(age: Duration) -> u64 {
    millis(age).min(u64::MAX / 4)
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1_000, bytes: 1024 * 1024, age: Duration::from_secs(600), removals: None }
    }
}

/// The events that connected clients may read although they are not retained: see [`Retention`].
pub(crate) const LIVE_WINDOW: Retention =
    Retention { events: 256, bytes: 256 * 1024, age: Duration::from_secs(10), removals: None };

/// Retention by pattern: the first rule that matches applies. Topics share what they have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetentionRules {
    pub(crate) rules: Vec<(TopicPattern, Arc<Retention>)>,
    pub(crate) otherwise: Arc<Retention>,
}

impl RetentionRules {
    /// The retention of a topic or pattern. A pattern is matched as text, like a name.
    pub(crate) fn of(&self, name: &TopicPattern) -> &Arc<Retention> {
        self.of_text(name.as_str())
    }

    pub(crate) fn of_topic(&self, topic: &Topic) -> &Arc<Retention> {
        self.of_text(topic.as_str())
    }

    fn of_text(&self, name: &str) -> &Arc<Retention> {
        self.rules
            .iter()
            .find(|(pattern, _)| pattern.matches_text(name))
            .map_or(&self.otherwise, |(_, retention)| retention)
    }
}
