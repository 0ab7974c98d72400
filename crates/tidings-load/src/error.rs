use std::error::Error;
use std::fmt;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// A URL, a header or a setting makes no sense.
    Settings,
    /// The server cannot be reached: its name is unknown, or it takes no connection.
    Unreachable,
    /// The server answers, but not with an event stream: another status, another content type, or
    /// something that is not HTTP/1.1.
    Refused,
    /// The system does not let the load be made: no thread, no process, not enough open files.
    System,
}

/// Why a load could not be made.
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

    /// The source's words belong into the message; the source itself is for programs.
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
