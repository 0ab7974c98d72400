use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tidings::Topic;
use tidings::backend::{
    Append, Appended, Epoch, Log, LogError, LogErrorKind, Origin, Page, Read, Replica, Reply,
};

use crate::queue::Queue;
use crate::reader::{self, Question, Reads};
use crate::shared_store::SharedStore;
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
/// It has three threads: one writes and two read. They end with the hub: when its last handle was dropped, everything
/// that was published is written and answered, and the file can be opened again.
pub struct RedbLog {
    shared: Arc<SharedStore>,
    queue: Arc<Queue>,
    reads: Arc<Reads>,
    origin: Origin,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

const READERS: usize = 2;

impl RedbLog {
    /// Counters of the log. They stay readable after it was given to a hub.
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
        Stats(self.shared.clone())
    }

    pub(crate) fn run(writer: Writer, epoch: Epoch) -> Result<Self, LogError> {
        let (shared, queue) = (writer.shared.clone(), writer.queue.clone());
        let origin = Origin::new(epoch, writer.origin, writer.state.last);
        let log = Self { shared, queue, reads: Arc::default(), origin, threads: Mutex::default() };
        for _ in 0..READERS {
            let (shared, reads) = (log.shared.clone(), log.reads.clone());
            log.spawn("tidings-redb-r", move || reader::run(&shared, &reads))?;
        }
        log.spawn("tidings-redb", move || writer.run())?;
        Ok(log)
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &SharedStore {
        &self.shared
    }

    fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), LogError> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| {
            let message = format!("redb: cannot start a thread: {error}");
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
        self.reads.push(Question::Read(read, reply));
    }

    fn end(&self, reply: Reply<u64>) {
        if self.queue.is_closed() {
            return reply.send(Err(LogError::new(LogErrorKind::Closed, "redb: the log is closed")));
        }
        reply.send(Ok(self.shared.counts.last.load(Ordering::Acquire)));
    }

    fn finished(&self, topics: Vec<Topic>, reply: Reply<Vec<(Topic, u64)>>) {
        self.reads.push(Question::Finished(topics, reply));
    }

    fn stop(&self) {
        self.reads.close();
        self.queue.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // The last handle of the hub may be dropped by the thread that delivers to it, which cannot wait for itself.
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
            .field("path", &self.shared.path)
            .field("epoch", &self.origin.epoch)
            .finish_non_exhaustive()
    }
}
