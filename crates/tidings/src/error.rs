//! What can go wrong, one type for each family of operations.
//!
//! Every type is opaque, so that it can learn more without breaking anybody: callers match on `kind()` and read
//! the message.

use std::{convert::Infallible, error::Error, fmt};

use crate::backend::{LogError, LogErrorKind};

/// Text was refused as an event name, an event id, a comment or a topic.
///
/// The message names the field and the cause: `event name: contains a line break at byte 3`. Bytes are counted
/// from 0. The text itself is not part of the error: it may be long, secret or meant to garble a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    field: Field,
    kind: FieldErrorKind,
    at: Option<usize>,
}

impl FieldError {
    /// `at` is the offset of the first byte that may not be there. For [`FieldErrorKind::TooLong`] that is the
    /// longest length allowed, which is how the message puts it.
    pub(crate) fn new(field: Field, kind: FieldErrorKind, at: Option<usize>) -> Self {
        Self { field, kind, at }
    }

    /// What the text was meant to be.
    #[must_use]
    pub fn field(&self) -> Field {
        self.field
    }

    /// Why it was refused.
    #[must_use]
    pub fn kind(&self) -> FieldErrorKind {
        self.kind
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field)?;
        let what = match (self.kind, self.at) {
            (FieldErrorKind::TooLong, Some(limit)) => {
                return write!(f, "is longer than {limit} bytes");
            }
            (FieldErrorKind::Empty, _) if self.field == Field::EventName => {
                "is empty; leave it out for `message`"
            }
            (FieldErrorKind::Empty, _) => "is empty",
            (FieldErrorKind::LineBreak, _) => "contains a line break",
            (FieldErrorKind::Nul, _) => "contains a NUL",
            (FieldErrorKind::TooLong, None) => "is too long",
            (FieldErrorKind::WhiteSpace, _) => "contains white space",
            (FieldErrorKind::ForbiddenCharacter, _) => "contains a character that is not allowed",
            (FieldErrorKind::Reserved, _) => "is reserved",
        };
        f.write_str(what)?;
        match self.at {
            Some(at) => write!(f, " at byte {at}"),
            None => Ok(()),
        }
    }
}

impl Error for FieldError {}

// Lets a generic `N: TryInto<EventName>` take a name that is parsed already.
impl From<Infallible> for FieldError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A kind of text that is parsed before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// An [`EventName`](crate::EventName).
    EventName,
    /// An [`EventId`](crate::EventId).
    EventId,
    /// A [`Comment`](crate::Comment).
    Comment,
    /// The name of a topic.
    Topic,
    /// A pattern that matches topics.
    TopicPattern,
    /// An [`IdempotencyKey`](crate::IdempotencyKey).
    IdempotencyKey,
    /// The name of a history: an [`Epoch`](crate::backend::Epoch).
    Epoch,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EventName => "event name",
            Self::EventId => "event id",
            Self::Comment => "comment",
            Self::Topic => "topic",
            Self::TopicPattern => "topic pattern",
            Self::IdempotencyKey => "idempotency key",
            Self::Epoch => "epoch",
        })
    }
}

/// Why text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldErrorKind {
    /// It is empty where it has to say something.
    Empty,
    /// It holds a CR or an LF, which would end the line and let what follows pass for another field.
    LineBreak,
    /// It holds a NUL, which makes clients ignore an id.
    Nul,
    /// It is longer than allowed.
    TooLong,
    /// It holds a space or other white space.
    WhiteSpace,
    /// It holds another character that this field does not allow.
    ForbiddenCharacter,
    /// It is kept for the library's own use.
    Reserved,
}

/// An event could not be built.
///
/// The message says all that [`source`](Error::source) says; the source is there to be downcast.
#[derive(Debug)]
pub struct EventError {
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Field(FieldError),
    // Boxed, so that the JSON library is no part of what this crate promises.
    Json(Box<dyn Error + Send + Sync>),
}

