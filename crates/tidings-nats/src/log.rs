use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use tidings::backend::{
    Append, Appended, Log, LogError, LogErrorKind, Origin, Page, Read, Replica, Reply, Start,
};
use tidings::{Topic, TopicPattern};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::appender::{Appender, Publication};
use crate::connect_options::ConnectOptions;
use crate::connection::{addresses, connection};
use crate::engine::Engine;
use crate::error::{asking, connecting, error, link_is_down, no_answer};
use crate::follower::{Command, Follower};
use crate::limits::StreamLimits;
use crate::options::NatsOptions;
use crate::reader::{Question, Reader};
use crate::stream_state::StreamState;
use crate::subject::Subjects;

/// The log of a hub in a JetStream stream, shared by the nodes of a cluster.
///
/// Goes into [`HubBuilder::build_on`](tidings::HubBuilder::build_on). Its tasks live on the tokio runtime on which it
/// was made, and end with the hub. See the [crate](crate) for what it promises.
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
    options: NatsOptions,
    /// `None` when the log was stopped.
    queues: Mutex<Option<Queues>>,
    origin: Origin,
    /// `None` when the follower runs.
    unstarted: Mutex<Option<Unstarted>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// The queues of the log's tasks.
#[derive(Debug, Clone)]
struct Queues {
    appends: mpsc::Sender<Publication>,
    /// For the newest events, which may be looked for in all of the stream.
    newest: mpsc::Sender<Question>,
    pages: mpsc::Sender<Question>,
    ends: mpsc::Sender<Question>,
    commands: mpsc::UnboundedSender<Command>,
    signals: mpsc::Sender<Bytes>,
}

/// What the follower needs to start.
#[derive(Debug)]
struct Unstarted {
    state: StreamState,
    commands: mpsc::UnboundedReceiver<Command>,
    signals: mpsc::Receiver<Bytes>,
}

impl fmt::Debug for NatsLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsLog").field("options", &self.options).finish_non_exhaustive()
    }
}

impl NatsLog {
    /// How many appends may wait; further ones are refused.
    const APPENDS: usize = 16_384;
    /// How many questions of a kind may wait; further ones are refused.
    const QUESTIONS: usize = 4_096;
    /// How many signals may wait; further ones are dropped.
    const SIGNALS: usize = 1_024;
    /// How many of the newest events a replica begins with, unless the log is selective.
    const RECENT: u64 = 10_000;

