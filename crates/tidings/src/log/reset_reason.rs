use std::fmt;

use serde::Serialize;

/// Why a client could not be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ResetReason {
    /// Events that the client missed grew older than the topic retains them.
    Expired,
    /// Events that the client missed were removed to make room for newer ones, of the topic or of the hub.
    Trimmed,
    /// The client's id is not one of this history: it comes from another run of the process, from another
    /// service, it is not an id, or the client was cut off within a snapshot or the history of an added topic. In mid-stream:
    /// the hub's log has become another history.
    #[default]
    Unknown,
}

impl fmt::Display for ResetReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::Trimmed => "trimmed",
            Self::Unknown => "unknown",
        })
    }
}
