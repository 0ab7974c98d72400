use std::time::Duration;

/// How many of the retained events a *fresh* client is sent before it goes live.
///
/// This does not concern a client that resumes, which gets what it missed, or one that is reset, which gets all that is
/// retained or a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum History {
    /// None: the client starts live. If all its topics [are finished](crate::Hub::finish), it is sent their last events.
    #[default]
    None,
    /// All events that the [retention](crate::Retention) of the topics keeps, on a log, too.
    All,
    /// The newest events, at most this many, of all its topics together.
    Last(usize),
    /// Events that are not older than this.
    Within(Duration),
}
