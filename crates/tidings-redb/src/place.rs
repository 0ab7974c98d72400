use std::fs::{self, File, TryLockError};
use std::io;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fault::Fault;

/// Where a log's file is. Whoever opens the path must find the file that is open, and all of it: what is written to a
/// file that was deleted, replaced or cut is gone with the process. Nobody else has the file open: it is locked, by
/// `flock` on Unix, as redb 2 did.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// Another handle of the open file.
    file: File,
    /// How long this process has made it.
    length: AtomicU64,
    /// By others: its length before and after. What they cut off stays lost, however long the file is later.
    cut: OnceLock<(u64, u64)>,
}

impl Place {
    /// `path` is absolute: the process may change its directory.
    pub(crate) fn lock(path: &Path, file: File) -> Result<Self, Fault> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Fault::Taken),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let length = AtomicU64::new(file.metadata()?.len());
        Ok(Self { path: path.to_owned(), file, length, cut: OnceLock::new() })
    }

    /// This process has written up to here.
    pub(crate) fn written_to(&self, end: u64) {
        self.length.fetch_max(end, Ordering::Relaxed);
    }

    /// This process has made the file this long.
    pub(crate) fn resized(&self, length: u64) {
        self.length.store(length, Ordering::Relaxed);
    }

    /// Looks at the open file and at the path: two calls of the system. Only by the thread that writes.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let (open, length) = (self.file.metadata()?, self.length.load(Ordering::Relaxed));
        if open.len() < length {
            let _ = self.cut.set((length, open.len()));
        }
        if let Some((before, after)) = self.cut.get() {
            return Err(Fault::damaged(format_args!(
                "it was cut from {before} to {after} bytes while it was open"
            )));
        }
        match fs::metadata(&self.path) {
            Ok(there) if is_same(&open, &there) => Ok(()),
            Ok(_) => Err(Fault::Lost(
                "was replaced while it was open; put it back, or open the log again",
            )),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Err(Fault::Lost(
                    "was deleted or moved while it was open; put it back, or open the log again",
                )),
                _ => Err(error.into()),
            },
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A process that was started meanwhile may still have the file open.
        let _ = self.file.unlock();
    }
}

#[cfg(unix)]
fn is_same(open: &fs::Metadata, there: &fs::Metadata) -> bool {
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Elsewhere, files have no identity that the standard library shows.
#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}
