use std::error::Error;
use std::fmt;

use super::field::FieldError;
use super::filter::FilterError;
use crate::response::ErrorFormat;
use crate::stream_limit::StreamLimit;

/// A subscription was not opened, the topics of an open stream were not [changed](crate::ClientHandle), or a history was not read.
#[derive(Debug)]
pub struct SubscribeError {
    cause: SubscribeErrorCause,
    /// As the request prefers it.
    format: ErrorFormat,
}

#[derive(Debug)]
pub(crate) enum SubscribeErrorCause {
    Topic(FieldError),
    Filter(FilterError),
    NoTopics,
    TooManyTopics { count: usize, limit: usize },
    TooManyPatterns { count: usize, limit: usize },
    Unavailable,
    TooManyStreams(StreamLimit),
    Finished,
}

impl SubscribeError {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> SubscribeErrorKind {
        match self.cause {
            SubscribeErrorCause::Topic(_) => SubscribeErrorKind::Topic,
            SubscribeErrorCause::Filter(_) => SubscribeErrorKind::Filter,
            SubscribeErrorCause::NoTopics => SubscribeErrorKind::NoTopics,
            SubscribeErrorCause::TooManyTopics { .. } => SubscribeErrorKind::TooManyTopics,
            SubscribeErrorCause::TooManyPatterns { .. } => SubscribeErrorKind::TooManyPatterns,
            SubscribeErrorCause::Unavailable => SubscribeErrorKind::Unavailable,
            SubscribeErrorCause::TooManyStreams(_) => SubscribeErrorKind::TooManyStreams,
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
            SubscribeErrorCause::Filter(source) => source.fmt(f),
            SubscribeErrorCause::NoTopics => f.write_str("topic is missing"),
            SubscribeErrorCause::TooManyTopics { count, limit } => {
                write!(f, "subscription has {count} topics, over the limit of {limit}")
            }
            SubscribeErrorCause::TooManyPatterns { count, limit } => {
                write!(f, "subscription has {count} patterns, over the limit of {limit}")
            }
            SubscribeErrorCause::Unavailable => f.write_str("history cannot be read at present"),
            SubscribeErrorCause::TooManyStreams(limit) => f.write_str(match limit {
                StreamLimit::Principal => "principal has too many streams",
                StreamLimit::ClientKey => "client has too many streams",
                StreamLimit::Topic => "topic has too many streams",
            }),
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
            SubscribeErrorCause::Filter(source) => Some(source),
            _ => None,
        }
    }
}

/// Why a subscription was not opened or changed, or a history was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubscribeErrorKind {
    /// The name of a topic or pattern was refused; the source is the [`FieldError`].
    Topic,
    /// Several filters are too large together; the source is the [`FilterError`].
    Filter,
    /// No topic was named, or none would be left.
    NoTopics,
    /// There are more topics than [`HubBuilder::topics_per_subscription`](crate::HubBuilder::topics_per_subscription).
    TooManyTopics,
    /// There are more patterns than
    /// [`HubBuilder::patterns_per_subscription`](crate::HubBuilder::patterns_per_subscription).
    TooManyPatterns,
    /// Of [`Hub::history`](crate::Hub::history): the hub's log does not answer, or loses events faster than they are read.
    Unavailable,
    /// There is one stream too many, and the hub [wants a status](crate::OverLimit::Status) for it.
    TooManyStreams,
    /// The client has the last events of all its topics, which [are finished](crate::Hub::finish): nothing is to come. As a
    /// response this is 204 without a body, after which an EventSource does not come back.
    Finished,
}
