use std::fmt;
use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Republish, RetentionPolicy, StorageType,
};
use async_nats::{ConnectOptions, ToServerAddrs};
use tidings::backend::{LogError, LogErrorKind};

use crate::error::error;
use crate::log::NatsLog;
use crate::subject::{Subjects, is_prefix};

/// Settings of a [`NatsLog`]; made by [`NatsLog::builder`].
///
/// Those of the stream count when there is none yet: the node that comes first makes it. A later one
/// that was told otherwise is refused, with the field that differs; settings that are not given are
/// taken as the stream has them.
///
/// ```no_run
/// use std::time::Duration;
/// use tidings_nats::{ConnectOptions, NatsLog};
///
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// let log = NatsLog::builder()
///     .stream("SHOP")
///     .prefix("shop.events")
///     .replicas(3)
///     .max_age(Duration::from_secs(24 * 3600))
///     .connect_options(ConnectOptions::new().credentials_file("shop.creds").await?)
///     .connect("tls://nats.example.com")
///     .await?;
/// # drop(log);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `connect` is called"]
pub struct NatsLogBuilder {
    pub(crate) stream: String,
    pub(crate) prefix: String,
    pub(crate) limits: Limits,
    pub(crate) is_selective: bool,
    pub(crate) append_timeout: Duration,
    pub(crate) request_timeout: Duration,
    options: ConnectOptions,
}

/// What the stream is to keep; `None` where nothing was said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    pub(crate) replicas: Option<usize>,
    max_events: Option<u64>,
    max_bytes: Option<u64>,
    max_age: Option<Duration>,
    idempotency_window: Option<Duration>,
}

impl fmt::Debug for NatsLogBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options know the credentials.
        f.debug_struct("NatsLogBuilder")
            .field("stream", &self.stream)
            .field("prefix", &self.prefix)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl NatsLogBuilder {
    pub(crate) fn new() -> Self {
        Self {
            stream: "TIDINGS".to_owned(),
            prefix: "tidings".to_owned(),
            limits: Limits::default(),
            is_selective: false,
            append_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(2),
            options: ConnectOptions::new(),
        }
    }

    /// The name of the stream: letters, digits, `-` and `_`. Default `TIDINGS`.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = name.into();
        self
    }

    /// What the log's subjects begin with: letters, digits, `-` and `_`, perhaps in several tokens.
    /// Default `tidings`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// On how many servers of a NATS cluster the stream is kept: 1, 3 or 5. Default 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.limits.replicas = Some(replicas);
        self
    }

    /// How many events the stream keeps. Default 100,000.
    pub fn max_events(mut self, events: u64) -> Self {
        self.limits.max_events = Some(events);
        self
    }

    /// How many bytes the stream keeps. Default 1 GiB.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.max_bytes = Some(bytes);
        self
    }

    /// For how long the stream keeps an event. Default: as long as there is room.
    ///
    /// Where all events of a stream have grown too old, a client that comes back may be reset although
    /// it has missed nothing.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.limits.max_age = Some(age);
        self
    }

    /// For how long idempotency keys are remembered: the stream's window for duplicates. At least 100
    /// ms, and not above `max_age`. Default 2 minutes.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.limits.idempotency_window = Some(window);
        self
    }

    /// Whether this node is sent only what its clients want: it has a subscription for each topic that
    /// somebody is subscribed to, and a wildcard for each family of topics, of some 6 KB. Else it has one
    /// subscription for everything. Default: no.
    ///
    /// With [families](crate#families-of-topics), the names of topics should have dots, as subjects do: a wildcard
    /// stands for all that is below a complete token. Of each topic of a family the node remembers the position of the
    /// newest event, as long as the stream has it.
    ///
    /// It is for nodes whose clients want little of much. Events come some 20 ms later then: where several
    /// connections publish, the server may send on out of order what it has stored in order, and who does not
    /// see everything can only wait for what is late. Should something be later still, all clients are reset.
    pub fn selective(mut self, is_selective: bool) -> Self {
        self.is_selective = is_selective;
        self
    }

    /// How long an event may take to be acknowledged, connections that are lost meanwhile included.
    /// Beyond it the publication fails. Default 5 s.
    pub fn append_timeout(mut self, timeout: Duration) -> Self {
        self.append_timeout = timeout;
        self
    }

    /// How long the server may take to answer any other question. Default 2 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Credentials, certificates, and what else NATS wants to know of a client. Pings, reconnecting and
    /// the capacity of subscriptions are set by the log.
    pub fn connect_options(mut self, options: ConnectOptions) -> Self {
        self.options = options;
        self
    }

    /// Connects, and makes the stream if there is none. Within a tokio runtime, on which the log runs.
    ///
    /// # Errors
    ///
    /// [`LogErrorKind::Unavailable`] if no server answers;
    /// [`LogErrorKind::Refused`] if a setting is not possible, if the server does not accept the
    /// credentials or has no JetStream, or if there is a stream of that name that is not for this, with
    /// the field that differs; [`LogErrorKind::Full`] if there is no room for the stream.
    pub async fn connect(mut self, servers: impl ToServerAddrs) -> Result<NatsLog, LogError> {
        self.check()?;
        let options = std::mem::take(&mut self.options);
        NatsLog::open(self, options, servers).await
    }

    fn check(&self) -> Result<(), LogError> {
        let refused = |cause: String| Err(error(LogErrorKind::Refused, cause));
        let Self { stream, prefix, .. } = self;
        if !is_prefix(stream) || stream.contains('.') {
            return refused(format!(
                "stream: `{stream}` is not a name of letters, digits, - and _"
            ));
        }
        if !is_prefix(prefix) {
            return refused(format!(
                "prefix: `{prefix}` is not made of tokens of letters, digits, - and _"
            ));
        }
        Ok(())
    }
}

