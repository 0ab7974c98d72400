//! What idle streams send.

pub(crate) mod timer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::EventError;
use crate::{Comment, Event, EventName};

/// How long a stream may be idle before it sends a heartbeat, unless set: 15 seconds.
///
/// This is below the idle time limits of common proxies and load balancers (60 s for nginx and AWS's ALB, 100 s or
/// more for Cloudflare), even when one heartbeat is late.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);

/// An empty comment, which clients ignore (HTML standard, 9.2.6): the first bytes of a stream that has none of its own, and
/// the heartbeat unless set.
pub(crate) const EMPTY_COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// What an idle stream sends, and how long it is idle before: for a hub ([`HubBuilder::heartbeat`]), for a subscription
/// ([`Subscribe::heartbeat`]), or for a stream of events ([`EventStream::heartbeat`]).
///
/// By default, that is an empty comment after [15 seconds](DEFAULT_HEARTBEAT). Clients ignore comments, so a page cannot
/// notice that they stop coming; for a page that watches its connection, there is a heartbeat that it can listen for:
/// [`Heartbeat::event`]. It has no id, so it does not change where a client resumes, and it is not among the events that a
/// hub counts.
///
/// A duration is the heartbeat of an empty comment, and `None` is none at all. Cloning is cheap: clones share the bytes, and
/// so do the streams that send them.
///
/// ```
/// use std::time::Duration;
/// use tidings::{Heartbeat, Hub};
///
/// let hub = Hub::builder().heartbeat(Duration::from_secs(20)).build();
/// let subscribe = hub.subscribe(["news"]).heartbeat(Heartbeat::event("ping").every(Duration::from_secs(5)));
/// let silent = hub.subscribe(["news"]).heartbeat(None);
/// ```
///
/// [`HubBuilder::heartbeat`]: crate::HubBuilder::heartbeat
/// [`Subscribe::heartbeat`]: crate::Subscribe::heartbeat
/// [`EventStream::heartbeat`]: crate::EventStream::heartbeat
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Heartbeat {
    pub(crate) interval: Option<Duration>,
    pub(crate) bytes: HeartbeatBytes,
}

/// What a heartbeat sends, in the space of a pointer: thousands of idle streams have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HeartbeatBytes(Option<Arc<Bytes>>);

impl HeartbeatBytes {
    pub(crate) fn get(&self) -> Bytes {
        self.0.as_deref().map_or(EMPTY_COMMENT, Bytes::clone)
    }
}

impl Heartbeat {
    /// An empty comment.
    pub const fn comment() -> Self {
        Self { interval: Some(DEFAULT_HEARTBEAT), bytes: HeartbeatBytes(None) }
    }

    /// A comment with a text.
    ///
    /// ```
    /// use tidings::{Comment, Heartbeat};
    ///
    /// let heartbeat = Heartbeat::comment_text(Comment::new("still here")?);
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    pub fn comment_text(text: Comment) -> Self {
        Self::of(&Event::of_comment(text))
    }

    /// An event of this name, with empty data and without an id, which clients dispatch.
    ///
    /// For a name that is part of the program; [`try_event`](Self::try_event) takes others.
    ///
    /// # Panics
    ///
    /// When [`try_event`](Self::try_event) would return an error.
    #[track_caller]
    pub fn event(name: &'static str) -> Self {
        match Self::try_event(name) {
            Ok(heartbeat) => heartbeat,
            Err(error) => panic!("{error}"),
        }
    }

    /// An event of this name, with empty data and without an id, which clients dispatch.
    ///
    /// # Errors
    ///
    /// [`EventErrorKind::Field`](crate::error::EventErrorKind::Field) if the name is refused (see [`EventName`]), and
    /// [`EventErrorKind::ReservedName`](crate::error::EventErrorKind::ReservedName) if it begins with `tidings:`.
    ///
    /// ```
    /// use tidings::{error::EventErrorKind, Heartbeat};
    ///
    /// let heartbeat = Heartbeat::try_event(String::from("ping"))?;
    /// assert_eq!(heartbeat, Heartbeat::event("ping"));
    ///
    /// let error = Heartbeat::try_event("tidings:status").unwrap_err();
    /// assert_eq!(error.kind(), EventErrorKind::ReservedName);
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    pub fn try_event<N>(name: N) -> Result<Self, EventError>
    where
        N: TryInto<EventName>,
        N::Error: Into<EventError>,
    {
        let name = name.try_into().map_err(Into::into)?;
        if name.is_reserved() {
            return Err(EventError::reserved_name());
        }
        Ok(Self::of(&Event::new("").with_name(name)))
    }

    /// No heartbeats. A client that has vanished is then noticed only when an event is sent to it.
    pub const fn off() -> Self {
        Self { interval: None, bytes: HeartbeatBytes(None) }
    }

    /// Sets how long a stream may be idle before it sends the heartbeat. Default: 15 seconds. Heartbeats are up to 50 ms late.
    pub fn every(self, interval: Duration) -> Self {
        Self { interval: Some(interval), ..self }
    }

    fn of(event: &Event) -> Self {
        let bytes = HeartbeatBytes(Some(Arc::new(event.encode())));
        Self { interval: Some(DEFAULT_HEARTBEAT), bytes }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::comment()
    }
}

impl From<Duration> for Heartbeat {
    fn from(interval: Duration) -> Self {
        Self::comment().every(interval)
    }
}

impl From<Option<Duration>> for Heartbeat {
    fn from(interval: Option<Duration>) -> Self {
        Self { interval, ..Self::comment() }
    }
}
