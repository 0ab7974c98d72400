use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::event::Event;
use crate::field::EventName;
use crate::retry::jittered;
use crate::stream_limit::StreamLimit;

/// The name of the event that ends a stream which the hub ends on purpose, and on its own: the stream's last event.
///
/// The data is JSON: `{"reason":"expired"}`, where the reason is an [`EndReason`]; there may be more fields, such as the
/// `limit` of `{"reason":"limited","limit":"principal"}`, a [`StreamLimit`]. The event has no
/// id, so it does not change where the client resumes. Where the client is to come back, the same block has a `retry` field,
/// with a jitter of ±20 %.
///
/// A stream that an operator [closes](crate::Clients), or whose hub is [closed](crate::Hub::close), ends without it.
pub const END_EVENT: &str = "tidings:end";

/// Why a hub has ended a stream: see [`END_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The client's right to the stream has ended: the client comes back with a new one.
    Expired,
    /// The application has found that the client has no right to the stream any more.
    Revoked,
    /// There are too many streams.
    Limited,
    /// A newer stream has taken its place.
    Superseded,
    /// The server is about to stop: the client comes back to another one.
    Drained,
    /// The stream was open for as long as one may be: the client comes back, perhaps to another server.
    Lifetime,
    /// All topics of the stream are finished.
    Finished,
}

impl EndReason {
    /// As in the data of an [`END_EVENT`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Limited => "limited",
            Self::Superseded => "superseded",
            Self::Drained => "drained",
            Self::Lifetime => "lifetime",
            Self::Finished => "finished",
        }
    }

    /// Whether the stream ends after everything that was published until then. The others end at once: what was not sent
    /// yet comes when the client resumes, if it may.
    pub(crate) fn sends_the_rest(self) -> bool {
        matches!(self, Self::Finished | Self::Drained | Self::Lifetime)
    }

    /// When the client is to come back, if it usually does so after this: one in whose place a newer stream came would supersede
    /// that in turn, so not soon.
    fn retry(self, usual: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Revoked | Self::Finished => None,
            Self::Superseded => usual.map(|usual| usual.saturating_mul(10)),
            Self::Expired | Self::Limited | Self::Drained | Self::Lifetime => usual,
        }
    }

    /// Whether the client may not be sent any more.
    pub(crate) fn is_of_rights(self) -> bool {
        matches!(self, Self::Expired | Self::Revoked)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for EndReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How a stream is to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) reason: EndReason,
    /// Which limit, if that is the reason.
    pub(crate) limit: Option<StreamLimit>,
    /// The rest that is sent before it ends at this offset: a topic that never rests would keep the stream otherwise.
    pub(crate) until: u64,
}

impl End {
    pub(crate) fn new(reason: EndReason) -> Self {
        Self { reason, limit: None, until: u64::MAX }
    }

    /// The last event of the stream, whose client usually comes back after `retry`.
    pub(crate) fn event(self, retry: Option<Duration>) -> Event {
        let Self { reason, limit, .. } = self;
        let limit = limit.map_or(String::new(), |limit| format!(r#","limit":"{limit}""#));
        let event = Event::new(format!(r#"{{"reason":"{reason}"{limit}}}"#));
        let event = event.with_name(EventName::trusted(END_EVENT));
        reason.retry(retry).map(jittered).into_iter().fold(event, Event::with_retry)
    }
}