impl Limits {
    /// The configuration of a new stream.
    pub(crate) fn config(&self, name: &str, subjects: &Subjects) -> Config {
        Config {
            name: name.to_owned(),
            description: Some("The log of a Tidings hub".to_owned()),
            subjects: vec![subjects.all()],
            republish: Some(republish(subjects)),
            allow_rollup: true,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: self.replicas.unwrap_or(1),
            // Two are the log's own.
            max_messages: signed(self.max_events.unwrap_or(100_000)).saturating_add(2),
            max_bytes: signed(self.max_bytes.unwrap_or(1 << 30)),
            max_age: self.max_age.unwrap_or_default(),
            max_messages_per_subject: -1,
            max_consumers: -1,
            duplicate_window: self.window(),
            ..Config::default()
        }
    }

    fn window(&self) -> Duration {
        self.idempotency_window.unwrap_or_else(|| {
            let usual = Duration::from_secs(120);
            self.max_age.map_or(usual, |age| age.min(usual))
        })
    }

    /// Whether a stream that is there already is what was asked for.
    pub(crate) fn check(&self, found: &Config, subjects: &Subjects) -> Result<(), LogError> {
        let wanted = self.config(&found.name, subjects);
        let needed = [
            ("subjects", found.subjects == wanted.subjects),
            ("republish", found.republish == wanted.republish),
            ("retention", found.retention == wanted.retention),
            ("allow_rollup_hdrs", found.allow_rollup),
            // Else events would vanish from the middle, and nobody could know.
            ("max_msgs_per_subject", found.max_messages_per_subject <= 0),
            ("no_ack", !found.no_ack),
            ("sealed", !found.sealed),
        ];
        let set = [
            ("num_replicas", self.replicas.is_none() || found.num_replicas == wanted.num_replicas),
            ("max_msgs", self.max_events.is_none() || found.max_messages == wanted.max_messages),
            ("max_bytes", self.max_bytes.is_none() || found.max_bytes == wanted.max_bytes),
            ("max_age", self.max_age.is_none() || found.max_age == wanted.max_age),
            (
                "duplicate_window",
                self.idempotency_window.is_none()
                    || found.duplicate_window == wanted.duplicate_window,
            ),
        ];
        match needed.into_iter().chain(set).find(|(_, is_so)| !is_so) {
            None => Ok(()),
            Some((field, _)) => {
                let cause =
                    format!("stream {}: its {field} is not what this log needs", found.name);
                Err(error(LogErrorKind::Refused, cause))
            }
        }
    }
}

fn republish(subjects: &Subjects) -> Republish {
    let (source, destination) = (subjects.all(), subjects.all_live());
    Republish { source, destination, headers_only: false }
}

fn signed(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects() -> Subjects {
        Subjects::new("tidings".to_owned())
    }

    #[test]
    fn a_stream_that_is_as_it_was_made_is_accepted() {
        let limits = Limits { max_events: Some(5), ..Limits::default() };
        let config = limits.config("S", &subjects());
        limits.check(&config, &subjects()).unwrap();
        Limits::default().check(&config, &subjects()).unwrap();
    }

    #[test]
    fn a_stream_that_differs_is_refused_with_the_field() {
        let limits = Limits { max_events: Some(5), ..Limits::default() };
        let mut config = limits.config("S", &subjects());
        config.max_messages = 6;
        let error = limits.check(&config, &subjects()).unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Refused);
        assert_eq!(error.to_string(), "nats: stream S: its max_msgs is not what this log needs");
        config.republish = None;
        let error = Limits::default().check(&config, &subjects()).unwrap_err();
        assert!(error.to_string().contains("its republish is not"), "{error}");
    }

    #[test]
    fn a_window_is_not_longer_than_the_history() {
        let limits = Limits { max_age: Some(Duration::from_secs(60)), ..Limits::default() };
        assert_eq!(limits.config("S", &subjects()).duplicate_window, Duration::from_secs(60));
    }

    #[tokio::test]
    async fn names_that_cannot_be_are_refused_before_anything_is_sent() {
        for builder in [NatsLog::builder().stream("a.b"), NatsLog::builder().prefix("a..b")] {
            let error = builder.connect("nats://127.0.0.1:1").await.unwrap_err();
            assert_eq!(error.kind(), LogErrorKind::Refused);
        }
    }
}
