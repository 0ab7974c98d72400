//! What every log must do, on disk.

use std::path::PathBuf;

use tempfile::TempDir;
use tidings::{Hub, HubBuilder};
use tidings_redb::RedbLog;
use tidings_testkit::log::{Engine, EngineOptions};

struct Redb {
    options: EngineOptions,
    folder: TempDir,
}

impl Redb {
    fn path(&self) -> PathBuf {
        self.folder.path().join("events.redb")
    }
}

impl Engine for Redb {
    async fn begin(options: EngineOptions) -> Option<Self> {
        Some(Self { options, folder: TempDir::new().expect("a folder") })
    }

    async fn node(&self, hub: HubBuilder) -> Hub {
        let log = RedbLog::builder()
            .max_events(self.options.max_events as u64)
            .idempotency_window(self.options.idempotency_window)
            .open(self.path());
        hub.build_on(log.expect("the log opens"))
    }

    async fn wipe(&self) {
        std::fs::remove_file(self.path()).expect("the file exists");
    }
}

tidings_testkit::log_suite!(Redb, durable);
