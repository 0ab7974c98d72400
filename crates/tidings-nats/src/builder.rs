//! Makes a log.

use std::fmt;
use std::time::Duration;

use tidings::backend::{LogError, LogErrorKind};

use crate::connect_options::ConnectOptions;
use crate::error::error;
use crate::log::NatsLog;
use crate::options::NatsOptions;
use crate::subject::is_prefix;

/// Options of a [`NatsLog`]; made by [`NatsLog::builder`].
///
/// The node that comes first makes the stream, with its options. A later node whose options differ is refused,
/// with the field that differs; options of the stream that it does not set are taken from the stream. No duration may be longer
/// than 36,500 days.
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
///     .connect_options(ConnectOptions::new().credentials_file("shop.creds"))
///     .connect("tls://nats.example.com")
///     .await?;
/// # drop(log);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `connect` is called"]
pub struct NatsLogBuilder {
    options: NatsOptions,
    connect_options: ConnectOptions,
}

impl NatsLogBuilder {
    /// The name of the stream: letters, digits, `-` and `_`. Default `TIDINGS`.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.options.stream = name.into();
        self
    }

    /// The prefix of the log's subjects: one or more tokens of letters, digits, `-` and `_`. Default `tidings`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.prefix = prefix.into();
        self
    }

    /// On how many servers of a NATS cluster the stream is kept: 1, 3 or 5. Default 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.options.limits.replicas = Some(replicas);
        self
    }

    /// How many events the stream keeps. Default 100,000.
    pub fn max_events(mut self, events: u64) -> Self {
        self.options.limits.max_events = Some(events);
        self
    }

    /// How many bytes the stream keeps. Default 1 GiB.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.options.limits.max_bytes = Some(bytes);
        self
    }

    /// For how long the stream keeps an event. Default: as long as there is room.
    ///
    /// Once all events of a stream have expired, a client that comes back may be reset although it missed
    /// nothing.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.options.limits.max_age = Some(age);
        self
    }

    /// For how long idempotency keys are remembered: the stream's window for duplicates. At least 100 ms and
    /// `append_timeout`, and at most `max_age`. Default 2 minutes, or `max_age` if that is shorter.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.options.limits.idempotency_window = Some(window);
        self
    }

    /// Whether this node receives only what its clients are subscribed to: it has a subscription for each topic, and a
    /// wildcard for each pattern, of about 6 KB each. Otherwise it has one subscription for everything. Default:
    /// no.
    ///
    /// With [patterns](crate#patterns), the names of topics should have dots, as subjects do: a wildcard covers
    /// everything below a complete token. For each topic of a pattern the node remembers the position of the newest
    /// event, as long as the stream has it.
    ///
    /// It is for nodes whose clients need a small part of many events. Events then come about 20 ms later: where
    /// several connections publish, the server may send out of order what it has stored in order, and a node that
    /// does not see everything can only wait for late messages. If one is later still, all clients are reset.
    pub fn selective(mut self, is_selective: bool) -> Self {
        self.options.is_selective = is_selective;
        self
    }

    /// How long an event may take to be acknowledged, including lost connections. After that the publication fails.
    /// Default 5 s. At most `idempotency_window`, or the window of a stream that exists: an event is sent again for so
    /// long, and the stream must know that it has it. At most 16,384 events of a node wait; further ones are refused
    /// with [`LogErrorKind::Busy`].
    pub fn append_timeout(mut self, timeout: Duration) -> Self {
        self.options.append_timeout = timeout;
        self
    }

    /// How long the server may take to answer any other question. Default 2 s. Pages of the stream are asked for up to three
    /// times, with pauses of half of that.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.request_timeout = timeout;
        self
    }

    /// Credentials, certificates, and other options of the connection.
    pub fn connect_options(mut self, options: ConnectOptions) -> Self {
        self.connect_options = options;
        self
    }

    /// Connects, and makes the stream if there is none. Must be called within a tokio runtime; the log lives on
    /// it.
    ///
    /// `servers` is the address of one, `nats://host[:port]` or `tls://host[:port]`, or those of several with commas
    /// between them.
    ///
    /// # Errors
    ///
    /// - [`LogErrorKind::Unavailable`] if no server answers;
    /// - [`LogErrorKind::Refused`] if an option is out of range, if the server does not accept the credentials, has no
    ///   JetStream, or complains of a [permission](crate#subjects-and-permissions) that is missing, or if the stream exists with
    ///   other options, with the field that differs;
    /// - [`LogErrorKind::Full`] if there is no room for the stream;
    /// - [`LogErrorKind::Corrupt`] if the epoch that it has stored cannot be read;
    /// - [`LogErrorKind::Closed`] outside of a tokio runtime.
    pub async fn connect(self, servers: impl AsRef<str>) -> Result<NatsLog, LogError> {
        check(&self.options)?;
        NatsLog::open(self.options, self.connect_options, servers.as_ref()).await
    }
}

