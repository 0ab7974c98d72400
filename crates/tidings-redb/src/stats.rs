use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::shared_store::SharedStore;

/// Counts of a log since it was opened: from [`RedbLog::stats`](crate::RedbLog::stats).
#[derive(Debug, Clone)]
pub struct Stats(pub(crate) Arc<SharedStore>);

impl Stats {
    /// How many events were appended.
    #[must_use]
    pub fn events(&self) -> u64 {
        read(&self.0.counts.events)
    }

    /// How many commits they took.
    #[must_use]
    pub fn commits(&self) -> u64 {
        read(&self.0.counts.commits)
    }

    /// How often the file was synced: twice for a commit, and a few times while the file is opened.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        read(&self.0.counts.disk.syncs)
    }

    /// The newest position, 0 for none.
    #[must_use]
    pub fn last(&self) -> u64 {
        read(&self.0.counts.last)
    }

    /// The newest position that is not kept any more, 0 for none.
    #[must_use]
    pub fn trimmed(&self) -> u64 {
        read(&self.0.counts.trimmed)
    }

    /// The size of the file, in bytes; `None` if it is not open.
    #[must_use]
    pub fn file_bytes(&self) -> Option<u64> {
        self.0.with(|store| store.file.bytes()).ok()
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
