use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tidings::backend::{
    Append, Appended, Epoch, Log, LogError, LogErrorKind, Origin, Page, Read, Replica, Reply,
};

use crate::builder::RedbLogBuilder;
use crate::queue::Queue;
use crate::reader::{self, Reads};
use crate::shelf::Shelf;
use crate::stats::Stats;
use crate::writer::Writer;

/// A log in a file. See the [crate](crate) for what it promises.
///
/// ```no_run
/// use tidings::Hub;
/// use tidings_redb::RedbLog;
///
/// let hub = Hub::builder().build_on(RedbLog::open("events.redb")?);
/// # Ok::<(), tidings::backend::LogError>(())
/// ```
///
/// It has three threads of its own: one that writes and two that read. They end with the hub: when its last
/// handle is dropped, what was published is written and answered, and the file can be opened again.
pub struct RedbLog {
    shelf: Arc<Shelf>,
    queue: Arc<Queue>,
    reads: Arc<Reads>,
    origin: Origin,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

const READERS: usize = 2;

impl RedbLog {
    /// Opens the log in a file, or makes one, with the defaults of [`RedbLogBuilder`].
    ///
    /// # Errors
    ///
    /// See [`RedbLogBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LogError> {
        Self::builder().open(path)
    }

    /// A log with other settings.
    pub fn builder() -> RedbLogBuilder {
        RedbLogBuilder::new()
    }

    /// Counts of what the log does, for as long as anybody wants to know.
    ///
    /// ```no_run
    /// use tidings::Hub;
    /// use tidings_redb::RedbLog;
    ///
    /// let log = RedbLog::open("events.redb")?;
    /// let stats = log.stats();
    /// let hub = Hub::builder().build_on(log);
    /// println!("{} events in {} commits", stats.events(), stats.commits());
    /// # Ok::<(), tidings::backend::LogError>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats(self.shelf.clone())
    }

    pub(crate) fn run(writer: Writer, epoch: Epoch) -> Result<Self, LogError> {
        let (shelf, queue) = (writer.shelf.clone(), writer.queue.clone());
        let origin = Origin { epoch, position: writer.origin, end: writer.state.last };
        let log = Self { shelf, queue, reads: Arc::default(), origin, threads: Mutex::default() };
        for _ in 0..READERS {
            let (shelf, reads) = (log.shelf.clone(), log.reads.clone());
            log.spawn("tidings-redb-r", move || reader::run(&shelf, &reads))?;
        }
        log.spawn("tidings-redb", move || writer.run())?;
        Ok(log)
    }

    #[cfg(test)]
    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
            let message = format!("redb: the system has no thread for it: {error}");
            LogError::new(LogErrorKind::Refused, message).with_source(error)
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }
}

impl Log for RedbLog {
    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn start(&self, replica: Replica) {
        self.queue.start(replica);
    }

    fn append(&self, append: Append, reply: Reply<Appended>) {
        self.queue.push(append, reply);
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        self.reads.push(read, reply);
    }

    fn end(&self, reply: Reply<u64>) {
        if self.queue.is_closed() {
            return reply.send(Err(LogError::new(LogErrorKind::Closed, "redb: the log is closed")));
        }
        reply.send(Ok(self.shelf.counts.last.load(Ordering::Acquire)));
    }

    fn stop(&self) {
        self.reads.close();
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // The hub may end in the hands of a thread that delivers to it. That one cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for RedbLog {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for RedbLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbLog")
            .field("path", &self.shelf.path)
            .field("epoch", &self.origin.epoch)
            .finish_non_exhaustive()
    }
}
