//! How many streams there may be of one kind, and what happens to one more.

use std::fmt;

/// A limit on the number of streams: see [`HubBuilder::streams_per_principal`](crate::HubBuilder::streams_per_principal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StreamLimit {
    /// Of a [principal](crate::Subscribe::principal).
    Principal,
    /// Of a [client key](crate::Subscribe::client_key).
    ClientKey,
    /// Of a topic, or of a pattern by its own name.
    Topic,
}

impl StreamLimit {
    /// As in the data of an [`END_EVENT`](crate::END_EVENT).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::ClientKey => "client_key",
            Self::Topic => "topic",
        }
    }
}

impl fmt::Display for StreamLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many streams a hub has of one principal, one client key, and one topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamLimits {
    pub(crate) of_principal: usize,
    pub(crate) of_client_key: usize,
    pub(crate) of_topic: usize,
    pub(crate) over: OverLimit,
}

impl StreamLimits {
    pub(crate) const NONE: Self = Self {
        of_principal: usize::MAX,
        of_client_key: usize::MAX,
        of_topic: usize::MAX,
        over: OverLimit::Retry,
    };
}

/// What happens when a stream is one too many: see [`HubBuilder::over_limit`](crate::HubBuilder::over_limit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OverLimit {
    /// The new stream is 200, an [`END_EVENT`](crate::END_EVENT) with the reason `limited` and a `retry` with jitter, and
    /// its end. A browser's EventSource comes back later by itself; any other status stops it for good.
    #[default]
    Retry,
    /// The oldest stream of the same principal or client key ends, with the reason `superseded`: whoever opens one more tab
    /// goes on in that one. A client that was superseded comes back by itself, too, and supersedes the next one, unless its
    /// page listens for the end and closes its EventSource. A topic's streams are others', so over the limit of a topic it
    /// is as with [`Retry`](Self::Retry).
    Supersede,
    /// The request is answered with an error,
    /// [`TooManyStreams`](crate::error::SubscribeErrorKind::TooManyStreams), which adapters make 429.
    Status,
}
