use std::sync::Arc;
use std::time::Duration;

use super::Hub;
use super::keys::Keys;
use super::replication::Replication;
use super::sequencer::Sequencer;
use super::shared::{Defaults, Shared, Sweep};
use super::topics::Topics;
use crate::backend::{Log, Replica};
use crate::clock::Clock;
use crate::error::FieldError;
use crate::keep_alive::DEFAULT_HEARTBEAT;
use crate::log::feed::{Coalescing, Feeds};
use crate::log::retention::{Retention, RetentionRules};
use crate::metrics::Counters;
use crate::registry::Registry;
use crate::resume::Epoch;
use crate::subscription::DEFAULT_RETRY;
use crate::sync::Mutex;
use crate::topic::TopicPattern;

/// Settings of a [`Hub`]; made by [`Hub::builder`].
///
/// ```
/// use std::time::Duration;
/// use tidings::{Hub, Retention};
///
/// let hub = Hub::builder()
///     .retain("price:*", Retention::default().events(1))?
///     .retention(Retention::default().age(Duration::from_secs(3600)))
///     .max_retained_bytes(256 * 1024 * 1024)
///     .heartbeat(Duration::from_secs(20))
///     .build();
/// # Ok::<(), tidings::FieldError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct HubBuilder {
    rules: RetentionRules,
    budget: usize,
    idempotency_window: Duration,
    clock: Clock,
    defaults: Defaults,
}

impl HubBuilder {
    /// All chunks that are written for several readers, in bytes. Enough for some 250 of the
    /// largest; see `log/coalesce.rs` for what happens beyond.
    pub(super) const COALESCED_BYTES: usize = 16 * 1024 * 1024;

    pub(super) fn new() -> Self {
        Self {
            rules: RetentionRules::default(),
            budget: 64 * 1024 * 1024,
            idempotency_window: Duration::from_secs(120),
            clock: Clock::system(),
            defaults: Defaults {
                heartbeat: Some(DEFAULT_HEARTBEAT),
                retry: Some(DEFAULT_RETRY),
                max_event_bytes: 1024 * 1024,
                max_lag: Duration::from_secs(5),
            },
        }
    }

    /// Sets the retention of the topics that match a pattern. Of several patterns that match, the
    /// one that was given first counts.
    ///
    /// # Errors
    ///
    /// When the pattern is not one; see [`TopicPattern::new`].
    pub fn retain<P>(mut self, pattern: P, retention: Retention) -> Result<Self, FieldError>
    where
        P: TryInto<TopicPattern>,
        P::Error: Into<FieldError>,
    {
        let pattern = pattern.try_into().map_err(Into::into)?;
        self.rules.rules.push((pattern, retention));
        Ok(self)
    }

    /// Sets the retention of all other topics. Default: [`Retention::default`].
    pub fn retention(mut self, retention: Retention) -> Self {
        self.rules.otherwise = retention;
        self
    }

    /// The most memory that the events of all topics together may hold, in bytes. Beyond it the
    /// hub's oldest events go first, whatever their topic retains; the newest one always stays.
    /// Default 64 MiB.
    pub fn max_retained_bytes(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }

    /// The largest event that may be published, in bytes as encoded. Default 1 MiB.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.defaults.max_event_bytes = bytes;
        self
    }

    /// For how long a hub in memory knows the key of an event: see [`Hub::publish_once`]. Default 2
    /// minutes, and no more than the newest 100,000 keys. A hub on a log has the log's own window.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.idempotency_window = window;
        self
    }

    /// How long a stream may be idle before it sends a heartbeat; `None` for never. Default 15
    /// seconds. Heartbeats come up to 50 ms late. Subscriptions can set their own.
    pub fn heartbeat(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.defaults.heartbeat = interval.into();
        self
    }

    /// How long clients are told to wait before they connect again, give or take a fifth; `None`
    /// to leave it to them. Default 3 seconds. Subscriptions can set their own.
    ///
    /// The fifth is drawn for each connection, so that a server that comes back does not meet all
    /// of its clients at once.
    pub fn retry(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.defaults.retry = delay.into();
        self
    }

    /// How far a hub may lag behind its log and still be [ready](crate::Health::is_ready). Default 5 seconds.
    pub fn max_lag(mut self, lag: Duration) -> Self {
        self.defaults.max_lag = lag;
        self
    }

    /// Where the hub takes its time from. Default: the system's monotonic clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes a hub on a log: on disk, or shared with other nodes. See [`backend`](crate::backend).
    ///
    /// The settings of retention say what the hub has in memory; what the log keeps is a setting of the
    /// log. Clients that ask for what memory does not reach are served from the log.
    pub fn build_on(self, log: impl Log) -> Hub {
        self.build_with(Some(Arc::new(log)))
    }

    /// Makes a hub in memory.
    pub fn build(self) -> Hub {
        self.build_with(None)
    }

    fn build_with(self, log: Option<Arc<dyn Log>>) -> Hub {
        let window = u64::try_from(self.idempotency_window.as_millis()).unwrap_or(u64::MAX);
        let sequencer = Sequencer::new(Epoch::random(), self.budget, Keys::new(window));
        let shared = Arc::new_cyclic(|this| Shared {
            topics: Topics::new(self.rules, log.clone()),
            registry: Registry::default(),
            feeds: Arc::new(Feeds::default()),
            coalescing: Coalescing::new(Self::COALESCED_BYTES, self.clock.clone()),
            clock: self.clock,
            sequencer: Mutex::new(sequencer),
            watermark: 0.into(),
            closed: false.into(),
            defaults: self.defaults,
            counters: Counters::default(),
            sweep: Sweep::new(),
            replication: log.map(|log| Replication::new(log, this.clone())),
            this: this.clone(),
        });
        if let Some(replication) = &shared.replication {
            let replica = Replica::new(Arc::downgrade(&shared));
            shared.follow(replication, || replication.log.start(replica));
        }
        Hub::from_shared(shared)
    }
}
