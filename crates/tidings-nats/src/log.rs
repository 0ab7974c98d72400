use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, ToServerAddrs};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tidings::backend::{
    Append, Appended, Log, LogError, LogErrorKind, Origin, Page, Read, Replica, Reply,
};
use tidings::{Topic, TopicPattern};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::appender::{Appender, Publication};
use crate::engine::{Engine, State};
use crate::error::{asking, connecting, error, no_answer};
use crate::follower::{Command, Follower};
use crate::reader::Reader;
use crate::settings::NatsLogBuilder;
use crate::subject::Subjects;

/// How many messages a subscription may have waiting. Beyond it, what is missing is read from the stream.
pub(crate) const CAPACITY: usize = 65_536;

/// The log of a hub in a JetStream stream, shared by the nodes of a cluster.
///
/// Given to [`HubBuilder::build_on`](tidings::HubBuilder::build_on). It runs on the tokio runtime in
/// which it was connected, and ends with the hub. See the [crate](crate) for what it promises.
///
/// ```no_run
/// use tidings::{Event, Hub};
/// use tidings_nats::NatsLog;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let log = NatsLog::connect("nats://127.0.0.1").await?;
/// let hub = Hub::builder().build_on(log);
/// hub.publish("orders", Event::new("order 17")).await?;
/// # Ok(())
/// # }
/// ```
pub struct NatsLog {
    engine: Arc<Engine>,
    runtime: Handle,
    settings: NatsLogBuilder,
    queues: Mutex<Option<Queues>>,
    origin: Origin,
    start: Mutex<Option<Start>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// Where work is put for the log's tasks.
#[derive(Debug, Clone)]
struct Queues {
    appends: mpsc::Sender<Publication>,
    reads: mpsc::Sender<(Read, Reply<Page>)>,
    commands: mpsc::UnboundedSender<Command>,
    signals: mpsc::Sender<Bytes>,
}

/// What the follower begins with.
#[derive(Debug)]
struct Start {
    state: State,
    commands: mpsc::UnboundedReceiver<Command>,
    signals: mpsc::Receiver<Bytes>,
}

impl fmt::Debug for NatsLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsLog").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl NatsLog {
    /// Appends that may wait; more are refused.
    const APPENDS: usize = 16_384;
    /// Reads that may wait; more are refused.
    const READS: usize = 4_096;
    /// Signals that may wait; more are dropped.
    const SIGNALS: usize = 1_024;
    /// How many events a replica that gets all begins with, at most.
    const RECENT: u64 = 10_000;

    /// Connects with the settings of [`builder`](Self::builder) as they are.
    ///
    /// # Errors
    ///
    /// See [`NatsLogBuilder::connect`].
    pub async fn connect(servers: impl ToServerAddrs) -> Result<Self, LogError> {
        Self::builder().connect(servers).await
    }

    /// Settings to be changed before connecting.
    pub fn builder() -> NatsLogBuilder {
        NatsLogBuilder::new()
    }

    /// The subject of a topic: what is published there by any client of NATS is an event of it.
    ///
    /// ```no_run
    /// # async fn subject() -> Result<(), Box<dyn std::error::Error>> {
    /// let log = tidings_nats::NatsLog::connect("nats://127.0.0.1").await?;
    /// assert_eq!(log.subject(&"orders.eu".parse()?), "tidings.orders.eu");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn subject(&self, topic: &Topic) -> String {
        self.engine.subjects.topic(topic)
    }

    pub(crate) async fn open(
        settings: NatsLogBuilder,
        options: ConnectOptions,
        servers: impl ToServerAddrs,
    ) -> Result<Self, LogError> {
        let options = connection(options).request_timeout(Some(settings.request_timeout));
        let client = options.connect(servers).await.map_err(connecting)?;
        let subjects = Subjects::new(settings.prefix.clone());
        let (name, limits) = (settings.stream.clone(), settings.limits.clone());
        let (engine, state) =
            Engine::open(client, name, subjects, limits, settings.request_timeout).await?;
        let (appends, queue) = mpsc::channel(Self::APPENDS);
        let (reads, asked) = mpsc::channel(Self::READS);
        let (commands, commanded) = mpsc::unbounded_channel();
        let (signals, signalled) = mpsc::channel(Self::SIGNALS);
        let appender = Appender::new(engine.clone(), queue, settings.append_timeout);
        let reader = Reader::new(engine.clone(), 5 * settings.request_timeout);
        let oldest = state.first.saturating_sub(1);
        let position = match settings.is_selective {
            true => state.last,
            false => oldest.max(state.last.saturating_sub(Self::RECENT)),
        };
        let origin = Origin { epoch: state.history.epoch.clone(), position, end: state.last };
        let log = Self {
            engine,
            runtime: Handle::current(),
            settings,
            queues: Mutex::new(Some(Queues { appends, reads, commands, signals })),
            origin,
            start: Mutex::new(Some(Start { state, commands: commanded, signals: signalled })),
            tasks: Mutex::default(),
        };
        // It ends by itself, when all that it was given is answered.
        log.runtime.spawn(appender.run());
        log.spawn(reader.run(asked));
        Ok(log)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().push(self.runtime.spawn(task).abort_handle());
    }

    /// Puts work into a queue, if the log is not closed.
    fn enqueue<T>(&self, reply: Reply<T>, put: impl FnOnce(&Queues, Reply<T>)) {
        match &*self.queues.lock() {
            Some(queues) => put(queues, reply),
            None => reply.send(Err(closed())),
        }
    }

    fn command(&self, command: Command) {
        if let Some(queues) = &*self.queues.lock() {
            // Fails when the hub is gone.
            let _ = queues.commands.send(command);
        }
    }
}

