use std::error::Error;
use std::fmt;

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
