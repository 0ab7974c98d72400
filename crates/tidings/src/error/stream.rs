use std::error::Error;
use std::fmt;

/// A stream ended early, after the last whole event.
///
/// The cause is in the application: the source is the error that it returned.
#[derive(Debug)]
pub struct StreamError {
    kind: StreamErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

impl StreamError {
    pub(crate) fn application(source: Box<dyn Error + Send + Sync>) -> Self {
        Self { kind: StreamErrorKind::Application, source }
    }

    pub(crate) fn snapshot(source: Box<dyn Error + Send + Sync>) -> Self {
        Self { kind: StreamErrorKind::Snapshot, source }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> StreamErrorKind {
        self.kind
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StreamErrorKind::Application => "event stream",
            StreamErrorKind::Snapshot => "snapshot",
        };
        write!(f, "{what} failed: {}", self.source)
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Where a stream's error came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// From the stream of events that the application gave to an [`EventStream`](crate::EventStream).
    Application,
    /// From the hook given to [`Subscribe::snapshot`](crate::Subscribe::snapshot).
    Snapshot,
}
