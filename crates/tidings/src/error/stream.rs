use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::log::reset_reason::ResetReason;

/// A stream ended early: after a whole event, unless it was [cut](StreamErrorKind::Cut).
///
/// If the cause is in the application, the source is the error that it returned.
#[derive(Debug)]
pub struct StreamError {
    kind: StreamErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl StreamError {
    pub(crate) fn application(source: Box<dyn Error + Send + Sync>) -> Self {
        Self { kind: StreamErrorKind::Application, source: Some(source.into()) }
    }

    pub(crate) fn snapshot(source: Arc<dyn Error + Send + Sync>) -> Self {
        Self { kind: StreamErrorKind::Snapshot, source: Some(source) }
    }

    /// It held memory that others need.
    pub(crate) fn cut() -> Self {
        Self { kind: StreamErrorKind::Cut, source: None }
    }

    /// The client was to be reset, and cannot be told.
    pub(crate) fn reset(reason: ResetReason) -> Self {
        Self { kind: StreamErrorKind::Reset(reason), source: None }
    }

    /// In place of an orderly end.
    pub(crate) fn ended() -> Self {
        Self { kind: StreamErrorKind::Ended, source: None }
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
            StreamErrorKind::Application => "event stream failed",
            StreamErrorKind::Snapshot => "snapshot failed",
            StreamErrorKind::Cut => "stream was cut because of the memory that it held",
            StreamErrorKind::Reset(reason) => {
                return write!(
                    f,
                    "client lagged so far that its next event is gone ({reason}), and cannot be told without a status event"
                );
            }
            StreamErrorKind::Ended => "stream was ended by its hub",
        };
        match &self.source {
            Some(source) => write!(f, "{what}: {source}"),
            None => f.write_str(what),
        }
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Where a stream's error came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// From the stream of events that the application gave to an [`EventStream`](crate::EventStream).
    Application,
    /// From the hook given to [`Subscribe::snapshot`](crate::Subscribe::snapshot), or from its time limit.
    Snapshot,
    /// From the hub, because too much memory is pinned: see
    /// [`HubBuilder::pinned_limit`](crate::HubBuilder::pinned_limit).
    Cut,
    /// The client was to be reset in mid-stream, and cannot be told, because the subscription
    /// [sends no status events](crate::Subscribe::status).
    Reset(ResetReason),
    /// From the hub, in place of an orderly end: see [`Hub::end_streams_by_reset`](crate::Hub::end_streams_by_reset). Or because
    /// it has failed, which would be a defect.
    Ended,
}
