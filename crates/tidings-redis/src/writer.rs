//! Appends events to the stream, in the order in which they were given.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Value, cmd};
use tidings::backend::{Append, Appended, LogError, LogErrorKind, Reply};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::entry::{bytes, unexpected};
use crate::entry_id::EntryId;
use crate::error::{failed, is_link_error, is_passing, unacknowledged};
use crate::keys::Keys;
use crate::script::APPEND;
use crate::stream_state::StreamState;

/// An event that is to be appended.
#[derive(Debug)]
pub(crate) struct Job {
    append: Append,
    reply: Reply<Appended>,
    deadline: Instant,
    /// Tells this publication from others with the same idempotency key.
    nonce: u64,
    /// It may be in the stream, by an attempt that was made before.
    is_sent: bool,
    _pending: OwnedSemaphorePermit,
}

impl Job {
    pub(crate) fn new(
        append: Append,
        reply: Reply<Appended>,
        timeout: Duration,
        pending: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            append,
            reply,
            deadline: Instant::now() + timeout,
            nonce: fastrand::u64(..),
            is_sent: false,
            _pending: pending,
        }
    }

    /// Whether it may be sent again, whatever happened to it.
    fn is_repeatable(&self) -> bool {
        self.append.key.is_some()
    }

    /// The error to answer with. What the server says of the last attempt tells nothing about those before.
    fn failure(&self, error: &RedisError) -> LogError {
        match self.is_sent {
            true => unacknowledged("append", error),
            false => failed("append", error),
        }
    }

    fn size(&self) -> usize {
        self.append.topic.as_str().len() + self.append.event.size()
    }
}

/// The task that appends. The next batch gathers while it waits for the answers to one, so a batch has as many
/// events as arrive in a round trip.
#[derive(Debug)]
pub(crate) struct Writer {
    engine: Arc<Engine>,
    jobs: UnboundedReceiver<Job>,
    waiting: VecDeque<Job>,
    connection: Option<MultiplexedConnection>,
    backoff: Backoff,
    /// The last reason why there is no connection.
    last_error: Option<RedisError>,
    /// The follower has lost its connection: this one may be lost, too.
    doubt: Arc<Notify>,
}

impl Writer {
    const BATCH: usize = 1_000;
    const BATCH_BYTES: usize = 4 << 20;
    /// How often an idle connection is tested, so that events are not sent into a dead one.
    const IDLE: Duration = Duration::from_secs(1);

    pub(crate) fn new(
        engine: Arc<Engine>,
        jobs: UnboundedReceiver<Job>,
        doubt: Arc<Notify>,
    ) -> Self {
        Self {
            engine,
            jobs,
            waiting: VecDeque::new(),
            connection: None,
            backoff: Backoff::default(),
            last_error: None,
            doubt,
        }
    }

    /// Works until the log is stopped and everything is answered.
    pub(crate) async fn run(mut self) {
        while self.gather().await {
            self.expire();
            let Some(connection) = self.connected().await else { continue };
            if !self.waiting.is_empty() {
                self.append(connection).await;
            }
        }
    }

