use std::error::Error;
use std::fmt;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// A URL, a header or another option is invalid.
    Settings,
    /// The server cannot be reached: its name is unknown, or it accepts no connection.
    Unreachable,
    /// The server responds, but not with an event stream: with another status, another content type,
    /// or something that is not HTTP/1.1.
    Refused,
    /// The system lacks a resource: a thread, a process, or enough open files.
    System,
}

/// Why a load failed.
#[derive(Debug)]
pub struct LoadError {
    kind: LoadErrorKind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl LoadError {
    pub(crate) fn new(kind: LoadErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn settings(message: impl Into<String>) -> Self {
        Self::new(LoadErrorKind::Settings, message)
    }

    /// Fails with the message of the first condition that is true.
    pub(crate) fn refuse_if<const N: usize>(conditions: [(bool, &str); N]) -> Result<(), Self> {
        let refused = conditions.into_iter().find(|(is_refused, _)| *is_refused);
        refused.map_or(Ok(()), |(_, message)| Err(Self::settings(message)))
    }

    /// The message must say what the source says; the source itself is for programs.
    pub(crate) fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// The kind, for programs.
    #[must_use]
    pub fn kind(&self) -> LoadErrorKind {
        self.kind
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
