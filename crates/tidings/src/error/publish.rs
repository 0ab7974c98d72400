use std::error::Error;
use std::fmt;

use super::field::FieldError;
use crate::backend::{LogError, LogErrorKind};

/// An event was not published. It is not in the hub, with one possible exception: see [`PublishErrorKind::Log`].
#[derive(Debug)]
pub struct PublishError {
    kind: PublishErrorKind,
    source: Option<FieldError>,
    log: Option<LogError>,
    /// For `TooLarge`: the event's size and the limit, in bytes.
    size: (usize, usize),
}

impl PublishError {
    fn of(kind: PublishErrorKind) -> Self {
        Self { kind, source: None, log: None, size: (0, 0) }
    }

    pub(crate) fn topic(source: FieldError) -> Self {
        Self { source: Some(source), ..Self::of(PublishErrorKind::Topic) }
    }

    pub(crate) fn key(source: FieldError) -> Self {
        Self { source: Some(source), ..Self::of(PublishErrorKind::Key) }
    }

    pub(crate) fn log(source: LogError) -> Self {
        match source.kind() {
            LogErrorKind::Closed => Self::closed(),
            _ => Self { log: Some(source), ..Self::of(PublishErrorKind::Log) },
        }
    }

    pub(crate) fn has_id() -> Self {
        Self::of(PublishErrorKind::HasId)
    }

    pub(crate) fn reserved() -> Self {
        Self::of(PublishErrorKind::ReservedName)
    }

    pub(crate) fn not_dispatched() -> Self {
        Self::of(PublishErrorKind::NotDispatched)
    }

    pub(crate) fn too_large(size: usize, limit: usize) -> Self {
        Self { size: (size, limit), ..Self::of(PublishErrorKind::TooLarge) }
    }

    pub(crate) fn closed() -> Self {
        Self::of(PublishErrorKind::Closed)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> PublishErrorKind {
        self.kind
    }

    /// The log's error, for [`PublishErrorKind::Log`].
    #[must_use]
    pub fn log_error(&self) -> Option<&LogError> {
        self.log.as_ref()
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.source) {
            (_, Some(source)) => source.fmt(f),
            (PublishErrorKind::Topic, None) => f.write_str("topic is not valid"),
            (PublishErrorKind::Key, None) => f.write_str("idempotency key is not valid"),
            (PublishErrorKind::Log, _) => match &self.log {
                Some(error) => error.fmt(f),
                None => f.write_str("log has failed"),
            },
            (PublishErrorKind::HasId, _) => {
                f.write_str("event id is given by the hub; publish the event without one")
            }
            (PublishErrorKind::ReservedName, _) => f.write_str(
                "event name is reserved: names that begin with `tidings:` belong to the hub",
            ),
            (PublishErrorKind::NotDispatched, _) => {
                f.write_str("event has neither name nor data, so that no client would see it")
            }
            (PublishErrorKind::TooLarge, _) => {
                let (size, limit) = self.size;
                write!(f, "event is {size} bytes as encoded, over the limit of {limit} bytes")
            }
            (PublishErrorKind::Closed, _) => f.write_str("hub is closed"),
        }
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match (&self.source, &self.log) {
            (Some(source), _) => Some(source),
            (None, Some(log)) => Some(log),
            (None, None) => None,
        }
    }
}

/// Why an event was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// The topic's name was refused; the source is the [`FieldError`].
    Topic,
    /// The event has an id, which only the hub may give.
    HasId,
    /// The event's name is reserved for the hub.
    ReservedName,
    /// The event has neither name nor data.
    NotDispatched,
    /// The event is larger than [`HubBuilder::max_event_bytes`](crate::HubBuilder::max_event_bytes).
    TooLarge,
    /// The idempotency key was refused; the source is the [`FieldError`].
    Key,
    /// The hub's log did not acknowledge the event. The source is the [`LogError`], whose [`kind`](LogError::kind) says whether
    /// the event may be in the log all the same.
    Log,
    /// The hub is closed.
    Closed,
}
