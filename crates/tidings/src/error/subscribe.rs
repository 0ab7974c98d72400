use std::error::Error;
use std::fmt;

use super::field::FieldError;

/// A subscription was not opened.
#[derive(Debug)]
pub struct SubscribeError {
    source: Option<FieldError>,
}

impl SubscribeError {
    pub(crate) fn topic(source: FieldError) -> Self {
        Self { source: Some(source) }
    }

    pub(crate) fn no_topics() -> Self {
        Self { source: None }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> SubscribeErrorKind {
        match self.source {
            Some(_) => SubscribeErrorKind::Topic,
            None => SubscribeErrorKind::NoTopics,
        }
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => source.fmt(f),
            None => f.write_str("topic is missing"),
        }
    }
}

impl Error for SubscribeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Why a subscription was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubscribeErrorKind {
    /// A topic's name was refused; the source is the [`FieldError`].
    Topic,
    /// No topic was named.
    NoTopics,
}
