//! Follows the stream, and hands it to the replica.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, RedisResult, Value};
use tidings::backend::{LogError, Origin, RecordError, Refused, Replica};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::batch_size::BatchSize;
use crate::engine::Engine;
use crate::entry::{Entry, streams, unexpected};
use crate::entry_id::EntryId;
use crate::error::failed;
use crate::script::PRESENT;
use crate::stream_state::{StreamState, Verdict};

/// The task that feeds the replica, from one history to the next.
#[derive(Debug)]
pub(crate) struct Follower {
    engine: Arc<Engine>,
    replica: Replica,
    /// Tells the writer that its connection may be lost, too.
    doubt: Arc<Notify>,
    origin: Origin,
    /// The stream was read up to here.
    cursor: EntryId,
    /// The cursor is an entry of this stream, and not only a position in it.
    is_entry: bool,
    /// How many entries the stream had got with the cursor, or fewer, if that is known.
    added_at_cursor: Option<u64>,
    /// The replica was given everything up to here.
    position: u64,
    /// The replica knows that the link is up.
    is_up: bool,
}

/// Why following ended.
enum Interruption {
    Link(RedisError),
    AnotherHistory,
    HubGone,
}

impl From<RedisError> for Interruption {
    fn from(error: RedisError) -> Self {
        Self::Link(error)
    }
}

impl From<Refused> for Interruption {
    fn from(_: Refused) -> Self {
        Self::HubGone
    }
}

impl Follower {
    /// Redis answers after this time if nothing comes.
    const BLOCK: Duration = Duration::from_millis(400);
    /// An answer may be late by this much. Then the link counts as dead.
    const PATIENCE: Duration = Duration::from_secs(1);
    /// How often the history is verified, and the stream trimmed.
    const VERIFY: Duration = Duration::from_secs(1);

    pub(crate) fn new(
        engine: Arc<Engine>,
        replica: Replica,
        origin: Origin,
        doubt: Arc<Notify>,
    ) -> Self {
        let position = origin.position;
        let cursor = EntryId::at(position);
        Self {
            engine,
            replica,
            doubt,
            origin,
            cursor,
            is_entry: false,
            added_at_cursor: None,
            position,
            is_up: false,
        }
    }

