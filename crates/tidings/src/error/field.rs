use std::convert::Infallible;
use std::error::Error;
use std::fmt;

/// Text was refused as an event name, an event id, a comment, a topic, a pattern, a key, the name of an attribute or an epoch.
///
/// The message names the field, the offending character and its place: `event name contains '\n' at byte 3`. Bytes are
/// counted from 0. The text itself is not part of the error: it may be long, secret, or meant to garble a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    field: Field,
    kind: FieldErrorKind,
    /// The first character that is not allowed, and its byte offset.
    found: Option<(char, usize)>,
    /// The greatest length in bytes, for [`FieldErrorKind::TooLong`], or the greatest number of `*`.
    limit: usize,
}

impl FieldError {
    pub(crate) fn empty(field: Field) -> Self {
        Self { field, kind: FieldErrorKind::Empty, found: None, limit: 0 }
    }

    pub(crate) fn too_long(field: Field, limit: usize) -> Self {
        Self { field, kind: FieldErrorKind::TooLong, found: None, limit }
    }

    pub(crate) fn too_many_wildcards(limit: usize) -> Self {
        let kind = FieldErrorKind::TooManyWildcards;
        Self { field: Field::TopicPattern, kind, found: None, limit }
    }

    /// The character at byte `at` of the text is not allowed.
    pub(crate) fn character(field: Field, kind: FieldErrorKind, text: &str, at: usize) -> Self {
        let found = text.get(at..).and_then(|rest| rest.chars().next()).map(|found| (found, at));
        Self { field, kind, found, limit: 0 }
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
        let field = self.field;
        match (self.kind, self.found) {
            // Escaped where it would not be visible.
            (_, Some((found, at))) => write!(f, "{field} contains {found:?} at byte {at}"),
            (FieldErrorKind::TooLong, _) => {
                write!(f, "{field} is longer than {} bytes", self.limit)
            }
            (FieldErrorKind::TooManyWildcards, _) => {
                write!(f, "{field} has more than {} `*`", self.limit)
            }
            (FieldErrorKind::Empty, _) if field == Field::EventName => {
                write!(f, "{field} is empty; leave it out for `message`")
            }
            (FieldErrorKind::Empty, _) => write!(f, "{field} is empty"),
            _ => write!(f, "{field} is not valid"),
        }
    }
}

impl Error for FieldError {}

// So that a generic `N: TryInto<EventName>` takes a parsed name.
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
    /// An [`EventKey`](crate::EventKey).
    EventKey,
    /// An [`AttributeName`](crate::AttributeName).
    AttributeName,
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
            Self::EventKey => "event key",
            Self::AttributeName => "attribute name",
            Self::Epoch => "epoch",
        })
    }
}

/// Why text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldErrorKind {
    /// It is empty, and must not be.
    Empty,
    /// It contains a CR or an LF, which would end the line, so that the rest would pass for another field.
    LineBreak,
    /// It contains a NUL, which makes clients ignore an id.
    Nul,
    /// It is longer than allowed.
    TooLong,
    /// It contains a space or other white space.
    WhiteSpace,
    /// It contains another character that is not allowed in this field.
    ForbiddenCharacter,
    /// It is a pattern with more than [`TopicPattern::MAX_WILDCARDS`](crate::TopicPattern::MAX_WILDCARDS) `*`.
    TooManyWildcards,
}
