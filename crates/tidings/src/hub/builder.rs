use std::sync::Arc;
use std::time::Duration;

use super::Hub;
use super::journal::Journal;
use super::replication::Replication;
use super::shared::{Defaults, Shared, Upkeep};
use super::sources::{Rate, Sources};
use crate::backend::{Log, Replica};
use crate::clock::{Clock, millis};
use crate::cluster::membership::Membership;
use crate::counters::Counters;
use crate::error::FieldError;
use crate::heartbeat::Heartbeat;
use crate::log::feed::{Coalescing, Feeds};
use crate::log::retention::{Retention, RetentionRules};
use crate::pinned::Pinned;
use crate::presence::{Presence, PresenceRules, work};
use crate::registry::Registry;
use crate::retry::DEFAULT_RETRY;
use crate::stream_limit::{OverLimit, StreamLimits};
use crate::sync::Mutex;
use crate::topic::TopicPattern;

/// Builds a [`Hub`]; see [`Hub::builder`].
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
/// # Ok::<(), tidings::error::FieldError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct HubBuilder {
    rules: RetentionRules,
    budget: usize,
    pinned_limit: usize,
    idempotency_window: Duration,
    clock: Clock,
    defaults: Defaults,
    presence: PresenceRules,
}

impl HubBuilder {
    /// The memory of all chunks that are written for several readers, in bytes. Enough for 256 of the largest;
    /// `log/coalesce.rs` says what happens above it.
    pub(super) const COALESCED_BYTES: usize = 16 * 1024 * 1024;

    pub(super) fn new() -> Self {
        Self {
            rules: RetentionRules::default(),
            budget: 64 * 1024 * 1024,
            pinned_limit: 64 * 1024 * 1024,
            idempotency_window: Duration::from_secs(120),
            clock: Clock::system(),
            defaults: Defaults {
                heartbeat: Heartbeat::comment(),
                retry: Some(DEFAULT_RETRY),
                max_event_bytes: 1024 * 1024,
                topics_per_subscription: 1_000,
                patterns_per_subscription: 64,
                max_lag: Duration::from_secs(5),
                snapshot_timeout: Some(Duration::from_secs(30)),
                max_lifetime: None,
                stream_limits: StreamLimits::NONE,
                source_rate: None,
                paces: Vec::new(),
            },
            presence: PresenceRules::default(),
        }
    }

    /// Sets the retention of the topics that match a pattern. If several patterns match a topic, the one that was given
    /// first applies.
    ///
    /// # Errors
    ///
    /// When the pattern is not valid; see [`TopicPattern::new`].
    pub fn retain<P>(mut self, pattern: P, retention: Retention) -> Result<Self, FieldError>
    where
        P: TryInto<TopicPattern>,
        P::Error: Into<FieldError>,
    {
        let pattern = pattern.try_into().map_err(Into::into)?;
        self.rules.rules.push((pattern, Arc::new(retention)));
        Ok(self)
    }

    /// Sets the retention of all other topics. Default: [`Retention::default`].
    pub fn retention(mut self, retention: Retention) -> Self {
        self.rules.otherwise = Arc::new(retention);
        self
    }

    /// Sets the least interval between two writes to a stream of the topics that match a pattern: see
    /// [`Subscribe::at_most_every`](crate::Subscribe::at_most_every). A stream of several topics has one order, and one
    /// interval, the longest of its topics. If several patterns match a topic, the one that was given first applies. A
    /// subscription to a pattern has the interval of the first rule that matches its text. Default: none.
    ///
    /// # Errors
    ///
    /// When the pattern is not valid; see [`TopicPattern::new`].
    pub fn at_most_every<P>(mut self, pattern: P, interval: Duration) -> Result<Self, FieldError>
    where
        P: TryInto<TopicPattern>,
        P::Error: Into<FieldError>,
    {
        let pattern = pattern.try_into().map_err(Into::into)?;
        self.defaults.paces.push((pattern, interval));
        Ok(self)
    }

    /// Has the hub know who is on the topics that match a pattern: see [`presence`](crate::presence). If several patterns match
    /// a topic, the one that was given first applies. Default: for no topic.
    ///
    /// The topics that say it keep the newest event of each key, whatever [`retain`](Self::retain) says.
    ///
    /// # Errors
    ///
    /// When the pattern is not valid, or has no room for `presence/`; see [`TopicPattern::new`].
    pub fn presence<P>(mut self, pattern: P, presence: Presence) -> Result<Self, FieldError>
    where
        P: TryInto<TopicPattern>,
        P::Error: Into<FieldError>,
    {
        let pattern = pattern.try_into().map_err(Into::into)?;
        self.presence.add(pattern, presence)?;
        Ok(self)
    }

