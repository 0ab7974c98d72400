use std::cell::Cell;
use std::fmt::Display;
use std::io;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;
use std::thread;

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
    /// The file is open, and not at its path any more.
    Lost(&'static str),
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
            Self::Closed | Self::Lost(_) => LogErrorKind::Unavailable,
            Self::Damaged(_) | Self::Panicked(_) => LogErrorKind::Corrupt,
        }
    }

    /// The error of the log in the file at `path`.
    pub(crate) fn at(self, path: &Path) -> LogError {
        self.error(path, "")
    }

    /// The error of opening the log in the file at `path`: with what to do about it.
    pub(crate) fn when_opening(self, path: &Path) -> LogError {
        let remedy = match &self {
            _ if self.kind() == LogErrorKind::Corrupt => {
                "; open it with `salvage` to keep the events before the damage"
            }
            Self::System(error) => match error.kind() {
                io::ErrorKind::NotFound => "; make its directory first",
                io::ErrorKind::IsADirectory => "; name a file in it",
                io::ErrorKind::PermissionDenied => {
                    "; let this process read and write the file and its directory"
                }
                _ if self.kind() == LogErrorKind::Full => "; make some, and open it again",
                _ => "; choose another path",
            },
            Self::Taken => "; close it there, or choose another path",
            _ => "; choose another path",
        };
        self.error(path, remedy)
    }

    fn error(self, path: &Path, remedy: &str) -> LogError {
        let kind = self.kind();
        let cause = match &self {
            Self::Engine(error) => error.to_string(),
            Self::System(error) => error.to_string(),
            Self::Damaged(what) | Self::Foreign(what) => what.clone(),
            Self::Panicked(said) => format!("redb finds it inconsistent: {said}"),
            Self::Lost(how) => (*how).to_owned(),
            Self::Taken => "is open already, in this process or another".to_owned(),
            Self::Trimmed => "the events that were asked for are not kept any more".to_owned(),
            Self::Closed => "is not open".to_owned(),
        };
        let what = match kind {
            LogErrorKind::Full => "there is no room: ",
            LogErrorKind::Corrupt => "is damaged: ",
            _ => "",
        };
        let message = format!("redb: {}: {what}{cause}{remedy}", path.display());
        let error = LogError::new(kind, message);
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

thread_local! {
    /// Whether a panic of this thread becomes an error of the log.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls into redb. It checks what it reads by assertions as well as by errors; on a damaged file, both must become
/// errors, and nothing else: the first call puts a panic hook before the program's, which passes on all other panics.
///
/// A panic may leave what `call` has borrowed in an inconsistent state, so the database is then closed and opened
/// again.
pub(crate) fn guarded<T>(call: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    keep_guarded_panics_silent();
    let before = IS_GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    IS_GUARDED.set(before);
    outcome.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without a message");
        // An assertion takes several lines to say what differs.
        Err(Fault::Panicked(said.split_whitespace().collect::<Vec<_>>().join(" ")))
    })
}

fn keep_guarded_panics_silent() {
    static HOOK: Once = Once::new();

    // A thread that panics must not change the hook.
    if HOOK.is_completed() || thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                others(info);
            }
        }));
    });
}
