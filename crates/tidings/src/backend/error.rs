use std::error::Error;
use std::fmt;

/// A log could not do what it was asked.
///
/// The message names the engine and the cause: `redis: link is down: connection refused`.
#[derive(Debug)]
pub struct LogError {
    kind: LogErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl LogError {
    /// An error with a message in lower case that names the engine and the cause.
    pub fn new(kind: LogErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the engine's own error, for [`Error::source`]. The message should contain it already.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> LogErrorKind {
        self.kind
    }

    /// The log ended without an answer.
    pub(crate) fn unanswered() -> Self {
        Self::new(LogErrorKind::Unacknowledged, "log ended without an answer")
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for LogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// Why a log could not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogErrorKind {
    /// The engine cannot be reached. Nothing was sent to it, so nothing has happened.
    Unavailable,
    /// The request was sent, and no answer came in time. It may have been carried out; with an
    /// [`IdempotencyKey`](crate::IdempotencyKey) it can be repeated.
    Unacknowledged,
    /// Too many requests are waiting for the engine. Nothing has happened.
    Busy,
    /// The log has lost, or may have lost, some of the events that were asked for.
    Trimmed,
    /// The disk or the engine's memory is full. Nothing has happened.
    Full,
    /// The engine's data is not what this log wrote.
    Corrupt,
    /// The engine refuses: because of credentials, permissions, settings, or a version that is too old.
    Refused,
    /// The log was closed.
    Closed,
    /// The topic is finished: its newest event [is its last](crate::Event::is_last). Nothing has happened; but if this is a second
    /// attempt with an [`IdempotencyKey`](crate::IdempotencyKey), the first one may have put a void event after the last.
    Finished,
}

impl LogErrorKind {
    /// Whether it is certain that nothing has happened, so that the request can be repeated without a key.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self != Self::Unacknowledged
    }
}
