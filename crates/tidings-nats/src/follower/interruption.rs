use std::fmt::Display;

use tidings::backend::{LogError, LogErrorKind, Refused};

use crate::error::error;

/// Why following was interrupted.
#[derive(Debug)]
pub(super) enum Interruption {
    /// The link is down, or there is no answer.
    LinkLost(LogError),
    /// Events may be missing.
    Missed(LogError),
    /// An event is missing before one that was handed on: a replica that has that one has a gap.
    Overtaken,
    HubGone,
}

impl From<LogError> for Interruption {
    fn from(error: LogError) -> Self {
        Self::LinkLost(error)
    }
}

impl From<Refused> for Interruption {
    fn from(_: Refused) -> Self {
        Self::HubGone
    }
}

pub(super) fn missed(what: impl Display) -> Interruption {
    let cause = format_args!("something is missing: {what}");
    Interruption::Missed(error(LogErrorKind::Unavailable, cause))
}
