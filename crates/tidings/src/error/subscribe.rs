use std::error::Error;
use std::fmt;

use super::field::FieldError;
use crate::response::ErrorFormat;

/// A subscription was not opened, or a history was not read.
#[derive(Debug)]
pub struct SubscribeError {
    cause: SubscribeErrorCause,
    /// As the request prefers it.
    format: ErrorFormat,
}

#[derive(Debug)]
pub(crate) enum SubscribeErrorCause {
    Topic(FieldError),
    NoTopics,
    TooManyTopics { count: usize, limit: usize },
    TooManyPatterns { count: usize, limit: usize },
    Unavailable,
    Finished,
}

impl SubscribeError {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> SubscribeErrorKind {
        match self.cause {
            SubscribeErrorCause::Topic(_) => SubscribeErrorKind::Topic,
            SubscribeErrorCause::NoTopics => SubscribeErrorKind::NoTopics,
            SubscribeErrorCause::TooManyTopics { .. } => SubscribeErrorKind::TooManyTopics,
            SubscribeErrorCause::TooManyPatterns { .. } => SubscribeErrorKind::TooManyPatterns,
            SubscribeErrorCause::Unavailable => SubscribeErrorKind::Unavailable,
            SubscribeErrorCause::Finished => SubscribeErrorKind::Finished,
        }
    }

    pub(crate) fn format(&self) -> ErrorFormat {
        self.format
    }

    pub(crate) fn with_format(mut self, format: ErrorFormat) -> Self {
        self.format = format;
        self
    }
}

impl From<SubscribeErrorCause> for SubscribeError {
    fn from(cause: SubscribeErrorCause) -> Self {
        Self { cause, format: ErrorFormat::default() }
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            SubscribeErrorCause::Topic(source) => source.fmt(f),
            SubscribeErrorCause::NoTopics => f.write_str("topic is missing"),
            SubscribeErrorCause::TooManyTopics { count, limit } => {
                write!(f, "subscription has {count} topics, over the limit of {limit}")
            }
            SubscribeErrorCause::TooManyPatterns { count, limit } => {
                write!(f, "subscription has {count} patterns, over the limit of {limit}")
            }
            SubscribeErrorCause::Unavailable => f.write_str("history cannot be read at present"),
            SubscribeErrorCause::Finished => {
                f.write_str("topics are finished, and the client has their last events")
            }
        }
    }
}

impl Error for SubscribeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            SubscribeErrorCause::Topic(source) => Some(source),
            _ => None,
        }
    }
}

/// Why a subscription was not opened, or a history was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubscribeErrorKind {
    /// A topic's name was refused; the source is the [`FieldError`].
    Topic,
    /// No topic was named.
    NoTopics,
    /// There are more topics than [`HubBuilder::topics_per_subscription`](crate::HubBuilder::topics_per_subscription).
    TooManyTopics,
    /// There are more patterns than
    /// [`HubBuilder::patterns_per_subscription`](crate::HubBuilder::patterns_per_subscription).
    TooManyPatterns,
    /// Of [`Hub::history`](crate::Hub::history): the hub's log does not answer, or loses events faster than they are read.
    Unavailable,
    /// The client has the last events of all its topics, which [are finished](crate::Hub::finish): nothing is to come. As a
    /// response this is 204 without a body, after which an EventSource does not come back.
    Finished,
}