    /// The memory that the events of all topics together may take, in bytes, with what it costs to have their topics.
    /// Above it, the hub removes its oldest events, whatever their topics retain; the newest one always stays. Default:
    /// 64 MiB.
    pub fn max_retained_bytes(mut self, bytes: usize) -> Self {
        self.budget = bytes;
        self
    }

    /// The memory that readers may hold together in addition, in bytes: events that no topic retains any more, snapshots, and
    /// what was read back from a [log](crate::backend). An event counts once, however many readers hold it; below 4 KiB, it
    /// does not count. And what a stream keeps until it has been sent the past of a pattern: 24 bytes for each topic that has
    /// any, and topics that vanish meanwhile, some 400 bytes each. Default: 64 MiB.
    ///
    /// Above the limit, the stream whose client has taken nothing for the longest time is ended with an error, then the next
    /// one; their clients connect again, and resume. It may be one that reads, if those that read hold more than the limit. Of
    /// the streams that keep memory for the past of patterns, the one that has gone on last is not ended: a past that needs
    /// more than the limit is sent to one after the other.
    ///
    /// Chunks of several small events, which readers share, have a limit of their own (16 MiB): above it, none is made, and
    /// events are sent one by one.
    pub fn pinned_limit(mut self, bytes: usize) -> Self {
        self.pinned_limit = bytes;
        self
    }

