//! Follows the stream, and hands it to the replica.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult, cmd};
use tidings::backend::{LogError, Origin, RecordError, Refused, Replica};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::batch_size::BatchSize;
use crate::engine::Engine;
use crate::entry::{Entry, streams};
use crate::entry_id::EntryId;
use crate::error::failed;
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
    /// The replica was given everything up to here.
    position: u64,
    /// What the replica knows about the link.
    is_up: Option<bool>,
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
        Self { engine, replica, doubt, origin, cursor, is_entry: false, position, is_up: None }
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
        let mut verified: Option<Instant> = None;
        loop {
            if verified.is_none_or(|at| at.elapsed() >= Self::VERIFY) {
                self.verify(&mut connection).await?;
                verified = Some(Instant::now());
                backoff.reset();
            }
            let asked = batch.entries();
            let entries = self.next(&mut connection, asked).await?;
            batch.seen(entries.len(), entries.iter().map(Entry::size).sum());
            for entry in &entries {
                self.hand_on(entry)?;
            }
            if entries.len() < asked {
                self.replica.caught_up()?;
            }
        }
    }

    async fn next(
        &self,
        connection: &mut MultiplexedConnection,
        count: usize,
    ) -> RedisResult<Vec<Entry>> {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(count).arg("BLOCK").arg(Self::BLOCK.as_millis().to_string());
        read.arg("STREAMS").arg(&self.engine.keys.stream).arg(self.cursor.to_string());
        streams(connection.send_packed_command(&read).await?)
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
        match state.since(&self.origin.epoch, self.cursor, self.is_entry) {
            Verdict::Continued => {}
            Verdict::Trimmed(to) => self.skip(to, state.newest)?,
            Verdict::AnotherHistory => return Err(Interruption::AnotherHistory),
        }
        Ok(self.report_link(Ok(()))?)
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
        let is_up = Some(link.is_ok());
        match std::mem::replace(&mut self.is_up, is_up) == is_up {
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
        self.is_up = None;
        self.replica.restart(self.origin.clone())
    }
}
