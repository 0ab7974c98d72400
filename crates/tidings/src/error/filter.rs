use std::convert::Infallible;
use std::error::Error;
use std::fmt;

use super::field::FieldError;

/// A [`Filter`](crate::Filter) could not be built.
///
/// The message says all that [`source`](Error::source) says; the source is there to be downcast.
#[derive(Debug)]
pub struct FilterError {
    cause: FilterErrorCause,
}

#[derive(Debug)]
pub(crate) enum FilterErrorCause {
    Field(FieldError),
    TooLarge { size: usize, limit: usize },
}

impl FilterError {
    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> FilterErrorKind {
        match self.cause {
            FilterErrorCause::Field(_) => FilterErrorKind::Field,
            FilterErrorCause::TooLarge { .. } => FilterErrorKind::TooLarge,
        }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            FilterErrorCause::Field(error) => error.fmt(f),
            FilterErrorCause::TooLarge { size, limit } => {
                write!(f, "filter is {size} bytes, over the limit of {limit}")
            }
        }
    }
}

impl Error for FilterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            FilterErrorCause::Field(error) => Some(error),
            FilterErrorCause::TooLarge { .. } => None,
        }
    }
}

impl From<FilterErrorCause> for FilterError {
    fn from(cause: FilterErrorCause) -> Self {
        Self { cause }
    }
}

impl From<FieldError> for FilterError {
    fn from(error: FieldError) -> Self {
        FilterErrorCause::Field(error).into()
    }
}

impl From<Infallible> for FilterError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// What is wrong with a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FilterErrorKind {
    /// The name of an attribute was refused; the source is the [`FieldError`].
    Field,
    /// It is larger than [`Filter::MAX_BYTES`](crate::Filter::MAX_BYTES).
    TooLarge,
}
