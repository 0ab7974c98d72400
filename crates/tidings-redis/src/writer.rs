//! Appends events to one stream, in the order in which they were given.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Value, cmd};
use tidings::backend::{Append, Appended, LogError, LogErrorKind, Reply};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::entry::{bytes, unexpected};
use crate::error::{failed, is_of_the_link, is_passing, unacknowledged};
use crate::position::EntryId;
use crate::script::{APPEND_ONCE, RAISE};
use crate::state::State;
use crate::streams::Streams;
use crate::tag::Tag;

/// An event that is to be appended.
#[derive(Debug)]
pub(crate) struct Job {
    append: Append,
    reply: Reply<Appended>,
    deadline: Instant,
    /// Tells this publication from others with the same idempotency key.
    nonce: u64,
    /// It may be in the stream.
    is_sent: bool,
    _pending: OwnedSemaphorePermit,
}

impl Job {
    pub(crate) fn new(
        append: Append,
        reply: Reply<Appended>,
        patience: Duration,
        pending: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            append,
            reply,
            deadline: Instant::now() + patience,
            nonce: fastrand::u64(..),
            is_sent: false,
            _pending: pending,
        }
    }

    /// May be sent again, whatever has become of it.
    fn is_repeatable(&self) -> bool {
        self.append.key.is_some()
    }

    fn size(&self) -> usize {
        self.append.event.data().map_or(0, str::len)
    }
}

/// The task that appends. While it waits for one batch to be answered the next one gathers, so that
/// there are as many events in a batch as come in a round trip.
#[derive(Debug)]
pub(crate) struct Writer {
    streams: Arc<Streams>,
    index: usize,
    jobs: UnboundedReceiver<Job>,
    waiting: VecDeque<Job>,
    connection: Option<MultiplexedConnection>,
    backoff: Backoff,
    /// The last reason why there is no connection.
    trouble: Option<RedisError>,
    /// The follower of the same stream has lost its connection: this one may be lost, too.
    doubt: Arc<Notify>,
    /// The newest position that this node knows to be appended, on any stream.
    newest: Arc<AtomicU64>,
}

impl Writer {
    const BATCH: usize = 1_000;
    const BATCH_BYTES: usize = 4 << 20;
    /// How often an idle connection is tried, so that events are not sent into a dead one.
    const IDLE: Duration = Duration::from_secs(1);

    pub(crate) fn new(
        streams: Arc<Streams>,
        index: usize,
        jobs: UnboundedReceiver<Job>,
        doubt: Arc<Notify>,
        newest: Arc<AtomicU64>,
    ) -> Self {
        Self {
            streams,
            index,
            jobs,
            waiting: VecDeque::new(),
            connection: None,
            backoff: Backoff::default(),
            trouble: None,
            doubt,
            newest,
        }
    }

    /// Works until nobody can give it jobs any more.
    pub(crate) async fn run(mut self) {
        while self.gather().await {
            self.expire();
            let Some(connection) = self.connected().await else { continue };
            if !self.waiting.is_empty() {
                self.append(connection).await;
            }
        }
    }

