use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings::backend::{Epoch, LogError, LogErrorKind};

use crate::clock::{Downtime, LogClock};
use crate::fault::{Fault, guarded};
use crate::log::RedbLog;
use crate::queue::Queue;
use crate::retention::Limits;
use crate::salvage::salvage;
use crate::shared_store::{Counts, SharedStore};
use crate::store::Store;
use crate::tables::LogState;
use crate::writer::Writer;

/// Options of a [`RedbLog`]; made by [`RedbLog::builder`].
///
/// ```no_run
/// use std::time::Duration;
/// use tidings_redb::RedbLog;
///
/// let log = RedbLog::builder()
///     .max_events(10_000_000)
///     .max_age(Duration::from_secs(24 * 3600))
///     .open("events.redb")?;
/// # Ok::<(), tidings::backend::LogError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct RedbLogBuilder {
    limits: Limits,
    replay: u64,
    max_pending: usize,
    max_pending_bytes: usize,
    compact: bool,
    salvage: bool,
    restored: bool,
}

impl Default for RedbLogBuilder {
    fn default() -> Self {
        Self {
            limits: Limits {
                events: 1_000_000,
                bytes: 1024 * 1024 * 1024,
                age: Some(Duration::from_secs(7 * 24 * 3600)),
                idempotency_window: Duration::from_secs(120),
                downtime: Downtime::NONE,
            },
            replay: 10_000,
            max_pending: 10_000,
            max_pending_bytes: 64 * 1024 * 1024,
            compact: false,
            salvage: false,
            restored: false,
        }
    }
}

impl RedbLogBuilder {
    /// How many events the log keeps, over all topics. Default 1,000,000. There may be a sixteenth more, at most 1,024.
    pub fn max_events(mut self, events: u64) -> Self {
        self.limits.events = events;
        self
    }

    /// How many bytes of events the log keeps: their data, names and topics, and about 130 bytes each. Default 1 GiB. There may be a sixteenth more. See the [crate](crate#size) for the size of the file.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// For how long the log keeps an event; `None` for as long as there is room. Default 7 days. An expired event is gone
    /// about five seconds later.
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.limits.age = age.into();
        self
    }

    /// For how long the key of a publication is remembered: see
    /// [`Hub::publish_once`](tidings::Hub::publish_once). Default 2 minutes. For keys of the process before, the time
    /// since its last event does not count, because only the wall clock knows it. A key may outlive its event, and takes 400
    /// bytes at most.
    pub fn idempotency_window(mut self, window: Duration) -> Self {
        self.limits.idempotency_window = window;
        self
    }

    /// How many of the newest events a hub begins with. Default 10,000. Clients that missed more are served from the
    /// file.
    pub fn replay(mut self, events: u64) -> Self {
        self.replay = events;
        self
    }

    /// How many events may wait to be written. Further ones are refused with [`LogErrorKind::Busy`]. Default 10,000.
    pub fn max_pending(mut self, events: usize) -> Self {
        self.max_pending = events;
        self
    }

    /// How many bytes of events may wait to be written. Further events are refused with [`LogErrorKind::Busy`]. Default
    /// 64 MiB.
    pub fn max_pending_bytes(mut self, bytes: usize) -> Self {
        self.max_pending_bytes = bytes;
        self
    }

    /// Makes the file as small as possible while it is opened. Default: no. This takes as long as writing all of it. It
    /// only helps when the log keeps much less than before: free room in the file is used again without it.
    pub fn compact(mut self, compact: bool) -> Self {
        self.compact = compact;
        self
    }

    /// If the file is damaged, begins a new one with the events before the damage. Default: no, opening it fails.
    ///
    /// The damaged file stays next to the new one, with `.damaged` added to its name, and replaces an earlier one. The
    /// new file is another history: every client that comes back is reset, and keys are forgotten. Nothing may
    /// be left, if the damage is where all reading begins, if the process was also killed, or if the file is still
    /// of [format 1](crate#what-is-on-disk): redb then cannot open it.
    pub fn salvage(mut self, salvage: bool) -> Self {
        self.salvage = salvage;
        self
    }

    /// Declares that the file is an earlier copy that was put back: its events begin another history. Every client that
    /// comes back is reset, and gets what is retained. Default: no.
    ///
    /// Needed only the first time that the copy is opened. The file itself does not show that it once had more events.
    pub fn restored(mut self, restored: bool) -> Self {
        self.restored = restored;
        self
    }

    /// Opens the log in a file, or makes one. An empty file is a log that has not begun; so is one for whose first page
    /// there was not enough room.
    ///
    /// This reads the whole file and compares its checksums, at a few hundred MiB a second or as fast as the disk.
    ///
    /// # Errors
    ///
    /// - [`LogErrorKind::Refused`] when the file is open already, is not a log or one of another format, or may not
    ///   be written;
    /// - [`LogErrorKind::Corrupt`] when it is damaged;
    /// - [`LogErrorKind::Full`] when there is no room;
    /// - [`LogErrorKind::Unavailable`] for any other error of the system, such as a missing directory.
    ///
    /// The message is a sentence with the path, the cause and what to do.
    pub fn open(self, path: impl AsRef<Path>) -> Result<RedbLog, LogError> {
        let writer = self.writer(path.as_ref())?;
        let epoch = writer.state.epoch.clone();
        RedbLog::run(writer, epoch)
    }

    /// Opens the log without the threads that work on it.
    pub(crate) fn writer(self, path: &Path) -> Result<Writer, LogError> {
        let path =
            std::path::absolute(path).map_err(|error| Fault::from(error).when_opening(path))?;
        let counts = Counts::default();
        let opened = self.open_store(&path, &counts).map_err(|fault| fault.when_opening(&path));
        let (store, state) = opened?;
        let shared = Arc::new(SharedStore::new(path, store, counts));
        shared.update_counts(&state);
        let origin = state.last.saturating_sub(self.replay).max(state.trimmed);
        let clock = LogClock::after(state.time);
        Ok(Writer {
            shared,
            queue: Arc::new(Queue::new(self.max_pending, self.max_pending_bytes)),
            limits: Limits { downtime: clock.downtime(state.time), ..self.limits },
            clock,
            state,
            origin,
            replica: None,
            pause: None,
            tidied: Instant::now(),
        })
    }

    fn open_store(&self, path: &Path, counts: &Counts) -> Result<(Store, LogState), Fault> {
        let opened = Store::open(path, counts.disk.clone()).or_else(|fault| {
            if self.salvage && fault.kind() == LogErrorKind::Corrupt {
                salvage(path)?;
                return Store::open(path, counts.disk.clone());
            }
            Err(fault)
        });
        let (mut store, mut state) = opened?;
        if self.restored {
            state.epoch = Epoch::random();
            state = guarded(|| store.begin(state))?;
        }
        if self.compact {
            store.compact()?;
        }
        Ok((store, state))
    }
}

impl RedbLog {
    /// Opens the log in a file, or makes one, with the default options.
    ///
    /// # Errors
    ///
    /// See [`RedbLogBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LogError> {
        Self::builder().open(path)
    }

    /// A log with other options.
    pub fn builder() -> RedbLogBuilder {
        RedbLogBuilder::default()
    }
}