    /// Follows until the hub is gone.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut batch = BatchSize::default();
        loop {
            let Err(interruption) = self.follow(&mut backoff, &mut batch).await;
            let outcome = match interruption {
                Interruption::HubGone => return,
                Interruption::AnotherHistory => self.begin_again().await,
                Interruption::Link(error) => {
                    if error.is_timeout() {
                        batch.smaller();
                    }
                    self.doubt.notify_one();
                    let outcome = self.report_link(Err(&failed("follow", &error)));
                    backoff.wait().await;
                    outcome
                }
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    async fn follow(
        &mut self,
        backoff: &mut Backoff,
        batch: &mut BatchSize,
    ) -> Result<Infallible, Interruption> {
        let patience = Self::BLOCK + Self::PATIENCE;
        let stream = &self.engine.keys.stream;
        let mut connection = self.engine.endpoint.connect(stream, patience).await?;
        // The address may lead elsewhere by now. Not as soon as the last one fails: what is asked in the meantime may connect
        // to the old primary once more, and that takes signals even as a replica.
        self.engine.link.renew();
        let mut verified: Option<Instant> = None;
        loop {
            if verified.is_none_or(|at| at.elapsed() >= Self::VERIFY) {
                self.verify(&mut connection).await?;
                verified = Some(Instant::now());
                backoff.reset();
            }
            let asked = batch.entries();
            let (mut entries, is_joined) = self.next(&mut connection, asked).await?;
            let read = entries.len();
            batch.seen(read, entries.iter().map(Entry::size).sum());
            if read > 0 && !is_joined {
                // What came between may be gone, and clients must hear of that before they get these.
                self.verify(&mut connection).await?;
                verified = Some(Instant::now());
                entries.retain(|entry| entry.id > self.cursor);
            }
            for entry in &entries {
                self.hand_on(entry)?;
            }
            self.added_at_cursor = self.added_at_cursor.map(|added| added + entries.len() as u64);
            if read < asked {
                self.replica.caught_up()?;
            }
        }
    }

    /// The next entries, and whether that at the cursor was still there after they were read. Streams are trimmed from
    /// the oldest entry on, so nothing between is gone then.
    async fn next(
        &self,
        connection: &mut MultiplexedConnection,
        count: usize,
    ) -> RedisResult<(Vec<Entry>, bool)> {
        let (stream, cursor) = (&self.engine.keys.stream, self.cursor.to_string());
        let mut commands = Pipeline::with_capacity(2);
        commands.cmd("XREAD").arg("COUNT").arg(count);
        commands.arg("BLOCK").arg(Self::BLOCK.as_millis().to_string());
        commands.arg("STREAMS").arg(stream).arg(&cursor);
        let mut is_present = PRESENT.on(&[stream]);
        is_present.arg(&cursor);
        commands.add_command(is_present);
        let answers = connection.send_packed_commands(&commands, 0, 2).await?;
        let Ok([read, is_present]) = <[Value; 2]>::try_from(answers) else {
            return Err(unexpected("two answers", &Value::Nil));
        };
        let entries = streams(read)?;
        let is_present = is_present.extract_error()? == Value::Int(1);
        Ok((entries, self.is_entry && is_present))
    }

    fn hand_on(&mut self, entry: &Entry) -> Result<(), Refused> {
        self.cursor = entry.id;
        self.is_entry = true;
        let Some(position) = entry.id.position() else {
            let cause = format!("{} is too large for a position", entry.id);
            return self.replica.rejected(self.position, &RecordError::new("id", cause));
        };
        self.position = position;
        match entry.record(position) {
            Ok(record) => self.replica.deliver(record),
            Err(error) => self.replica.rejected(position, &error),
        }
    }

    /// Finds out whether the stream still continues what was read of it, and trims it.
    async fn verify(&mut self, connection: &mut MultiplexedConnection) -> Result<(), Interruption> {
        let command = self.engine.state_command(self.is_entry.then_some(self.cursor));
        let state = StreamState::read(connection.send_packed_command(&command).await?)?;
        let state = state.ok_or(Interruption::AnotherHistory)?;
        let epoch = &self.origin.epoch;
        match state.since(epoch, self.cursor, self.is_entry, self.added_at_cursor) {
            Verdict::Continued => {}
            Verdict::Trimmed(to) => self.skip(to, state.newest)?,
            Verdict::AnotherHistory => return Err(Interruption::AnotherHistory),
        }
        self.added_at_cursor = state.added_at(self.cursor).or(self.added_at_cursor);
        let hearing = self.engine.check_hearing();
        Ok(self.report_link(hearing.as_ref().copied())?)
    }

    /// Entries up to this one, and perhaps it, are gone.
    fn skip(&mut self, to: EntryId, newest: Option<EntryId>) -> Result<(), Refused> {
        self.cursor = self.cursor.max(to);
        self.is_entry = true;
        let position_of = |id: EntryId| id.position().unwrap_or_default();
        self.position = self.position.max(position_of(self.cursor));
        let (epoch, position) = (self.origin.epoch.clone(), self.position);
        let end = newest.map_or(0, position_of).max(position);
        self.replica.restart(Origin::new(epoch, position, end))
    }

    fn report_link(&mut self, link: Result<(), &LogError>) -> Result<(), Refused> {
        let was_up = std::mem::replace(&mut self.is_up, link.is_ok());
        // Of the errors, the last one is to be shown.
        match was_up && link.is_ok() {
            true => Ok(()),
            false => self.replica.link(link),
        }
    }

    /// Follows another history from now on.
    async fn begin_again(&mut self) -> Result<(), Refused> {
        let mut backoff = Backoff::default();
        self.origin = loop {
            match self.engine.begin(Some(&self.origin.epoch)).await {
                Ok(origin) => break origin,
                Err(error) => self.replica.link(Err(&error))?,
            }
            backoff.wait().await;
        };
        self.position = self.origin.position;
        self.cursor = EntryId::at(self.position);
        self.is_entry = false;
        self.added_at_cursor = None;
        self.is_up = false;
        self.replica.restart(self.origin.clone())
    }
}