    /// The subject of a topic. Whatever a client of NATS publishes there is an event of the topic.
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
        options: NatsOptions,
        connect_options: ConnectOptions,
        servers: &str,
    ) -> Result<Self, LogError> {
        let runtime = Handle::try_current()
            .map_err(|source| error(LogErrorKind::Closed, &source).with_source(source))?;
        let timeout = options.request_timeout;
        let (connect_options, complaint) = connection(connect_options).await?;
        let connect_options = connect_options.request_timeout(Some(timeout));
        let client = connect_options.connect(&*addresses(servers)).await.map_err(connecting)?;
        let subjects = Subjects::new(options.prefix.clone());
        let (name, append_timeout) = (options.stream.clone(), options.append_timeout);
        let limits = StreamLimits { append_timeout, ..options.limits.clone() };
        let link = (client, complaint.clone());
        let opened = Engine::open(link, name, subjects, limits, timeout).await;
        let (engine, state) = opened.map_err(|error| complaint.explain_at_connect(error))?;
        let checked = check_signals(&engine, timeout).await;
        checked.map_err(|error| complaint.explain_at_connect(error))?;
        let (appends, queue) = mpsc::channel(Self::APPENDS);
        // Each kind waits for its own only.
        let [(newest, newest_asked), (pages, pages_asked), (ends, ends_asked)] =
            [(); 3].map(|()| mpsc::channel(Self::QUESTIONS));
        let (commands, commanded) = mpsc::unbounded_channel();
        let (signals, signalled) = mpsc::channel(Self::SIGNALS);
        let appender = Appender::new(engine.clone(), options.append_timeout);
        let oldest = state.first.saturating_sub(1);
        let position = match options.is_selective {
            true => state.last,
            false => oldest.max(state.last.saturating_sub(Self::RECENT)),
        };
        let origin = Origin::new(state.history.epoch.clone(), position, state.last);
        let log = Self {
            engine,
            runtime,
            options,
            queues: Mutex::new(Some(Queues { appends, newest, pages, ends, commands, signals })),
            origin,
            unstarted: Mutex::new(Some(Unstarted {
                state,
                commands: commanded,
                signals: signalled,
            })),
            tasks: Mutex::default(),
        };
        // It ends by itself when everything in its queue is answered.
        log.runtime.spawn(appender.run(queue));
        for asked in [newest_asked, pages_asked, ends_asked] {
            log.spawn(Reader::new(log.engine.clone()).run(asked));
        }
        Ok(log)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().push(self.runtime.spawn(task).abort_handle());
    }

    /// Puts work into a queue, unless the log was stopped.
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
        // It is called once, so there is something to start.
        let Some(Unstarted { state, commands, signals }) = self.unstarted.lock().take() else {
            return;
        };
        let (engine, position) = (self.engine.clone(), self.origin.position);
        let is_selective = self.options.is_selective;
        let follower =
            Follower::new(engine, replica.clone(), commands, state, position, is_selective);
        self.spawn(follower.run());
        // It ends by itself when everything in its queue is sent: that this node leaves is the last.
        self.runtime.spawn(send_signals(self.engine.clone(), signals));
        self.spawn(take_signals(self.engine.clone(), replica));
    }

    fn append(&self, append: Append, reply: Reply<Appended>) {
        let subject = self.engine.subjects.topic(&append.topic);
        self.enqueue(reply, |queues, reply| match queues.appends.try_reserve() {
            Ok(permit) => {
                let timeout = self.options.append_timeout;
                permit.send(Publication::new(&append, subject, timeout, reply));
            }
            Err(_) => reply.send(Err(busy("publish"))),
        });
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        self.enqueue(reply, |queues, reply| {
            let queue = match read.start {
                Start::After(_) => &queues.pages,
                Start::Newest { .. } => &queues.newest,
            };
            match queue.try_reserve() {
                Ok(permit) => permit.send(Question::Read(read, reply)),
                Err(_) => reply.send(Err(busy("read"))),
            }
        });
    }

    fn finished(&self, topics: Vec<Topic>, reply: Reply<Vec<(Topic, u64)>>) {
        self.enqueue(reply, |queues, reply| match queues.ends.try_reserve() {
            Ok(permit) => permit.send(Question::Finished(topics, reply)),
            Err(_) => reply.send(Err(busy("read"))),
        });
    }

    fn end(&self, reply: Reply<u64>) {
        let limit = self.options.request_timeout.saturating_mul(2);
        self.enqueue(reply, |queues, reply| {
            let (asked, answer) = Reply::new();
            let _ = queues.commands.send(Command::End(asked));
            self.runtime.spawn(async move {
                // A follower that begins again does not look at its commands meanwhile.
                let answer = timeout(limit, answer).await;
                reply.send(answer.unwrap_or_else(|_| Err(no_answer("end"))));
            });
        });
    }

    fn stop(&self) {
        // The tasks find their queues closed, and end when they have answered everything in them.
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
        self.options.is_selective
    }

    fn set_interest(&self, pattern: &TopicPattern, interest: Option<u64>) {
        self.command(match interest {
            Some(number) => Command::AddInterest(pattern.clone(), number),
            None => Command::RemoveInterest(pattern.clone()),
        });
    }
}

impl Drop for NatsLog {
    fn drop(&mut self) {
        self.tasks.get_mut().iter().for_each(AbortHandle::abort);
    }
}

/// Sends a signal that means nothing, and waits for it. A node that may not send signals, or not receive them, would not be
/// told, and would take all others for silent.
async fn check_signals(engine: &Engine, limit: Duration) -> Result<(), LogError> {
    let came_back = async {
        let (client, subject) = (&engine.client, engine.subjects.signal());
        let subscribed = client.subscribe(subject.clone()).await;
        let mut signals = subscribed.map_err(|error| asking("signal", error))?;
        let text = Bytes::from(format!("{:016x}", fastrand::u64(..)));
        let sent = client.publish(subject, text.clone()).await;
        sent.map_err(|error| asking("signal", error))?;
        while let Some(signal) = signals.next().await {
            if signal.payload == text {
                return Ok(());
            }
        }
        Err(link_is_down())
    };
    timeout(limit, came_back).await.unwrap_or_else(|_| Err(no_answer("signal")))
}

async fn send_signals(engine: Arc<Engine>, mut signals: mpsc::Receiver<Bytes>) {
    while let Some(signal) = signals.recv().await {
        // At most once: a signal from while the link was down is of no use later.
        if engine.is_connected() {
            let _ = engine.client.publish(engine.subjects.signal(), signal).await;
        }
    }
    // The client may end with the log, and what it has not written then is lost.
    let _ = timeout(Duration::from_secs(1), engine.client.flush()).await;
}

async fn take_signals(engine: Arc<Engine>, replica: Replica) {
    let subscribed = engine.client.subscribe(engine.subjects.signal()).await;
    let mut signals = match subscribed.map_err(|error| asking("subscribe", error)) {
        Ok(signals) => signals,
        // The client has ended, and with it the log.
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
    error(LogErrorKind::Busy, format_args!("{what}: too many are waiting already"))
}
