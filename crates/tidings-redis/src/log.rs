//! The log as the hub sees it.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tidings::backend::{
    Append, Appended, Log, LogError, LogErrorKind, Origin, Page, Read, Replica, Reply,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::builder::RedisLogBuilder;
use crate::streams::{Beginning, Streams};
use crate::writer::{Job, Writer};
use crate::{follower, reader, signals};

/// A hub's log on Redis Streams, shared by all nodes that open it under the same name.
///
/// Goes into [`HubBuilder::build_on`](tidings::HubBuilder::build_on). Its tasks live on the tokio
/// runtime on which it was made, and end with the hub.
///
/// ```no_run
/// use tidings::{Event, Hub};
/// use tidings_redis::RedisLog;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let log = RedisLog::connect("redis://127.0.0.1/").await?;
/// let hub = Hub::builder().build_on(log);
/// hub.publish("orders", Event::named("created", "order 17")?).await?;
/// # Ok(())
/// # }
/// ```
pub struct RedisLog {
    streams: Arc<Streams>,
    runtime: Handle,
    beginning: Beginning,
    pending: Arc<Semaphore>,
    /// For each stream, the way to its writer, which ends when it is closed and all is answered. None
    /// when the log was stopped.
    writers: RwLock<Vec<mpsc::UnboundedSender<Job>>>,
    doubts: Vec<Arc<Notify>>,
    signals: mpsc::Sender<Bytes>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl RedisLog {
    /// Connects to a server, a cluster, or through Sentinels, with all settings as they are by default.
    /// See [`RedisLog::builder`] for the forms of an address and for errors.
    ///
    /// # Errors
    ///
    /// As those of [`RedisLogBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, LogError> {
        Self::builder(url).connect().await
    }

    /// A log with settings.
    ///
    /// | address | |
    /// |---|---|
    /// | `redis://[[user]:password@]host[:port][/database]` | one server |
    /// | `rediss://…` | by TLS; needs the feature `tls` |
    /// | `redis+unix:///path[?db=…]` | over a Unix socket |
    /// | `redis+cluster://…@host[:port],host[:port]…` | Redis Cluster: some of its nodes |
    /// | `redis+sentinel://…@host[:port],host[:port]…/name[/database]` | what Sentinels call so; needs the feature `sentinel` |
    ///
    /// The last two exist with `rediss+`, too. Characters that mean something in URLs have to be
    /// percent-encoded in user and password. `?protocol=resp3` makes it speak RESP3.
    pub fn builder(url: impl Into<String>) -> RedisLogBuilder {
        RedisLogBuilder::new(url.into())
    }

    /// Of servers that answer.
    pub(crate) fn new(streams: Arc<Streams>, beginning: Beginning, runtime: Handle) -> Self {
        let newest = Arc::new(AtomicU64::new(beginning.position));
        let doubts: Vec<_> = (0..streams.keys.count()).map(|_| Arc::<Notify>::default()).collect();
        let mut tasks = Vec::new();
        let mut writers = Vec::new();
        for (index, doubt) in doubts.iter().enumerate() {
            let (sender, jobs) = mpsc::unbounded_channel();
            writers.push(sender);
            let writer = Writer::new(streams.clone(), index, jobs, doubt.clone(), newest.clone());
            runtime.spawn(writer.run());
        }
        let (signals, receiver) = mpsc::channel(signals::MAX_WAITING);
        let publish = signals::publish(streams.clone(), receiver);
        tasks.push(runtime.spawn(publish).abort_handle());
        Self {
            pending: Arc::new(Semaphore::new(streams.settings.max_pending)),
            streams,
            runtime,
            beginning,
            writers: RwLock::new(writers),
            doubts,
            signals,
            tasks: Mutex::new(tasks),
        }
    }

    fn is_stopped(&self) -> bool {
        self.writers.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.runtime.spawn(task).abort_handle();
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }
}

impl Log for RedisLog {
    fn origin(&self) -> Origin {
        self.beginning.origin()
    }

    fn start(&self, replica: Replica) {
        let streams = self.streams.clone();
        self.spawn(signals::receive(streams.clone(), replica.clone()));
        let beginning = self.beginning.clone();
        self.spawn(follower::follow(streams, replica, beginning, self.doubts.clone()));
    }

    fn append(&self, append: Append, reply: Reply<Appended>) {
        let Ok(pending) = self.pending.clone().try_acquire_owned() else {
            let limit = self.streams.settings.max_pending;
            let message = format!("redis: {limit} events are waiting to be appended already");
            return reply.send(Err(LogError::new(LogErrorKind::Busy, message)));
        };
        let index = self.streams.keys.index_of(&append);
        let patience = self.streams.settings.append_timeout;
        let writers = self.writers.read().unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = writers.get(index) else { return reply.send(Err(closed())) };
        // A writer that is gone went with its runtime; then dropping the job answers.
        let _ = writer.send(Job::new(append, reply, patience, pending));
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        if self.is_stopped() {
            return reply.send(Err(closed()));
        }
        let streams = self.streams.clone();
        // Not among the tasks to be ended: it ends by itself soon.
        self.runtime.spawn(async move { reply.send(reader::read(streams, read).await) });
    }

    fn end(&self, reply: Reply<u64>) {
        if self.is_stopped() {
            return reply.send(Err(closed()));
        }
        let streams = self.streams.clone();
        self.runtime.spawn(async move { reply.send(reader::end(&streams).await) });
    }

    fn stop(&self) {
        self.writers.write().unwrap_or_else(PoisonError::into_inner).clear();
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn signal(&self, signal: Bytes) {
        // Lost if too many wait: at most once is what is promised.
        let _ = self.signals.try_send(signal);
    }
}

fn closed() -> LogError {
    LogError::new(LogErrorKind::Closed, "redis: the log was closed")
}

impl Drop for RedisLog {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for RedisLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLog")
            .field("endpoint", &self.streams.endpoint)
            .field("name", &self.streams.settings.name)
            .field("keys", &self.streams.keys.count())
            .field("epoch", &self.beginning.tag.epoch)
            .finish_non_exhaustive()
    }
}
