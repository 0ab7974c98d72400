use std::error::Error;
use std::fmt;

/// A console cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleError(&'static str);

impl ConsoleError {
    pub(crate) const TOKEN: Self = Self("console token is empty");
    pub(crate) const PATH: Self = Self(
        "console path must begin with `/`, not end with it, and have letters, digits, `-`, `_`, `.` and `/` only",
    );
}

impl fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for ConsoleError {}