impl NatsLog {
    /// Connects with the default options.
    ///
    /// # Errors
    ///
    /// See [`NatsLogBuilder::connect`].
    pub async fn connect(servers: impl AsRef<str>) -> Result<Self, LogError> {
        Self::builder().connect(servers).await
    }

    /// A log with other options.
    pub fn builder() -> NatsLogBuilder {
        NatsLogBuilder { options: NatsOptions::default(), connect_options: ConnectOptions::new() }
    }
}

impl fmt::Debug for NatsLogBuilder {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsLogBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A server counts nanoseconds, up to some 290 years.
const LONGEST: Duration = Duration::from_secs(36_500 * 24 * 3600);

fn check(options: &NatsOptions) -> Result<(), LogError> {
    let NatsOptions { stream, prefix, .. } = options;
    let refused = |cause: String| Err(error(LogErrorKind::Refused, cause));
    if !is_prefix(stream) || stream.contains('.') {
        return refused(format!("stream: `{stream}` is not a name of letters, digits, - and _"));
    }
    if !is_prefix(prefix) {
        return refused(format!(
            "prefix: `{prefix}` is not made of tokens of letters, digits, - and _"
        ));
    }
    let limits = &options.limits;
    let durations = [
        ("max_age", limits.max_age.unwrap_or_default()),
        ("idempotency_window", limits.idempotency_window.unwrap_or_default()),
        ("append_timeout", options.append_timeout),
        ("request_timeout", options.request_timeout),
    ];
    match durations.into_iter().find(|(_, duration)| *duration > LONGEST) {
        Some((field, duration)) => refused(format!("{field}: {duration:?} is too long")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn malformed_names_are_refused_before_anything_is_sent() {
        for builder in [NatsLog::builder().stream("a.b"), NatsLog::builder().prefix("a..b")] {
            let error = builder.connect("nats://127.0.0.1:1").await.unwrap_err();
            assert_eq!(error.kind(), LogErrorKind::Refused);
        }
    }

    #[tokio::test]
    async fn durations_out_of_range_are_refused_with_the_field() {
        let builder = NatsLog::builder;
        for (field, builder) in [
            ("max_age", builder().max_age(Duration::MAX)),
            ("idempotency_window", builder().idempotency_window(Duration::MAX)),
            ("append_timeout", builder().append_timeout(Duration::MAX)),
            ("request_timeout", builder().request_timeout(Duration::MAX)),
        ] {
            let error = builder.connect("nats://127.0.0.1:1").await.unwrap_err();
            assert_eq!(error.kind(), LogErrorKind::Refused, "{error}");
            assert!(error.to_string().starts_with(&format!("nats: {field}: ")), "{error}");
        }
        let longest = builder().append_timeout(LONGEST).request_timeout(LONGEST);
        let error = longest.connect("nats://127.0.0.1:1").await.unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Unavailable, "{error}");
    }
}
