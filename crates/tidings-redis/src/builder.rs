//! Makes a log.

use std::sync::Arc;
use std::time::Duration;

use tidings::backend::{LogError, LogErrorKind};
use tokio::runtime::Handle;

use crate::endpoint::Endpoint;
use crate::engine::Engine;
use crate::log::RedisLog;
use crate::options::RedisOptions;
use crate::signals;

/// Options of a [`RedisLog`]. All nodes should have the same.
///
/// ```no_run
/// use std::time::Duration;
/// use tidings_redis::RedisLog;
///
/// # async fn example() -> Result<(), tidings::backend::LogError> {
/// let log = RedisLog::builder("redis://:secret@redis.internal/")
///     .name("shop")
///     .max_events(1_000_000)
///     .max_age(Duration::from_secs(3_600))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct RedisLogBuilder {
    url: String,
    options: RedisOptions,
    #[cfg(feature = "tls")]
    authority: Option<Vec<u8>>,
}

impl RedisLogBuilder {
    fn new(url: String) -> Self {
        Self {
            url,
            options: RedisOptions::default(),
            #[cfg(feature = "tls")]
            authority: None,
        }
    }

    /// The name that all keys of the log begin with: the stream is `{name}:log`. 1 to 100 visible ASCII characters
    /// other than `{` and `}`. Default: `tidings`.
    ///
    /// Logs with different names on one server are independent of each other.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// How many events the log keeps, over all topics, approximately: Redis trims in steps of about a hundred.
    /// Default: 100,000.
    pub fn max_events(mut self, events: u64) -> Self {
        // Redis counts no further.
        self.options.max_events = events.min(i64::MAX.unsigned_abs());
        self
    }

    /// How long the log keeps events, by Redis's clock, to the second. Default: without limit.
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.options.max_age = age.into();
        self
    }

    /// How many of the newest events a node begins with, over all topics. It serves clients that reconnect from
    /// these, and reads older ones from Redis. Default: 10,000.
    pub fn replay(mut self, events: u64) -> Self {
        self.options.replay = events;
        self
    }

    /// How long an idempotency key is remembered, a year at most. Default: two minutes.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.options.idempotency_window = window;
        self
    }

    /// How many events may wait to be appended by this node. Further ones are refused with
    /// [`LogErrorKind::Busy`]. Default: 10,000.
    pub fn max_pending(mut self, events: usize) -> Self {
        self.options.max_pending = events;
        self
    }

    /// How long an event waits for a connection, and how long one with an idempotency key is tried again over
    /// lost connections; one attempt to connect may exceed it. A year at most. Default: 5 s.
    pub fn append_timeout(mut self, timeout: Duration) -> Self {
        self.options.append_timeout = timeout;
        self
    }

    /// How long the server may take to answer before the connection counts as dead, a year at most. Default: 3 s. An
    /// event that was sent and not answered is [`LogErrorKind::Unacknowledged`]. (On the connection that follows the
    /// stream, the limit is 1.4 s.)
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.options.answer_timeout = timeout;
        self
    }

    /// How long making a connection may take, a year at most. Default: 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// An event is acknowledged only when as many replicas have it, too (`WAIT`). One that they do not have within
    /// the timeout, a year at most, is [`LogErrorKind::Unacknowledged`]. Default: the primary alone acknowledges.
    ///
    /// A failover is then much less likely to lose acknowledged events; it still may.
    pub fn wait_replicas(mut self, replicas: u32, timeout: Duration) -> Self {
        self.options.replicas = (replicas > 0).then_some((replicas, timeout));
        self
    }

    /// Trusts servers whose certificates this authority has signed, and no others: PEM. Default: the
    /// authorities that the system trusts.
    #[cfg(feature = "tls")]
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(pem.into());
        self
    }

    /// Connects, checks the server and that nodes can hear each other by it, and finds out which history it holds, or
    /// begins one.
    ///
    /// Must be called within a tokio runtime; the log lives on it.
    ///
    /// # Errors
    ///
    /// - [`LogErrorKind::Unavailable`] when no server answers in time;
    /// - [`LogErrorKind::Refused`] for an address, name or number that is out of range, credentials,
    ///   missing permissions, a version before 6.2, an eviction policy under which the log could vanish, or keys that
    ///   hold something else than a log;
    /// - [`LogErrorKind::Full`] when the server's memory or disk is;
    /// - [`LogErrorKind::Corrupt`] when the stream's history or its last id cannot be read;
    /// - [`LogErrorKind::Closed`] outside of a tokio runtime.
    pub async fn connect(self) -> Result<RedisLog, LogError> {
        let runtime = Handle::try_current().map_err(|error| {
            LogError::new(LogErrorKind::Closed, format!("redis: {error}")).with_source(error)
        })?;
        self.options.check()?;
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "only TLS changes it"))]
        let mut endpoint = Endpoint::parse(&self.url, self.options.connect_timeout)?;
        #[cfg(feature = "tls")]
        if let Some(authority) = self.authority {
            endpoint.trust(authority);
        }
        let engine = Arc::new(Engine::new(self.options, endpoint));
        engine.check_server().await?;
        signals::check(&engine).await?;
        let origin = engine.begin(None).await?;
        Ok(RedisLog::new(engine, origin, runtime))
    }
}

impl RedisLog {
    /// Connects to a server, a cluster, or through Sentinels, with the default options. See
    /// [`RedisLog::builder`] for the forms of an address.
    ///
    /// # Errors
    ///
    /// As those of [`RedisLogBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, LogError> {
        Self::builder(url).connect().await
    }

    /// A log with other options.
    ///
    /// | address | |
    /// |---|---|
    /// | `redis://[[user]:password@]host[:port][/database]` | one server |
    /// | `rediss://…` | by TLS; needs the feature `tls` |
    /// | `redis+unix:///path[?db=…]` | over a Unix socket |
    /// | `redis+cluster://…@host[:port],host[:port]…` | Redis Cluster: some of its nodes |
    /// | `redis+sentinel://…@host[:port],host[:port]…/name[/database]` | the primary that Sentinels know by this name; needs the feature `sentinel` |
    ///
    /// The last two exist with `rediss+`, too. Characters with a meaning in URLs must be percent-encoded in user
    /// and password. `?protocol=resp3` selects RESP3.
    pub fn builder(url: impl Into<String>) -> RedisLogBuilder {
        RedisLogBuilder::new(url.into())
    }
}

impl std::fmt::Debug for RedisLogBuilder {
    /// Without the address, which may have a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLogBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_of_events_is_the_largest_that_redis_knows() {
        let builder = RedisLog::builder("redis://localhost").max_events(u64::MAX);
        assert_eq!(builder.options.max_events.to_string(), i64::MAX.to_string());
    }

    #[test]
    fn a_builder_does_not_print_passwords() {
        let builder = RedisLog::builder("redis://:hunter2@localhost");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
