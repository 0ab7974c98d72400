use std::error::Error;
use std::fmt;

use super::field::FieldError;
use crate::backend::{LogError, LogErrorKind};

/// An event was not published. It is not in the hub, with one possible exception: see [`PublishErrorKind::Log`].
#[derive(Debug)]
pub struct PublishError(PublishErrorCause);

pub(super) const RESERVED_NAME: &str =
    "event name is reserved: names that begin with `tidings:` belong to the hub";

#[derive(Debug)]
pub(crate) enum PublishErrorCause {
    Topic(FieldError),
    HasId,
    ReservedName,
    NotDispatched,
    /// In bytes.
    TooLarge {
        size: usize,
        limit: usize,
    },
    Key(FieldError),
    Log(LogError),
    Closed,
    TooManyPublications,
    Finished,
}

impl PublishError {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> PublishErrorKind {
        match self.0 {
            PublishErrorCause::Topic(_) => PublishErrorKind::Topic,
            PublishErrorCause::HasId => PublishErrorKind::HasId,
            PublishErrorCause::ReservedName => PublishErrorKind::ReservedName,
            PublishErrorCause::NotDispatched => PublishErrorKind::NotDispatched,
            PublishErrorCause::TooLarge { .. } => PublishErrorKind::TooLarge,
            PublishErrorCause::Key(_) => PublishErrorKind::Key,
            PublishErrorCause::Log(_) => PublishErrorKind::Log,
            PublishErrorCause::Closed => PublishErrorKind::Closed,
            PublishErrorCause::TooManyPublications => PublishErrorKind::TooManyPublications,
            PublishErrorCause::Finished => PublishErrorKind::Finished,
        }
    }

    /// The log's error, for [`PublishErrorKind::Log`].
    #[must_use]
    pub fn log_error(&self) -> Option<&LogError> {
        match &self.0 {
            PublishErrorCause::Log(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PublishErrorCause> for PublishError {
    fn from(cause: PublishErrorCause) -> Self {
        Self(cause)
    }
}

impl From<LogError> for PublishErrorCause {
    fn from(error: LogError) -> Self {
        match error.kind() {
            LogErrorKind::Closed => Self::Closed,
            LogErrorKind::Finished => Self::Finished,
            _ => Self::Log(error),
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            PublishErrorCause::Topic(error) | PublishErrorCause::Key(error) => return error.fmt(f),
            PublishErrorCause::Log(error) => return error.fmt(f),
            PublishErrorCause::TooLarge { size, limit } => {
                return write!(f, "event is {size} bytes, over the limit of {limit} bytes");
            }
            PublishErrorCause::HasId => {
                "event id is given by the hub; publish the event without one"
            }
            PublishErrorCause::ReservedName => RESERVED_NAME,
            PublishErrorCause::NotDispatched => {
                "event has neither name nor data, so that no client would see it"
            }
            PublishErrorCause::Closed => "hub is closed",
            PublishErrorCause::TooManyPublications => {
                "source has published more than it may; try again later"
            }
            PublishErrorCause::Finished => "topic is finished",
        })
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            PublishErrorCause::Topic(error) | PublishErrorCause::Key(error) => Some(error),
            PublishErrorCause::Log(error) => Some(error),
            _ => None,
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
    /// The [source](crate::Hub::source) has published more than it may.
    TooManyPublications,
    /// The topic [is finished](crate::Hub::finish).
    Finished,
}
