//! The settings of a log.

use std::sync::Arc;
use std::time::Duration;

use tidings::backend::{LogError, LogErrorKind};
use tokio::runtime::Handle;

use crate::endpoint::Endpoint;
use crate::error::refused;
use crate::log::RedisLog;
use crate::position::MAX_KEYS;
use crate::settings::Settings;
use crate::streams::Streams;

/// Settings of a [`RedisLog`]. All nodes should have the same.
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
    settings: Settings,
    #[cfg(feature = "tls")]
    authority: Option<Vec<u8>>,
}

impl RedisLogBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            settings: Settings::default(),
            #[cfg(feature = "tls")]
            authority: None,
        }
    }

    /// The name that all of the log's keys begin with: the stream is `{name}:log`. Default: `tidings`.
    /// Hubs of different names on one server have nothing to do with each other.
    ///
    /// 1 to 100 visible ASCII characters other than `{` and `}`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Over how many streams the log is spread: 1 to 64. Default: 1. See
    /// [the crate's documentation](crate#one-hub-on-several-keys) for what that brings and costs. The
    /// number belongs to the log: opening it with another is refused.
    pub fn keys(mut self, keys: usize) -> Self {
        self.settings.keys = keys;
        self
    }

    /// How many events the log keeps, over all topics, approximately: Redis trims in steps of some
    /// hundred. Default: 100,000.
    pub fn max_events(mut self, events: u64) -> Self {
        self.settings.max_events = events;
        self
    }

    /// How long the log keeps events, by Redis's clock, to the second. Default: without limit.
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.settings.max_age = age.into();
        self
    }

    /// With how many of the newest events a node begins, over all topics. It answers clients that
    /// reconnect from these, and asks Redis for older ones. Default: 10,000.
    pub fn replay(mut self, events: u64) -> Self {
        self.settings.replay = events;
        self
    }

    /// How long an idempotency key is remembered. Default: two minutes.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.settings.idempotency_window = window;
        self
    }

    /// How many events may wait to be appended by this node. Further ones are refused with
    /// [`LogErrorKind::Busy`]. Default: 10,000.
    pub fn max_pending(mut self, events: usize) -> Self {
        self.settings.max_pending = events;
        self
    }

    /// How long an event waits for a connection, and how long one with an idempotency key is tried again
    /// over lost connections; give or take an attempt to connect. Default: 5 s.
    pub fn append_timeout(mut self, timeout: Duration) -> Self {
        self.settings.append_timeout = timeout;
        self
    }

    /// How long the server may take to answer before the connection is taken for dead. Default: 3 s. What
    /// was sent and not answered is [`LogErrorKind::Unacknowledged`]. (The connection that events are
    /// read from is watched more closely, with 1.4 s.)
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.settings.answer_timeout = timeout;
        self
    }

    /// How long making a connection may take. Default: 2 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// An event is acknowledged when so many replicas have it, too (`WAIT`). One that they do not have
    /// within the time is [`LogErrorKind::Unacknowledged`]. Default: the primary's word is enough.
    ///
    /// It makes losing acknowledged events in a failover much less likely; it does not exclude it.
    pub fn wait_replicas(mut self, replicas: u32, timeout: Duration) -> Self {
        self.settings.replicas = (replicas > 0).then_some((replicas, timeout));
        self
    }

    /// Trusts servers whose certificates this authority has signed, and no others: PEM. Default: the
    /// authorities that the system trusts.
    #[cfg(feature = "tls")]
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(pem.into());
        self
    }

    /// Connects, checks the server, and finds out which history it holds, or begins one.
    ///
    /// Must be called within a tokio runtime; the log lives on it.
    ///
    /// # Errors
    ///
    /// - [`LogErrorKind::Unavailable`] when no server answers in time;
    /// - [`LogErrorKind::Refused`] for an address, name or number that is out of range, credentials,
    ///   missing permissions, a version before 6.2, an eviction policy under which the log could vanish,
    ///   or a log that is spread over another number of keys;
    /// - [`LogErrorKind::Full`] when the server's memory or disk is;
    /// - [`LogErrorKind::Corrupt`] when the log's keys hold something else;
    /// - [`LogErrorKind::Closed`] outside of a tokio runtime.
    pub async fn connect(self) -> Result<RedisLog, LogError> {
        let runtime = Handle::try_current().map_err(|error| {
            LogError::new(LogErrorKind::Closed, format!("redis: {error}")).with_source(error)
        })?;
        let settings = self.settings;
        check(&settings)?;
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "only TLS has more to say"))]
        let mut endpoint = Endpoint::parse(&self.url, settings.connect_timeout)?;
        #[cfg(feature = "tls")]
        if let Some(authority) = self.authority {
            endpoint.trust(authority);
        }
        let streams = Arc::new(Streams::new(settings, endpoint));
        streams.check_servers().await?;
        let beginning = streams.begin(None).await?;
        Ok(RedisLog::new(streams, beginning, runtime))
    }
}

impl std::fmt::Debug for RedisLogBuilder {
    /// Without the address, which may have a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLogBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn check(settings: &Settings) -> Result<(), LogError> {
    const MAX_NAME: usize = 100;

    let name = &settings.name;
    let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name) {
        return Err(refused(format_args!(
            "name: {name:?} is not 1 to {MAX_NAME} visible ASCII characters other than braces"
        )));
    }
    if !(1..=MAX_KEYS).contains(&settings.keys) {
        return Err(refused(format_args!("keys: {} is not 1 to {MAX_KEYS}", settings.keys)));
    }
    if settings.max_events == 0 {
        return Err(refused("max events is 0"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused_with_the_field() {
        let refused = |settings: Settings| check(&settings).unwrap_err().to_string();
        for name in ["", "a b", "a{b", &"a".repeat(101)] {
            let error = refused(Settings { name: name.to_owned(), ..Settings::default() });
            assert!(error.starts_with("redis: name: "), "{error}");
        }
        for keys in [0, 65] {
            let error = refused(Settings { keys, ..Settings::default() });
            assert_eq!(error, format!("redis: keys: {keys} is not 1 to 64"));
        }
        assert!(check(&Settings::default()).is_ok());
    }

    #[test]
    fn a_builder_does_not_print_passwords() {
        let builder = RedisLogBuilder::new("redis://:hunter2@localhost".to_owned());
        assert!(!format!("{builder:?}").contains("hunter2"));
    }
}
