use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tidings::backend::{LogError, LogErrorKind};

/// What can go wrong with the file, without its path.
#[derive(Debug)]
pub(crate) enum Fault {
    Engine(Box<redb::Error>),
    System(io::Error),
    /// The file is open already.
    Taken,
    /// The file holds something that this crate has not written.
    Damaged(String),
    /// redb panicked on what it found.
    Panicked(String),
    /// The file is not a log, or one of another format.
    Foreign(String),
    /// The events that were asked for are not kept any more.
    Trimmed,
    /// The file is not open: it could not be opened again, or the log has ended.
    Closed,
}

impl Fault {
    pub(crate) fn damaged(what: impl Display) -> Self {
        Self::Damaged(what.to_string())
    }

    pub(crate) fn kind(&self) -> LogErrorKind {
        match self {
            Self::System(error) => kind_of(error),
            Self::Engine(error) => match **error {
                redb::Error::PreviousIo => LogErrorKind::Unavailable,
                redb::Error::UpgradeRequired(_) => LogErrorKind::Refused,
                _ => LogErrorKind::Corrupt,
            },
            Self::Taken | Self::Foreign(_) => LogErrorKind::Refused,
            Self::Trimmed => LogErrorKind::Trimmed,
            Self::Closed => LogErrorKind::Unavailable,
            Self::Damaged(_) | Self::Panicked(_) => LogErrorKind::Corrupt,
        }
    }

    /// The error of the log in the file at `path`.
    pub(crate) fn at(self, path: &Path) -> LogError {
        let kind = self.kind();
        let cause = match &self {
            Self::Engine(error) => error.to_string(),
            Self::System(error) => error.to_string(),
            Self::Damaged(what) | Self::Foreign(what) => what.clone(),
            Self::Panicked(said) => format!("redb panicked: {said}"),
            Self::Taken => "is open already, in this process or another".to_owned(),
            Self::Trimmed => "the events that were asked for are not kept any more".to_owned(),
            Self::Closed => "is not open".to_owned(),
        };
        let what = match kind {
            LogErrorKind::Full => "there is no room: ",
            LogErrorKind::Corrupt => "is damaged: ",
            _ => "",
        };
        let error = LogError::new(kind, format!("redb: {}: {what}{cause}", path.display()));
        match self {
            Self::Engine(engine) => error.with_source(engine),
            Self::System(system) => error.with_source(system),
            _ => error,
        }
    }
}

fn kind_of(error: &io::Error) -> LogErrorKind {
    use io::ErrorKind::{
        FileTooLarge, InvalidData, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull, UnexpectedEof,
    };
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => LogErrorKind::Full,
        UnexpectedEof | InvalidData => LogErrorKind::Corrupt,
        PermissionDenied | ReadOnlyFilesystem => LogErrorKind::Refused,
        _ => LogErrorKind::Unavailable,
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self::System(error),
            redb::Error::DatabaseAlreadyOpen => Self::Taken,
            error => Self::Engine(Box::new(error)),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

macro_rules! from_parts {
    ($($error:ident)+) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })+
    };
}

from_parts! { StorageError TableError TransactionError CommitError DatabaseError CompactionError }

/// Calls into redb. It checks what it reads by assertions as well as by errors; on a damaged file, both must become
/// errors.
///
/// A panic may leave what `call` has borrowed in an inconsistent state, so the database is then closed and opened
/// again.
pub(crate) fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a message");
        Err(Fault::Panicked(said.to_owned()))
    })
}