    /// Takes what is there. If that is nothing, waits for a job, or until the connection is to be
    /// tried. False at the end.
    async fn gather(&mut self) -> bool {
        if self.waiting.is_empty() {
            let is_up = self.connection.is_some();
            tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => self.waiting.push_back(job),
                    None => return false,
                },
                () = self.doubt.notified(), if is_up => self.try_out().await,
                () = tokio::time::sleep(Self::IDLE), if is_up => self.try_out().await,
                // Made anew at once, for who comes next.
                () = std::future::ready(()), if !is_up => {}
            }
        }
        while let Ok(job) = self.jobs.try_recv() {
            self.waiting.push_back(job);
        }
        true
    }

    async fn try_out(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if let Err(error) = connection.send_packed_command(&cmd("PING")).await {
            self.lose(error);
        }
    }

    fn lose(&mut self, error: RedisError) {
        self.connection = None;
        self.trouble = Some(error);
    }

    /// Answers those that have waited too long.
    fn expire(&mut self) {
        let now = Instant::now();
        if self.waiting.iter().all(|job| job.deadline > now) {
            return;
        }
        let (late, waiting): (VecDeque<_>, _) =
            self.waiting.drain(..).partition(|job| job.deadline <= now);
        self.waiting = waiting;
        for job in late {
            job.reply.send(Err(too_late(job.is_sent, self.trouble.as_ref())));
        }
    }

    /// The connection; `None` if it cannot be had now. Then some time has passed.
    async fn connected(&mut self) -> Option<MultiplexedConnection> {
        if self.connection.is_none() {
            let stream = self.streams.keys.stream(self.index);
            let patience = self.streams.settings.answer_timeout + self.replicas_timeout();
            let connected = self.streams.endpoint.connect(&stream, patience).await;
            let verified = match connected {
                Ok(connection) => self.verify(connection).await,
                Err(error) => Err(error),
            };
            match verified {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => {
                    self.trouble = Some(error);
                    self.backoff.wait().await;
                }
            }
        }
        self.connection.clone()
    }

    /// What is appended over a new connection must belong to the history that this node knows: the server
    /// may have come back with another, which the follower finds out.
    async fn verify(
        &self,
        mut connection: MultiplexedConnection,
    ) -> RedisResult<MultiplexedConnection> {
        let command = self.streams.state_command(self.index, None);
        let state = State::read(connection.send_packed_command(&command).await?)?;
        let tag = self.streams.tag();
        let is_known = state.zip(tag).is_some_and(|(state, tag)| state.has_tag(tag.as_str()));
        if is_known {
            return Ok(connection);
        }
        let message = "the history is another, and not known yet";
        Err((ErrorKind::Io, message).into())
    }

    fn replicas_timeout(&self) -> Duration {
        self.streams.settings.replicas.map_or(Duration::ZERO, |(_, timeout)| timeout)
    }

    async fn append(&mut self, mut connection: MultiplexedConnection) {
        let mut batch = self.next_batch();
        let (pipeline, skipped) = self.pipeline(&batch);
        let count = pipeline.len();
        for job in &mut batch {
            job.is_sent = true;
        }
        match connection.send_packed_commands(&pipeline, 0, count).await {
            Ok(mut answers) => {
                self.backoff.reset();
                let replicated = match self.streams.settings.replicas {
                    Some((wanted, _)) => replicated(answers.pop(), wanted),
                    None => Ok(()),
                };
                let answers = answers.into_iter().skip(skipped);
                self.answer(batch, answers, replicated);
            }
            Err(error) => {
                for job in batch.into_iter().rev() {
                    self.again_or(job, |job| job.is_repeatable(), unacknowledged("append", &error));
                }
                self.lose(error);
            }
        }
        if self.connection.is_none() {
            self.backoff.wait().await;
        }
    }

    fn next_batch(&mut self) -> Vec<Job> {
        let mut bytes = 0;
        let mut count = 0;
        for job in self.waiting.iter().take(Self::BATCH) {
            count += 1;
            bytes += job.size();
            if bytes >= Self::BATCH_BYTES {
                break;
            }
        }
        self.waiting.drain(..count).collect()
    }

    /// The commands for a batch, and how many are in front of those that append.
    fn pipeline(&self, batch: &[Job]) -> (Pipeline, usize) {
        let mut pipeline = Pipeline::with_capacity(batch.len() + 2);
        let mut skipped = 0;
        if self.streams.keys.count() > 1 {
            // What was acknowledged on another stream comes before.
            pipeline.add_command(raise(
                &self.streams.keys.stream(self.index),
                EntryId::up_to(self.newest.load(Ordering::Acquire), 0),
            ));
            skipped = 1;
        }
        let mut has_script = false;
        for job in batch {
            pipeline.add_command(self.command(job, &mut has_script));
        }
        if let Some((replicas, timeout)) = self.streams.settings.replicas {
            pipeline.cmd("WAIT").arg(replicas).arg(timeout.as_millis().to_string());
        }
        (pipeline, skipped)
    }

    fn command(&self, job: &Job, has_script: &mut bool) -> Cmd {
        let settings = &self.streams.settings;
        let stream = self.streams.keys.stream(self.index);
        let mut command = match &job.append.key {
            None => {
                let mut command = cmd("XADD");
                command.arg(stream).arg("MAXLEN").arg("~").arg(settings.max_events_per_key());
                command.arg("*");
                command
            }
            Some(key) => {
                let once = self.streams.keys.once(self.index, key);
                let keys = [stream.as_str(), once.as_str()];
                let mut command = match std::mem::replace(has_script, true) {
                    false => APPEND_ONCE.on_both(keys),
                    true => APPEND_ONCE.again_on_both(keys),
                };
                command
                    .arg(settings.max_events_per_key())
                    .arg(settings.idempotency_window.as_millis().max(1).to_string())
                    .arg(format!("{:x}", job.nonce));
                command
            }
        };
        for (name, value) in job.append.fields() {
            command.arg(name).arg(value);
        }
        command
    }

    fn answer(
        &mut self,
        batch: Vec<Job>,
        answers: impl Iterator<Item = Value>,
        replicated: RedisResult<()>,
    ) {
        let mut again = Vec::new();
        for (job, answer) in batch.into_iter().zip(answers) {
            let appended = answer.extract_error().and_then(|answer| read(answer, &job));
            match (appended, &replicated) {
                (Ok(id), Ok(())) => self.appended(job, id),
                (Ok(_), Err(error)) => again.push((job, error.clone())),
                (Err(error), _) => again.push((job, error)),
            }
        }
        for (mut job, error) in again.into_iter().rev() {
            let is_passing = is_passing(&error);
            // Nothing has happened to what was refused for now.
            job.is_sent &= !is_passing || job.is_repeatable();
            let is_repeatable = replicated.is_err() && job.is_repeatable();
            let failure = unacknowledged("append", &error);
            self.again_or(job, |_| is_passing || is_repeatable, failure);
            if is_of_the_link(&error) {
                self.lose(error);
            }
        }
    }

    fn appended(&self, job: Job, (id, is_duplicate): (EntryId, bool)) {
        let Some(position) = id.position(self.index) else {
            let message = format!("redis: the entry {id} is beyond the ids that Redis generates");
            job.reply.send(Err(LogError::new(LogErrorKind::Corrupt, message)));
            return;
        };
        self.newest.fetch_max(position, Ordering::AcqRel);
        // The log has one since it was connected.
        let Some(Tag { epoch, .. }) = self.streams.tag() else { return };
        job.reply.send(Ok(Appended { epoch, position, is_duplicate }));
    }

    /// Puts a job back in front if it can be tried again, and answers it if not.
    fn again_or(&mut self, job: Job, can: impl FnOnce(&Job) -> bool, failure: LogError) {
        if can(&job) && job.deadline > Instant::now() {
            self.waiting.push_front(job);
        } else {
            job.reply.send(Err(failure));
        }
    }
}