    /// Takes the jobs that have come. If there are none, waits for one, or until it is time to test the
    /// connection. False at the end.
    async fn gather(&mut self) -> bool {
        if self.waiting.is_empty() {
            let is_up = self.connection.is_some();
            tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => self.waiting.push_back(job),
                    None => return false,
                },
                () = self.doubt.notified(), if is_up => self.test_connection().await,
                () = tokio::time::sleep(Self::IDLE), if is_up => self.test_connection().await,
                // Connected again at once, for the next job.
                () = std::future::ready(()), if !is_up => {}
            }
        }
        while let Ok(job) = self.jobs.try_recv() {
            self.waiting.push_back(job);
        }
        true
    }

    async fn test_connection(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if let Err(error) = connection.send_packed_command(&cmd("PING")).await {
            self.lose(error);
        }
    }

    fn lose(&mut self, error: RedisError) {
        self.connection = None;
        self.last_error = Some(error);
    }

    /// Answers the jobs that have waited too long.
    fn expire(&mut self) {
        let now = Instant::now();
        if self.waiting.iter().all(|job| job.deadline > now) {
            return;
        }
        let (late, waiting): (VecDeque<_>, _) =
            self.waiting.drain(..).partition(|job| job.deadline <= now);
        self.waiting = waiting;
        for job in late {
            let error = too_late(&job, self.last_error.as_ref());
            job.reply.send(Err(error));
        }
    }

    /// The connection; `None` if it is unavailable, after some time has passed.
    async fn connected(&mut self) -> Option<MultiplexedConnection> {
        if self.connection.is_none() {
            let patience = self.engine.options.answer_timeout + self.replicas_timeout();
            let connected = self.engine.endpoint.connect(&self.engine.keys.stream, patience).await;
            let verified = match connected {
                Ok(connection) => self.verify(connection).await,
                Err(error) => Err(error),
            };
            match verified {
                Ok(connection) => self.connection = Some(connection),
                Err(error) => {
                    self.last_error = Some(error);
                    self.backoff.wait().await;
                }
            }
        }
        self.connection.clone()
    }

    /// Events that are appended over a new connection must belong to the history that this node knows. The
    /// server may have come back with another one, which the follower finds out.
    async fn verify(
        &self,
        mut connection: MultiplexedConnection,
    ) -> RedisResult<MultiplexedConnection> {
        let command = self.engine.state_command(None);
        let state = StreamState::read(connection.send_packed_command(&command).await?)?;
        let epoch = self.engine.epoch();
        if state.zip(epoch).is_some_and(|(state, epoch)| state.is_of(&epoch)) {
            return Ok(connection);
        }
        Err((ErrorKind::Io, "the stream is of another history, which is not known yet").into())
    }

    fn replicas_timeout(&self) -> Duration {
        self.engine.options.replicas.map_or(Duration::ZERO, |(_, timeout)| timeout)
    }

    async fn append(&mut self, mut connection: MultiplexedConnection) {
        let batch = self.next_batch();
        let pipeline = self.pipeline(&batch);
        let count = pipeline.len();
        match connection.send_packed_commands(&pipeline, 0, count).await {
            Ok(mut answers) => {
                let replicated = match self.engine.options.replicas {
                    Some((needed, _)) => replicated(answers.pop(), needed),
                    None => Ok(()),
                };
                match &replicated {
                    // A server that does not wait is the wrong one, or to be asked again only later.
                    Err(error) if error.code().is_some() => self.lose(error.clone()),
                    _ => self.backoff.reset(),
                }
                self.answer(batch, answers, replicated);
            }
            Err(error) => {
                for mut job in batch.into_iter().rev() {
                    job.is_sent = true;
                    let may_retry = job.is_repeatable();
                    self.retry_or_fail(job, may_retry, &error);
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

    fn pipeline(&self, batch: &[Job]) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(batch.len() + 1);
        let mut has_script = false;
        for job in batch {
            pipeline.add_command(self.command(job, &mut has_script));
        }
        if let Some((replicas, timeout)) = self.engine.options.replicas {
            // 0 would be without limit.
            let timeout = timeout.as_millis().max(1);
            pipeline.cmd("WAIT").arg(replicas).arg(timeout.to_string());
        }
        pipeline
    }

    fn command(&self, job: &Job, has_script: &mut bool) -> Cmd {
        let options = &self.engine.options;
        let Keys { stream, ends, ends_by_time, .. } = &self.engine.keys;
        let Append { event, key, is_open, seen, .. } = &job.append;
        let mut command = if *is_open && key.is_none() && !event.is_last() {
            let mut command = cmd("XADD");
            command.arg(stream).arg("MAXLEN").arg("~").arg(options.max_events).arg("*");
            // Nothing looks whether the topic is finished.
            if let Some(seen) = seen {
                command.arg("seen").arg(seen.to_string());
            }
            command
        } else {
            let once = key.as_ref().map(|key| self.engine.keys.once(key));
            let mut keys = vec![&**stream, &**ends, &**ends_by_time];
            keys.extend(once.as_deref());
            let mut command = match std::mem::replace(has_script, true) {
                false => APPEND.on(&keys),
                true => APPEND.again_on(&keys),
            };
            command
                .arg(options.max_events)
                .arg(i32::from(event.is_last()))
                .arg(options.idempotency_window.as_millis().max(1).to_string())
                .arg(format!("{:x}", job.nonce))
                .arg(i32::from(options.replicas.is_some()));
            command
        };
        for (name, value) in job.append.fields() {
            command.arg(name).arg(value);
        }
        command
    }

    fn answer(&mut self, batch: Vec<Job>, answers: Vec<Value>, replicated: RedisResult<()>) {
        let mut again = Vec::new();
        for (mut job, answer) in batch.into_iter().zip(answers) {
            let appended = answer.extract_error().and_then(|answer| read(answer, &job));
            match (appended, &replicated) {
                (Ok(id), Ok(())) => self.appended(job, id),
                // It is in the stream, whatever is said of the replicas.
                (Ok(_), Err(error)) => {
                    job.is_sent = true;
                    let may_retry = job.is_repeatable();
                    again.push((job, may_retry, error.clone()));
                }
                (Err(error), _) => {
                    // Nothing has happened to what the server refuses.
                    job.is_sent |= error.code().is_none();
                    again.push((job, is_passing(&error), error));
                }
            }
        }
        for (job, may_retry, error) in again.into_iter().rev() {
            self.retry_or_fail(job, may_retry, &error);
            if is_link_error(&error) {
                self.lose(error);
            }
        }
    }

    fn appended(&self, job: Job, (id, is_duplicate): (EntryId, bool)) {
        let Some(position) = id.position() else {
            let message = format!("redis: the id {id} is too large for a position");
            job.reply.send(Err(LogError::new(LogErrorKind::Corrupt, message)));
            return;
        };
        // The log has one since it was connected.
        let Some(epoch) = self.engine.epoch() else { return };
        job.reply.send(Ok(Appended::new(epoch, position, is_duplicate)));
    }

    /// Puts a job back to the front if it may be tried again, and answers it if not.
    fn retry_or_fail(&mut self, job: Job, may_retry: bool, error: &RedisError) {
        if may_retry && job.deadline > Instant::now() {
            self.waiting.push_front(job);
        } else {
            let failure = job.failure(error);
            job.reply.send(Err(failure));
        }
    }
}

/// The id of the entry, and whether it is that of another publication with the same key.
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

/// Whether enough replicas have the events, by the answer to `WAIT`.
fn replicated(answer: Option<Value>, needed: u32) -> RedisResult<()> {
    match answer.map(Value::extract_error).transpose()? {
        Some(Value::Int(count)) if count >= i64::from(needed) => Ok(()),
        Some(Value::Int(count)) => {
            let cause = format!("{count} of {needed} replicas have it");
            Err((ErrorKind::Client, "not replicated", cause).into())
        }
        other => Err(unexpected("a number of replicas", &other.unwrap_or(Value::Nil))),
    }
}

fn too_late(job: &Job, last_error: Option<&RedisError>) -> LogError {
    match (last_error, job.is_sent) {
        (Some(error), _) => job.failure(error),
        (None, true) => {
            LogError::new(LogErrorKind::Unacknowledged, "redis: cannot append: no answer in time")
        }
        (None, false) => {
            LogError::new(LogErrorKind::Unavailable, "redis: cannot append: no turn in time")
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings::backend::Receiver;
    use tidings::{Event, IdempotencyKey, Topic};
    use tokio::sync::{Semaphore, mpsc};

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::options::RedisOptions;

    fn writer(options: RedisOptions) -> Writer {
        let endpoint = Endpoint::parse("redis://127.0.0.1/", options.connect_timeout).unwrap();
        let (_, jobs) = mpsc::unbounded_channel();
        Writer::new(Arc::new(Engine::new(options, endpoint)), jobs, Arc::default())
    }

    fn job(event: Event, key: Option<&str>) -> (Job, Receiver<Appended>) {
        let key = key.map(|key| IdempotencyKey::new(key).unwrap());
        let append = Append::new(Topic::new("a").unwrap(), event, key);
        let pending = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (reply, appended) = Reply::new();
        (Job::new(append, reply, Duration::from_secs(5), pending), appended)
    }

    fn answer(line: &str) -> Value {
        redis::parse_redis_value(line.as_bytes()).unwrap()
    }

    fn error(line: &str) -> RedisError {
        answer(line).extract_error().unwrap_err()
    }

    fn kind(appended: Receiver<Appended>) -> LogErrorKind {
        appended.wait().unwrap_err().kind()
    }

    #[test]
    fn replicas_are_never_waited_for_without_limit() {
        for (micros, sent) in [(1, "1"), (20_000, "20")] {
            let replicas = Some((2, Duration::from_micros(micros)));
            let writer = writer(RedisOptions { replicas, ..RedisOptions::default() });
            let mut expected = Pipeline::new();
            expected.cmd("WAIT").arg(2).arg(sent);
            let pipeline = writer.pipeline(&[]);
            assert_eq!(pipeline.get_packed_pipeline(), expected.get_packed_pipeline());
        }
    }

    #[test]
    fn a_batch_has_only_so_many_bytes_also_of_what_is_not_data() {
        let mut writer = writer(RedisOptions::default());
        for _ in 0..3 {
            let event = Event::comment("x".repeat(Writer::BATCH_BYTES / 2)).unwrap();
            writer.waiting.push_back(job(event, None).0);
        }
        assert_eq!(writer.next_batch().len(), 2);
        assert_eq!(writer.next_batch().len(), 1);
    }

    #[test]
    fn an_event_in_the_stream_is_in_doubt_whatever_is_said_of_the_replicas() {
        for refusal in ["-BUSY later\r\n", "-NOPERM never\r\n", "-UNBLOCKED a replica\r\n"] {
            let mut writer = writer(RedisOptions::default());
            let (plain, in_doubt) = job(Event::new("plain"), None);
            let (keyed, _waits) = job(Event::new("keyed"), Some("key"));
            let (last, refused) = job(Event::new("last"), Some("last"));
            let answers = ["+5-0\r\n", "+5-1 a\r\n", "-FINISHED topic is finished\r\n"];
            let answers = answers.map(answer).to_vec();
            writer.answer(vec![plain, keyed, last], answers, Err(error(refusal)));
            // Only what has a key is tried again.
            let again: Vec<_> = writer.waiting.iter().map(|job| job.append.event.data()).collect();
            assert_eq!(again, [Some("keyed")], "{refusal}");
            assert_eq!(kind(in_doubt), LogErrorKind::Unacknowledged);
            assert_eq!(kind(refused), LogErrorKind::Finished);
        }
    }

    #[test]
    fn an_event_that_may_be_in_the_stream_stays_in_doubt_whatever_is_said_later() {
        let expired = |is_sent| {
            let mut writer = writer(RedisOptions::default());
            let (mut job, appended) = job(Event::new("x"), Some("key"));
            (job.is_sent, job.deadline) = (is_sent, Instant::now());
            writer.last_error = Some(error("-LOADING Redis is loading\r\n"));
            writer.waiting.push_back(job);
            writer.expire();
            assert!(writer.waiting.is_empty());
            kind(appended)
        };
        let refused = |is_sent| {
            let mut writer = writer(RedisOptions::default());
            let (mut job, appended) = job(Event::new("x"), Some("key"));
            job.is_sent = is_sent;
            writer.answer(vec![job], vec![answer("-OOM no memory\r\n")], Ok(()));
            assert!(writer.waiting.is_empty());
            kind(appended)
        };
        for (is_sent, kinds) in [
            (false, [LogErrorKind::Unavailable, LogErrorKind::Full]),
            (true, [LogErrorKind::Unacknowledged; 2]),
        ] {
            assert_eq!([expired(is_sent), refused(is_sent)], kinds);
        }
    }
}
