use serde::Serialize;

use crate::client_id::ClientId;
use crate::event::Event;
use crate::field::{EventId, EventName};
use crate::log::reset_reason::ResetReason;

/// The name of the status event, which is the first event of a hub's stream unless it is
/// [turned off](crate::Subscribe::status), and is sent again at a reset in mid-stream. A stream that is turned away has none, and
/// one that has to end while it waits for the hub's log or for a snapshot: [`END_EVENT`](crate::END_EVENT) may be their only event.
///
/// A browser cannot read the response headers of an EventSource, so the stream itself says what the client's
/// Last-Event-ID has led to. The data is JSON:
///
/// - `{"status":"fresh","client":"…"}`: the client did not say where it left off; it begins here. With
///   `"complete":false` if it was to be sent [history](crate::History), and some of what was asked for is gone, or may be.
/// - `{"status":"resumed","client":"…"}`: everything since its last event follows.
/// - `{"status":"reset","reason":"…","client":"…"}`: there is a gap. What the client knows is void; all that is still
///   retained follows, oldest first, or a snapshot. See [`ResetReason`].
///
/// The event's id is the position from which the client now follows, so a client that is cut off before its first real
/// event can resume, too. Only before a snapshot is it one that leads to another reset: the snapshot's last event has the
/// position. `client` is the [`ClientId`].
pub const STATUS_EVENT: &str = "tidings:status";

/// How a subscription begins, or goes on after a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The client did not say where it left off.
    Fresh,
    /// Everything since the client's last event follows.
    Resumed,
    /// The client has missed something that is gone.
    Reset(ResetReason),
    /// The hub is reading its [log](crate::backend), or compares patterns with thousands of topics or a filter with thousands of
    /// events, and does not know yet. The stream's first event will say.
    Pending,
}

impl Status {
    /// The status event.
    ///
    /// `is_complete` says whether the history that follows is all that was asked for.
    pub(crate) fn event(self, client: ClientId, id: EventId, is_complete: bool) -> Event {
        #[derive(Serialize)]
        struct Data {
            status: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<ResetReason>,
            #[serde(skip_serializing_if = "Option::is_none")]
            complete: Option<bool>,
            client: ClientId,
        }
        let (status, reason) = match self {
            Self::Fresh => ("fresh", None),
            // Nothing is announced before it is certain.
            Self::Resumed | Self::Pending => ("resumed", None),
            Self::Reset(reason) => ("reset", Some(reason)),
        };
        let complete = (!is_complete).then_some(false);
        // Short strings: serialising them cannot fail, and an empty object is no lie.
        let data = serde_json::to_string(&Data { status, reason, complete, client })
            .unwrap_or("{}".into());
        Event::new(data).with_name(EventName::trusted(STATUS_EVENT)).with_id(id)
    }
}