impl EventError {
    pub(crate) fn json(error: serde_json::Error) -> Self {
        Self { cause: Cause::Json(error.into()) }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> EventErrorKind {
        match self.cause {
            Cause::Field(_) => EventErrorKind::Field,
            Cause::Json(_) => EventErrorKind::Json,
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Field(error) => error.fmt(f),
            Cause::Json(error) => write!(f, "data: cannot be written as JSON: {error}"),
        }
    }
}

impl Error for EventError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match &self.cause {
            Cause::Field(error) => error,
            Cause::Json(error) => &**error,
        })
    }
}

impl From<FieldError> for EventError {
    fn from(error: FieldError) -> Self {
        Self { cause: Cause::Field(error) }
    }
}

impl From<Infallible> for EventError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// What went wrong in building an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventErrorKind {
    /// A name, an id or a comment was refused; the source is the [`FieldError`].
    Field,
    /// The value's `Serialize` failed, or JSON has no way to write it, such as a map whose keys are no strings.
    Json,
}

/// An event stream could not be decoded.
///
/// Bad syntax is not among the causes: the specification gives every sequence of bytes a meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    limit: usize,
}

impl DecodeError {
    pub(crate) fn too_large(limit: usize) -> Self {
        Self { limit }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> DecodeErrorKind {
        DecodeErrorKind::TooLarge
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event is larger than the limit of {} bytes", self.limit)
    }
}

impl Error for DecodeError {}

/// What went wrong in decoding a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// An event outgrew [`Decoder::max_event_bytes`](crate::Decoder::max_event_bytes).
    TooLarge,
}

/// An event was not published. Nothing of it is in the hub, unless its log says otherwise: see
/// [`PublishErrorKind::Log`].
#[derive(Debug)]
pub struct PublishError {
    kind: PublishErrorKind,
    source: Option<FieldError>,
    log: Option<LogError>,
    /// For `TooLarge`: the event's size and the limit, in bytes.
    size: (usize, usize),
}

impl PublishError {
    fn of(kind: PublishErrorKind) -> Self {
        Self { kind, source: None, log: None, size: (0, 0) }
    }

    pub(crate) fn topic(source: FieldError) -> Self {
        Self { source: Some(source), ..Self::of(PublishErrorKind::Topic) }
    }

    pub(crate) fn key(source: FieldError) -> Self {
        Self { source: Some(source), ..Self::of(PublishErrorKind::Key) }
    }

    pub(crate) fn log(source: LogError) -> Self {
        match source.kind() {
            LogErrorKind::Closed => Self::closed(),
            _ => Self { log: Some(source), ..Self::of(PublishErrorKind::Log) },
        }
    }

    pub(crate) fn has_id() -> Self {
        Self::of(PublishErrorKind::HasId)
    }

    pub(crate) fn reserved() -> Self {
        Self::of(PublishErrorKind::ReservedName)
    }

    pub(crate) fn not_dispatched() -> Self {
        Self::of(PublishErrorKind::NotDispatched)
    }

    pub(crate) fn too_large(size: usize, limit: usize) -> Self {
        Self { size: (size, limit), ..Self::of(PublishErrorKind::TooLarge) }
    }

