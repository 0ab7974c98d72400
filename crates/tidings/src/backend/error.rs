use std::error::Error;
use std::fmt;

/// A log could not do what it was asked to.
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

    /// Adds the engine's own error, for [`Error::source`]. The message should say it already.
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

    /// Nobody has answered.
    pub(crate) fn unanswered() -> Self {
        Self::new(LogErrorKind::Unacknowledged, "log has ended without an answer")
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

/// Why a log could not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogErrorKind {
    /// The engine cannot be reached, and nothing was sent to it: nothing has happened.
    Unavailable,
    /// It was sent, and no answer came in time. It may have happened; with an
    /// [`IdempotencyKey`](crate::IdempotencyKey) it can be asked for again.
    Unacknowledged,
    /// Too much is waiting for the engine already. Nothing has happened.
    Busy,
    /// Some of the events that were asked for are not in the log any more, or may not be.
    Trimmed,
    /// There is no room, on the disk or in the engine's memory. Nothing has happened.
    Full,
    /// What the engine holds is not what this log wrote.
    Corrupt,
    /// The engine refuses: credentials, permissions, settings, a version that is too old.
    Refused,
    /// The log was closed.
    Closed,
}

impl LogErrorKind {
    /// Whether nothing has happened for sure, so that the same can be tried again without a key.
    #[must_use]
    pub fn is_clean(self) -> bool {
        self != Self::Unacknowledged
    }
}