impl Log for NatsLog {
    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn start(&self, replica: Replica) {
        // Called once: then there is something to begin with.
        let Some(Start { state, commands, signals }) = self.start.lock().take() else { return };
        let is_selective = self.settings.is_selective;
        let engine = self.engine.clone();
        let position = self.origin.position;
        let follower =
            Follower::new(engine, replica.clone(), commands, state, position, is_selective);
        self.spawn(follower.run());
        self.spawn(send_signals(self.engine.clone(), signals));
        self.spawn(take_signals(self.engine.clone(), replica));
    }

    fn append(&self, append: Append, reply: Reply<Appended>) {
        let subject = self.engine.subjects.topic(&append.topic);
        self.enqueue(reply, |queues, reply| match queues.appends.try_reserve() {
            Ok(place) => {
                let timeout = self.settings.append_timeout;
                place.send(Publication::new(&append, subject, timeout, reply));
            }
            Err(_) => reply.send(Err(busy("publish"))),
        });
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        self.enqueue(reply, |queues, reply| match queues.reads.try_reserve() {
            Ok(place) => place.send((read, reply)),
            Err(_) => reply.send(Err(busy("read"))),
        });
    }

    fn end(&self, reply: Reply<u64>) {
        let limit = 2 * self.settings.request_timeout;
        self.enqueue(reply, |queues, reply| {
            let (asked, answer) = Reply::new();
            let _ = queues.commands.send(Command::End(asked));
            self.runtime.spawn(async move {
                // While the link is down, nobody looks at commands.
                let answer = timeout(limit, answer).await;
                reply.send(answer.unwrap_or_else(|_| Err(no_answer("end"))));
            });
        });
    }

    fn stop(&self) {
        // The tasks find their queues closed, and end when they have answered what is in them.
        self.queues.lock().take();
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn signal(&self, signal: Bytes) {
        if let Some(queues) = &*self.queues.lock() {
            let _ = queues.signals.try_send(signal);
        }
    }

    fn is_selective(&self) -> bool {
        self.settings.is_selective
    }

    fn set_interest(&self, pattern: &TopicPattern, interest: Option<u64>) {
        self.command(match interest {
            Some(interest) => Command::Want(pattern.clone(), interest),
            None => Command::Unwant(pattern.clone()),
        });
    }
}

impl Drop for NatsLog {
    fn drop(&mut self) {
        self.tasks.get_mut().iter().for_each(AbortHandle::abort);
    }
}

/// How every connection of this crate is made.
pub(crate) fn connection(options: ConnectOptions) -> ConnectOptions {
    options
        // Three without an answer are a lost link.
        .ping_interval(Duration::from_secs(1))
        .subscription_capacity(CAPACITY)
        .connection_timeout(Duration::from_secs(2))
        .reconnect_delay_callback(|attempts| {
            // The first attempt of many nodes at once should not be at once, either.
            let longest = 25u64 << attempts.min(6);
            Duration::from_millis(fastrand::u64(longest / 2..=longest))
        })
}

async fn send_signals(engine: Arc<Engine>, mut signals: mpsc::Receiver<Bytes>) {
    while let Some(signal) = signals.recv().await {
        // At most once: what was said while the link was down is of no use later.
        if engine.is_connected() {
            let _ = engine.client.publish(engine.subjects.signal(), signal).await;
        }
    }
}

async fn take_signals(engine: Arc<Engine>, replica: Replica) {
    let subscribed = engine.client.subscribe(engine.subjects.signal()).await;
    let mut signals = match subscribed.map_err(|error| asking("subscribe", error)) {
        Ok(signals) => signals,
        // The client has ended, and with it all else.
        Err(_) => return,
    };
    while let Some(message) = signals.next().await {
        if replica.signalled(&message.payload).is_err() {
            return;
        }
    }
}

fn closed() -> LogError {
    error(LogErrorKind::Closed, "log was closed")
}

fn busy(what: &str) -> LogError {
    error(LogErrorKind::Busy, format_args!("{what}: too much is waiting already"))
}
