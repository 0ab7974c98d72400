//! The stream at a moment.

use tidings::backend::Epoch;

/// Which history the stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) epoch: Epoch,
    /// When the stream was made, in nanoseconds since the Unix epoch.
    pub(crate) created: i128,
}

/// The stream at a moment, as its leader reports it.
#[derive(Debug, Clone)]
pub(crate) struct StreamState {
    pub(crate) history: History,
    /// The server that leads the stream; `None` where there is only one.
    pub(crate) leader: Option<String>,
    /// The position of the oldest message in the stream.
    pub(crate) first: u64,
    /// The position of the newest message that there ever was.
    pub(crate) last: u64,
}
