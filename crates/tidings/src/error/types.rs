use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use super::field::FieldError;

/// The types of events could not be described, or are not what a file says.
///
/// The message says all that [`source`](Error::source) says; the source is there to be downcast.
#[derive(Debug)]
pub struct TypesError {
    cause: TypesErrorCause,
}

#[derive(Debug)]
#[cfg_attr(
    not(all(feature = "openapi", feature = "ts")),
    allow(dead_code, reason = "each feature has its own")
)]
pub(crate) enum TypesErrorCause {
    Field(FieldError),
    /// The Rust type, and why its variants cannot be told.
    NotAnEnum(&'static str, &'static str),
    /// What has two meanings.
    Conflict(String),
    /// What is not in the document.
    Missing(String),
    File(PathBuf, std::io::Error),
    OutOfDate(PathBuf),
}

impl TypesError {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> TypesErrorKind {
        match self.cause {
            TypesErrorCause::Field(_) => TypesErrorKind::Field,
            TypesErrorCause::NotAnEnum(..) => TypesErrorKind::NotAnEnum,
            TypesErrorCause::Conflict(_) => TypesErrorKind::Conflict,
            TypesErrorCause::Missing(_) => TypesErrorKind::Missing,
            TypesErrorCause::File(..) => TypesErrorKind::File,
            TypesErrorCause::OutOfDate(_) => TypesErrorKind::OutOfDate,
        }
    }
}

impl fmt::Display for TypesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            TypesErrorCause::Field(error) => error.fmt(f),
            TypesErrorCause::NotAnEnum(name, why) => {
                write!(f, "event names cannot be taken from the type {name}: {why}")
            }
            TypesErrorCause::Conflict(what) => write!(f, "{what} has two different types"),
            TypesErrorCause::Missing(what) => write!(f, "{what} is not in the document"),
            TypesErrorCause::File(path, error) => write!(f, "file {}: {error}", path.display()),
            TypesErrorCause::OutOfDate(path) => {
                write!(f, "file {} is not what the types of the events give", path.display())
            }
        }
    }
}

impl Error for TypesError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            TypesErrorCause::Field(error) => Some(error),
            TypesErrorCause::File(_, error) => Some(error),
            _ => None,
        }
    }
}

impl From<TypesErrorCause> for TypesError {
    fn from(cause: TypesErrorCause) -> Self {
        Self { cause }
    }
}

impl From<FieldError> for TypesError {
    fn from(error: FieldError) -> Self {
        TypesErrorCause::Field(error).into()
    }
}

impl From<Infallible> for TypesError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// What is wrong with the types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TypesErrorKind {
    /// A topic or a variant's name was refused; the source is the [`FieldError`].
    Field,
    /// The type is no enum, an untagged one, or one whose tagging cannot be told.
    NotAnEnum,
    /// Two types of the same name differ, or two events of a topic.
    Conflict,
    /// The document lacks the operation, or a schema that others refer to.
    Missing,
    /// A file could not be read or written; the source is the [`std::io::Error`].
    File,
    /// A file is not what the types give.
    OutOfDate,
}
