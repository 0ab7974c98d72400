use std::fmt::Display;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tidings::backend::{LogError, LogErrorKind};

/// What can go wrong with the file, before anybody is told.
#[derive(Debug)]
pub(crate) enum Fault {
    Engine(redb::Error),
    /// The file holds what this crate has not written.
    Damaged(String),
    /// redb gave up on what it found.
    Panicked(String),
    /// The file is somebody else's, or of another version.
    Foreign(String),
    /// What was asked for is not kept any more.
    Trimmed,
    /// The file is not open: it could not be opened anew, or the log has ended.
    Closed,
}

impl Fault {
    pub(crate) fn damaged(what: impl Display) -> Self {
        Self::Damaged(what.to_string())
    }

    pub(crate) fn kind(&self) -> LogErrorKind {
        match self {
            Self::Engine(redb::Error::Io(error)) => kind_of(error),
            Self::Engine(redb::Error::PreviousIo) => LogErrorKind::Unavailable,
            Self::Engine(redb::Error::DatabaseAlreadyOpen | redb::Error::UpgradeRequired(_))
            | Self::Foreign(_) => LogErrorKind::Refused,
            Self::Trimmed => LogErrorKind::Trimmed,
            Self::Closed => LogErrorKind::Unavailable,
            Self::Engine(_) | Self::Damaged(_) | Self::Panicked(_) => LogErrorKind::Corrupt,
        }
    }

    /// The error of the log in the file at `path`.
    pub(crate) fn at(self, path: &Path) -> LogError {
        let kind = self.kind();
        let path = path.display();
        let engine = |cause: &dyn Display| match kind {
            LogErrorKind::Full => format!("redb: {path}: there is no room: {cause}"),
            LogErrorKind::Corrupt => format!("redb: {path}: is damaged: {cause}"),
            _ => format!("redb: {path}: {cause}"),
        };
        match self {
            Self::Engine(redb::Error::DatabaseAlreadyOpen) => LogError::new(
                kind,
                format!("redb: {path}: is open already, in this process or another"),
            ),
            Self::Engine(redb::Error::Io(error)) => {
                LogError::new(kind, engine(&error)).with_source(error)
            }
            Self::Engine(error) => LogError::new(kind, engine(&error)).with_source(error),
            Self::Damaged(what) => LogError::new(kind, engine(&what)),
            Self::Panicked(said) => {
                LogError::new(kind, engine(&format_args!("the engine gave up on it: {said}")))
            }
            Self::Foreign(what) => LogError::new(kind, format!("redb: {path}: {what}")),
            Self::Trimmed => LogError::new(
                kind,
                "redb: events behind the position that was asked for are not kept any more",
            ),
            Self::Closed => LogError::new(kind, format!("redb: {path}: is not open")),
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

macro_rules! from_engine {
    ($($error:ident)+) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                Self::Engine(error.into())
            }
        })+
    };
}

from_engine! { StorageError TableError TransactionError CommitError DatabaseError CompactionError }

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Engine(redb::Error::Io(error))
    }
}

/// Calls into redb. It checks what it reads from a file by assertions as well as by errors; where that is
/// the content of a damaged file, both have to come out as errors.
///
/// What `call` has borrowed may be left in the middle of something. Behind a panic the database is thrown
/// away and opened anew.
pub(crate) fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a word");
        Err(Fault::Panicked(said.to_owned()))
    })
}
