//! What can be set about a log.

use std::time::Duration;

/// See [`RedisLogBuilder`](crate::RedisLogBuilder), which says what each is.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) keys: usize,
    pub(crate) max_events: u64,
    pub(crate) max_age: Option<Duration>,
    pub(crate) replay: u64,
    pub(crate) idempotency_window: Duration,
    pub(crate) max_pending: usize,
    pub(crate) append_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) replicas: Option<(u32, Duration)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "tidings".to_owned(),
            keys: 1,
            max_events: 100_000,
            max_age: None,
            replay: 10_000,
            idempotency_window: Duration::from_secs(120),
            max_pending: 10_000,
            append_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(2),
            replicas: None,
        }
    }
}

impl Settings {
    /// What each stream is trimmed to.
    pub(crate) fn max_events_per_key(&self) -> u64 {
        (self.max_events / self.keys as u64).max(1)
    }

    pub(crate) fn max_age_millis(&self) -> u128 {
        self.max_age.map_or(0, |age| age.as_millis())
    }
}
