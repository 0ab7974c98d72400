use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};
use tidings::backend::LogError;

use crate::fault::{Fault, guarded};
use crate::file::Disk;
use crate::store::Store;
use crate::tables::LogState;

/// The open file, shared by the threads. A redb database that has failed to write is out of service: it must be closed
/// and opened again, while no thread uses it.
#[derive(Debug)]
pub(crate) struct SharedStore {
    pub(crate) path: PathBuf,
    store: RwLock<Option<Store>>,
    pub(crate) counts: Counts,
}

/// What the log did since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) disk: Arc<Disk>,
    pub(crate) last: AtomicU64,
    pub(crate) trimmed: AtomicU64,
}

impl SharedStore {
    pub(crate) fn new(path: PathBuf, store: Store, counts: Counts) -> Self {
        Self { path, store: RwLock::new(Some(store)), counts }
    }

    /// Calls with the open file. A panic in it becomes an error.
    pub(crate) fn with<T>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // A read lock also for the writer: redb lets it write while others read.
        let store = RwLockReadGuard::try_map(self.store.read(), Option::as_ref);
        let store = store.map_err(|_| Fault::Closed)?;
        guarded(|| call(&store))
    }

    /// Closes the file and opens it again, as after a crash. Does not begin another one in its place.
    pub(crate) fn reopen(&self) -> Result<LogState, Fault> {
        let mut store = self.store.write();
        *store = None;
        if fs::metadata(&self.path)?.len() == 0 {
            return Err(Fault::damaged("it is empty now"));
        }
        let (opened, state) = Store::open(&self.path, self.counts.disk.clone())?;
        *store = Some(opened);
        Ok(state)
    }

    /// Closes the file. It can be opened elsewhere when this returns.
    pub(crate) fn close(&self) {
        *self.store.write() = None;
    }

    pub(crate) fn update_counts(&self, state: &LogState) {
        self.counts.last.store(state.last, Ordering::Release);
        self.counts.trimmed.store(state.trimmed, Ordering::Relaxed);
    }

    pub(crate) fn error(&self, fault: Fault) -> LogError {
        fault.at(&self.path)
    }
}