/// See [`RAISE`].
pub(crate) fn raise(stream: &str, to: EntryId) -> Cmd {
    let mut command = RAISE.on(stream);
    command.arg(to.ms).arg(to.seq);
    command
}

/// The id of the entry, and whether it is that of somebody else's event.
fn read(answer: Value, job: &Job) -> RedisResult<(EntryId, bool)> {
    let text = bytes(answer)?;
    let mut parts = text.split(|byte| *byte == b' ');
    let id = parts.next().and_then(EntryId::parse);
    let nonce = parts.next().map(|nonce| nonce != format!("{:x}", job.nonce).as_bytes());
    match id {
        Some(id) => Ok((id, nonce.unwrap_or(false))),
        None => Err(unexpected("the id of an entry", &Value::BulkString(text))),
    }
}

/// Whether `WAIT` says that enough replicas have the events.
fn replicated(answer: Option<Value>, wanted: u32) -> RedisResult<()> {
    match answer.map(Value::extract_error).transpose()? {
        Some(Value::Int(count)) if count >= i64::from(wanted) => Ok(()),
        Some(Value::Int(count)) => {
            let cause = format!("{count} of {wanted} replicas have it");
            Err((ErrorKind::Client, "not replicated", cause).into())
        }
        other => Err(unexpected("a number of replicas", &other.unwrap_or(Value::Nil))),
    }
}

fn too_late(is_sent: bool, trouble: Option<&RedisError>) -> LogError {
    match (trouble, is_sent) {
        (Some(error), true) => unacknowledged("append", error),
        (Some(error), false) => failed("append", error),
        (None, true) => {
            LogError::new(LogErrorKind::Unacknowledged, "redis: cannot append: no answer in time")
        }
        (None, false) => {
            LogError::new(LogErrorKind::Unavailable, "redis: cannot append: no turn in time")
        }
    }
}
