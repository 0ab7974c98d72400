use std::convert::Infallible;
use std::error::Error;
use std::fmt;

use super::field::FieldError;
use super::publish::RESERVED_NAME;
use crate::event::NoTypedEvent;

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
    ReservedName,
    /// What was found in place of an enum.
    NotAnEnum(&'static str),
    // Boxed, so that the JSON library is no part of what this crate promises.
    Json(Box<dyn Error + Send + Sync>),
}

impl EventError {
    pub(crate) fn json(error: serde_json::Error) -> Self {
        Self { cause: Cause::Json(error.into()) }
    }

    pub(crate) fn reserved_name() -> Self {
        Self { cause: Cause::ReservedName }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> EventErrorKind {
        match self.cause {
            Cause::Field(_) => EventErrorKind::Field,
            Cause::ReservedName => EventErrorKind::ReservedName,
            Cause::NotAnEnum(_) => EventErrorKind::NotAnEnum,
            Cause::Json(_) => EventErrorKind::Json,
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Field(error) => error.fmt(f),
            Cause::ReservedName => f.write_str(RESERVED_NAME),
            Cause::NotAnEnum(found) => {
                write!(f, "event name cannot be taken from {found}: only a tagged enum has one")
            }
            Cause::Json(error) => write!(f, "data cannot be written as JSON: {error}"),
        }
    }
}

impl Error for EventError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Field(error) => Some(error),
            Cause::ReservedName | Cause::NotAnEnum(_) => None,
            Cause::Json(error) => Some(&**error),
        }
    }
}

impl From<FieldError> for EventError {
    fn from(error: FieldError) -> Self {
        Self { cause: Cause::Field(error) }
    }
}

impl From<NoTypedEvent> for EventError {
    fn from(error: NoTypedEvent) -> Self {
        match error {
            NoTypedEvent::NotAnEnum(found) => Self { cause: Cause::NotAnEnum(found) },
            NoTypedEvent::Json(error) => Self::json(error),
        }
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
    /// A name, an id, a comment, a key or the name of an attribute was refused; the source is the [`FieldError`].
    Field,
    /// A heartbeat's name is reserved for the hub.
    ReservedName,
    /// A typed event was to be made of something that is no enum, or of an untagged one.
    NotAnEnum,
    /// The value's `Serialize` failed, or JSON has no way to write it, such as a map whose keys are no strings.
    Json,
}