    pub(crate) fn closed() -> Self {
        Self::of(PublishErrorKind::Closed)
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> PublishErrorKind {
        self.kind
    }

    /// What the hub's log says, for [`PublishErrorKind::Log`].
    #[must_use]
    pub fn log_error(&self) -> Option<&LogError> {
        self.log.as_ref()
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.source) {
            (_, Some(source)) => source.fmt(f),
            (PublishErrorKind::Topic, None) => f.write_str("topic: is not valid"),
            (PublishErrorKind::Key, None) => f.write_str("idempotency key: is not valid"),
            (PublishErrorKind::Log, _) => match &self.log {
                Some(error) => error.fmt(f),
                None => f.write_str("log: has failed"),
            },
            (PublishErrorKind::HasId, _) => {
                f.write_str("event id: is given by the hub; publish the event without one")
            }
            (PublishErrorKind::ReservedName, _) => {
                f.write_str("event name: names that begin with `tidings:` are reserved for the hub")
            }
            (PublishErrorKind::NotDispatched, _) => {
                f.write_str("event: has neither name nor data, so that no client would see it")
            }
            (PublishErrorKind::TooLarge, _) => {
                let (size, limit) = self.size;
                write!(f, "event: is {size} bytes as encoded, over the limit of {limit} bytes")
            }
            (PublishErrorKind::Closed, _) => f.write_str("hub: is closed"),
        }
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match (&self.source, &self.log) {
            (Some(source), _) => Some(source),
            (None, Some(log)) => Some(log),
            (None, None) => None,
        }
    }
}

/// Why an event was not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// The topic's name was refused; the source is the [`FieldError`].
    Topic,
    /// The event has an id of its own.
    HasId,
    /// The event has a name of the hub's.
    ReservedName,
    /// The event has neither name nor data.
    NotDispatched,
    /// The event is larger than [`HubBuilder::max_event_bytes`](crate::HubBuilder::max_event_bytes).
    TooLarge,
    /// The idempotency key was refused; the source is the [`FieldError`].
    Key,
    /// The hub's log did not take it; the source is the [`LogError`], whose
    /// [`kind`](LogError::kind) tells whether it may be there all the same.
    Log,
    /// The hub is closed.
    Closed,
}

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
            None => f.write_str("topic: there is none to subscribe to"),
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

/// A stream ended before its time, behind the last whole event.
///
/// Its cause is the application's: the source is the error that it returned.
#[derive(Debug)]
pub struct StreamError {
    kind: StreamErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

impl StreamError {
    pub(crate) fn application(source: Box<dyn Error + Send + Sync>) -> Self {
        Self { kind: StreamErrorKind::Application, source }
    }

    pub(crate) fn snapshot(source: Box<dyn Error + Send + Sync>) -> Self {
        Self { kind: StreamErrorKind::Snapshot, source }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> StreamErrorKind {
        self.kind
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StreamErrorKind::Application => "event stream",
            StreamErrorKind::Snapshot => "snapshot",
        };
        write!(f, "{what}: failed: {}", self.source)
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// Where a stream's error came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamErrorKind {
    /// From the stream of events that the application gave to an [`EventStream`](crate::EventStream).
    Application,
    /// From the hook given to [`Subscribe::snapshot`](crate::Subscribe::snapshot).
    Snapshot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_field_and_the_cause() {
        use FieldErrorKind as Kind;

        let message = |field, kind, at| FieldError::new(field, kind, at).to_string();
        assert_eq!(
            message(Field::EventName, Kind::LineBreak, Some(3)),
            "event name: contains a line break at byte 3"
        );
        assert_eq!(
            message(Field::EventName, Kind::Empty, None),
            "event name: is empty; leave it out for `message`"
        );
        assert_eq!(message(Field::Topic, Kind::Empty, None), "topic: is empty");
        assert_eq!(
            message(Field::EventId, Kind::Nul, Some(0)),
            "event id: contains a NUL at byte 0"
        );
        assert_eq!(
            message(Field::Topic, Kind::TooLong, Some(256)),
            "topic: is longer than 256 bytes"
        );
        assert_eq!(
            message(Field::TopicPattern, Kind::ForbiddenCharacter, Some(2)),
            "topic pattern: contains a character that is not allowed at byte 2"
        );
        assert_eq!(message(Field::EventName, Kind::Reserved, None), "event name: is reserved");
    }

    #[test]
    fn errors_can_cross_threads() {
        fn check<E: Error + Send + Sync + 'static>() {}
        check::<FieldError>();
        check::<EventError>();
        check::<DecodeError>();
    }
}
