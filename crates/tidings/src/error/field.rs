use std::convert::Infallible;
use std::error::Error;
use std::fmt;

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