    /// The largest event that may be published, in bytes: as it is encoded without its id, with its key and attributes. Default:
    /// 1 MiB. Nodes on one log should have the same: a node leaves out an event of the log that is larger, and counts it in
    /// [`Health::rejected`](crate::Health::rejected).
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.defaults.max_event_bytes = bytes;
        self
    }

    /// How many different topics one subscription may name: each costs memory. Default: 1,000. With more,
    /// [`Subscribe::open`](crate::Subscribe::open) returns an error.
    pub fn topics_per_subscription(mut self, topics: usize) -> Self {
        self.defaults.topics_per_subscription = topics;
        self
    }

    /// How many different patterns one subscription may name: each costs memory, and time whenever an event matches it.
    /// Default: 64. With more, [`Subscribe::open`](crate::Subscribe::open) returns an error.
    pub fn patterns_per_subscription(mut self, patterns: usize) -> Self {
        self.defaults.patterns_per_subscription = patterns;
        self
    }

    /// How long a stream may be open, with a jitter of ±20 %; `None` for as long as the client likes. Then it is sent what was
    /// published until then, as by [`Hub::drain`], and ends: [`EndReason::Lifetime`](crate::EndReason::Lifetime). Its client resumes, wherever the
    /// load balancer sends it. So after a rolling restart, which leaves the node that came back last with few streams, the
    /// load is even again after about this time. Default: `None`.
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.defaults.max_lifetime = lifetime.into();
        self
    }

    /// How many streams a [principal](crate::Subscribe::principal) may have open, at least 1: tabs, devices, or what a script
    /// opens. Default: no limit.
    ///
    /// On a shared log it holds for all nodes together: a stream that the answers of the others show to be one too many is ended
    /// as [`over_limit`](Self::over_limit) says, or with the reason `limited` where that is a status, since its response has begun.
    pub fn streams_per_principal(mut self, streams: usize) -> Self {
        self.defaults.stream_limits.of_principal = streams.max(1);
        self
    }

    /// How many streams there may be of one [client key](crate::Subscribe::client_key), at least 1; otherwise as
    /// [`streams_per_principal`](Self::streams_per_principal). Default: no limit.
    pub fn streams_per_client_key(mut self, streams: usize) -> Self {
        self.defaults.stream_limits.of_client_key = streams.max(1);
        self
    }

    /// How many streams may be subscribed to a topic, or to a pattern by its own name, when they are opened; at least 1. Topics
    /// that are [added to an open stream](crate::Hub::client) are not looked at, and each node counts its own. Default: no limit.
    pub fn streams_per_topic(mut self, streams: usize) -> Self {
        self.defaults.stream_limits.of_topic = streams.max(1);
        self
    }

    /// What happens to a stream that is one too many. Default: [`OverLimit::Retry`].
    pub fn over_limit(mut self, over: OverLimit) -> Self {
        self.defaults.stream_limits.over = over;
        self
    }

    /// How much a [source](Hub::source) may publish: so many events a second, and so many at once after a rest; at least 1
    /// each. Default: no limit.
    ///
    /// On a shared log it holds for all nodes together, a second later: what a source publishes elsewhere is taken from what it
    /// may publish here. So for a second after a rest, each node lets it have its burst.
    pub fn publications_per_source(mut self, a_second: u32, burst: u32) -> Self {
        self.defaults.source_rate = Some(Rate { a_second: a_second.max(1), burst: burst.max(1) });
        self
    }

    /// How long a hub in memory remembers the key of an event: see [`Hub::publish_once`]. Default: 2 minutes. At most the
    /// newest 100,000 keys are remembered. A hub on a log uses the log's window.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.idempotency_window = window;
        self
    }

    /// What a stream sends when it is idle, and how long it is idle before; `None` for nothing, and a duration for an empty
    /// comment. Default: an empty comment after 15 seconds. Heartbeats are up to 50 ms late. Subscriptions can set their
    /// own.
    pub fn heartbeat(mut self, heartbeat: impl Into<Heartbeat>) -> Self {
        self.defaults.heartbeat = heartbeat.into();
        self
    }

    /// How long clients are told to wait before they connect again; `None` to leave it to them. Default: 3 seconds.
    /// Subscriptions can set their own delay.
    ///
    /// Each connection gets the delay with its own jitter of ±20 %, so that a server that comes back does not meet all
    /// of its clients at once.
    pub fn retry(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.defaults.retry = delay.into();
        self
    }

    /// How far a hub may lag behind its log and still be [ready](crate::Health::is_ready). Default: 5 seconds.
    pub fn max_lag(mut self, lag: Duration) -> Self {
        self.defaults.max_lag = lag;
        self
    }

    /// How long the application may take to make a [snapshot](crate::Subscribe::snapshot); `None` for as long as it likes.
    /// After that the stream ends with an error, and its client connects again. Default: 30 seconds.
    pub fn snapshot_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.defaults.snapshot_timeout = timeout.into();
        self
    }

    /// The hub's clock. Default: the system's monotonic clock.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Builds a hub on a log: on disk, or shared with other nodes. See [`backend`](crate::backend).
    ///
    /// The settings of retention say what the hub keeps in memory; what the log keeps is a setting of the log. Clients
    /// that resume from further back are served from the log. A fresh client's [`History`](crate::History) is never more than
    /// these settings keep, also where it is read from the log.
    pub fn build_on(self, log: impl Log) -> Hub {
        self.build_with(Some(Arc::new(log)))
    }

    /// Builds a hub in memory.
    pub fn build(self) -> Hub {
        self.build_with(None)
    }

    fn build_with(mut self, log: Option<Arc<dyn Log>>) -> Hub {
        self.rules.rules.splice(0..0, self.presence.retention());
        let rules = Arc::new(self.rules);
        let pinned = Pinned::new(self.pinned_limit);
        let journal = match &log {
            None => {
                let window = millis(self.idempotency_window);
                Journal::local(rules.clone(), self.budget, window, pinned.clone())
            }
            Some(log) => {
                let (origin, is_selective) = (log.origin(), log.is_selective());
                Journal::replica(rules.clone(), self.budget, origin, is_selective, pinned.clone())
            }
        };
        let is_shared = log.as_ref().is_some_and(|log| log.is_shared());
        let now = self.clock.now();
        let replication = log.map(|log| Arc::new(Replication::new(log, now)));
        let cluster = is_shared.then(Membership::new);
        let shared = Arc::new_cyclic(|this| Shared {
            registry: Registry::default(),
            feeds: Arc::new(Feeds::default()),
            coalescing: Coalescing::new(Self::COALESCED_BYTES, self.clock.clone()),
            presence: work::keeper(self.presence, cluster.as_ref(), this.clone(), &self.clock),
            clock: self.clock,
            pinned,
            is_relieving: false.into(),
            changing: 0.into(),
            journal: Mutex::new(journal),
            is_closed: false.into(),
            is_draining: false.into(),
            drain: Mutex::new(None),
            sources: Sources::default(),
            ends_by_reset: false.into(),
            defaults: self.defaults,
            retention: rules,
            counters: Counters::default(),
            replication: replication.clone(),
            cluster,
            upkeep: Upkeep::new(),
            this: this.clone(),
        });
        if let Some(replication) = replication {
            replication.log.start(Replica::new(&shared));
            shared.schedule_upkeep();
        }
        shared.presence.iter().for_each(|presence| presence.look());
        Hub::from_shared(shared)
    }
}
