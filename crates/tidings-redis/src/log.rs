//! The log as the hub sees it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tidings::Topic;
use tidings::backend::{
    Append, Appended, Log, LogError, LogErrorKind, Origin, Page, Read, Replica, Reply,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::engine::Engine;
use crate::follower::Follower;
use crate::signals::Signal;
use crate::writer::{Job, Writer};
use crate::{reader, signals};

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
    engine: Arc<Engine>,
    runtime: Handle,
    origin: Origin,
    pending: Arc<Semaphore>,
    /// `None` when the log was stopped.
    queues: Mutex<Option<Queues>>,
    doubt: Arc<Notify>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// To the tasks that end when these are closed and they have done everything in them.
#[derive(Clone)]
struct Queues {
    jobs: mpsc::UnboundedSender<Job>,
    signals: mpsc::Sender<Signal>,
}

impl RedisLog {
    /// On a server that answers.
    pub(crate) fn new(engine: Arc<Engine>, origin: Origin, runtime: Handle) -> Self {
        let doubt = Arc::<Notify>::default();
        let (jobs, queue) = mpsc::unbounded_channel();
        runtime.spawn(Writer::new(engine.clone(), queue, doubt.clone()).run());
        let (signals, queue) = mpsc::channel(signals::MAX_WAITING);
        runtime.spawn(signals::publish(engine.clone(), queue));
        Self {
            pending: Arc::new(Semaphore::new(
                engine.options.max_pending.min(Semaphore::MAX_PERMITS),
            )),
            engine,
            runtime,
            origin,
            queues: Mutex::new(Some(Queues { jobs, signals })),
            doubt,
            tasks: Mutex::default(),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().push(self.runtime.spawn(task).abort_handle());
    }

    /// Answers a question, unless the log was closed. The task is not one of those that are aborted: it ends by
    /// itself soon.
    fn answer<T: Send + 'static>(
        &self,
        reply: Reply<T>,
        question: impl Future<Output = Result<T, LogError>> + Send + 'static,
    ) {
        let is_open = self.queues.lock().is_some();
        match is_open {
            true => drop(self.runtime.spawn(async move { reply.send(question.await) })),
            false => reply.send(Err(closed())),
        }
    }
}

impl Log for RedisLog {
    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn start(&self, replica: Replica) {
        self.spawn(signals::receive(self.engine.clone(), replica.clone()));
        let (engine, origin) = (self.engine.clone(), self.origin.clone());
        self.spawn(Follower::new(engine, replica, origin, self.doubt.clone()).run());
    }

    fn append(&self, append: Append, reply: Reply<Appended>) {
        let Ok(pending) = self.pending.clone().try_acquire_owned() else {
            let limit = self.engine.options.max_pending;
            let message = format!("redis: {limit} events are waiting to be appended already");
            return reply.send(Err(LogError::new(LogErrorKind::Busy, message)));
        };
        let timeout = self.engine.options.append_timeout;
        let queues = self.queues.lock().clone();
        let Some(Queues { jobs, .. }) = queues else { return reply.send(Err(closed())) };
        // A writer that is gone went with its runtime; then dropping the job answers.
        let _ = jobs.send(Job::new(append, reply, timeout, pending));
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        self.answer(reply, reader::read(self.engine.clone(), read));
    }

    fn end(&self, reply: Reply<u64>) {
        let engine = self.engine.clone();
        self.answer(reply, async move { reader::end(&engine).await });
    }

    fn finished(&self, topics: Vec<Topic>, reply: Reply<Vec<(Topic, u64)>>) {
        self.answer(reply, reader::finished(self.engine.clone(), topics));
    }

    fn stop(&self) {
        self.queues.lock().take();
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn signal(&self, signal: Bytes) {
        if let Some(queues) = &*self.queues.lock() {
            // Lost if too many wait: signals are delivered at most once.
            let _ = queues.signals.try_send(Signal::new(signal));
        }
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
            .field("endpoint", &self.engine.endpoint)
            .field("name", &self.engine.options.name)
            .field("epoch", &self.origin.epoch)
            .finish_non_exhaustive()
    }
}
