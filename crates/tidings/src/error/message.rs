use std::error::Error;
use std::fmt;

/// The data of a [`Message`](crate::Message) is not what its reader expects.
///
/// The message says all that [`source`](Error::source) says; the source is there to be downcast.
#[derive(Debug)]
pub struct MessageError(MessageErrorCause);

#[derive(Debug)]
pub(crate) enum MessageErrorCause {
    /// Its name, and those of the enum's variants.
    UnknownEvent {
        name: String,
        expected: &'static [&'static str],
    },
    NotAnEnum,
    // Boxed, so that the JSON library is no part of what this crate promises.
    Json(Box<dyn Error + Send + Sync>),
}

impl MessageError {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> MessageErrorKind {
        match self.0 {
            MessageErrorCause::UnknownEvent { .. } => MessageErrorKind::UnknownEvent,
            MessageErrorCause::NotAnEnum => MessageErrorKind::NotAnEnum,
            MessageErrorCause::Json(_) => MessageErrorKind::Json,
        }
    }
}

impl From<MessageErrorCause> for MessageError {
    fn from(cause: MessageErrorCause) -> Self {
        Self(cause)
    }
}

impl From<serde_json::Error> for MessageError {
    fn from(error: serde_json::Error) -> Self {
        Self(MessageErrorCause::Json(error.into()))
    }
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            MessageErrorCause::UnknownEvent { name, expected } => {
                // The name is a server's: escaped, so that it cannot garble a log.
                write!(f, "event name {name:?} is not one of the enum's")?;
                for (index, name) in expected.iter().enumerate() {
                    write!(f, "{} {name:?}", if index == 0 { ":" } else { "," })?;
                }
                Ok(())
            }
            MessageErrorCause::NotAnEnum => {
                f.write_str("event name cannot be read into the type: only a tagged enum takes one")
            }
            MessageErrorCause::Json(error) => write!(f, "data cannot be read as JSON: {error}"),
        }
    }
}

impl Error for MessageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            MessageErrorCause::Json(error) => Some(&**error),
            _ => None,
        }
    }
}

/// Why a message could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageErrorKind {
    /// No variant of the enum has the event's name.
    UnknownEvent,
    /// A typed event was to be read into something that is no enum, or into an untagged one.
    NotAnEnum,
    /// The data is not JSON, or not that of the expected type.
    Json,
}
