//! Reads one stream as it grows.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, cmd};
use tidings::backend::LogError;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::batch::BatchSize;
use crate::entry::{Entry, streams};
use crate::error::failed;
use crate::position::{EntryId, SEQ_CROWDED};
use crate::state::{State, Verdict};
use crate::streams::Streams;
use crate::tag::Tag;
use crate::writer::raise;

/// What a lane has to say.
#[derive(Debug)]
pub(crate) enum News {
    /// The next entries. `is_end` where there were no more.
    Entries { entries: Vec<Entry>, is_end: bool },
    /// The server answers, and has the history that was read; its last id was this.
    Verified(EntryId),
    /// The server cannot be reached.
    Down(LogError),
    /// Entries up to `to`, and perhaps it, are gone. The newest is this one.
    Trimmed { to: EntryId, newest: EntryId },
    /// The stream is of another history. This is the last word.
    Another,
}

/// The task that reads a stream over a connection of its own.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) streams: Arc<Streams>,
    pub(crate) index: usize,
    pub(crate) tag: Tag,
    /// It was read up to here.
    pub(crate) cursor: EntryId,
    /// The cursor is an entry of this stream, and not only a place in it.
    pub(crate) is_entry: bool,
    pub(crate) news: mpsc::Sender<News>,
    /// For the writer of the same stream.
    pub(crate) doubt: Arc<Notify>,
}

/// Nobody wants to hear more.
struct Ended;

enum Trouble {
    Link(redis::RedisError),
    Ended,
}

impl From<redis::RedisError> for Trouble {
    fn from(error: redis::RedisError) -> Self {
        Self::Link(error)
    }
}

impl From<Ended> for Trouble {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

impl Lane {
    /// Redis answers after this time if nothing comes.
    const BLOCK: Duration = Duration::from_millis(400);
    /// An answer may be late by this much. Then the link is taken for dead.
    const PATIENCE: Duration = Duration::from_secs(1);
    /// How often the history is verified, and the stream trimmed.
    const VERIFY: Duration = Duration::from_secs(1);

    /// Reads until another history begins, or nobody listens.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut batch = BatchSize::default();
        loop {
            match self.read(&mut backoff, &mut batch).await {
                Ok(()) | Err(Trouble::Ended) => return,
                Err(Trouble::Link(error)) => {
                    if error.is_timeout() {
                        batch.smaller();
                    }
                    self.doubt.notify_one();
                    let error = failed(&format!("follow {}", self.stream()), &error);
                    if self.tell(News::Down(error)).await.is_err() {
                        return;
                    }
                }
            }
            backoff.wait().await;
        }
    }

    async fn read(&mut self, backoff: &mut Backoff, batch: &mut BatchSize) -> Result<(), Trouble> {
        let patience = Self::BLOCK + Self::PATIENCE;
        let mut connection = self.streams.endpoint.connect(&self.stream(), patience).await?;
        let mut verified: Option<Instant> = None;
        loop {
            if verified.is_none_or(|at| at.elapsed() >= Self::VERIFY) {
                if !self.verify(&mut connection).await? {
                    return Ok(());
                }
                verified = Some(Instant::now());
                backoff.reset();
            }
            let asked = batch.entries();
            let entries = self.next(&mut connection, asked).await?;
            batch.seen(entries.len(), entries.iter().map(Entry::size).sum());
            if let Some(entry) = entries.last() {
                self.cursor = entry.id;
                self.is_entry = true;
                self.spread(&mut connection).await?;
            }
            let is_end = entries.len() < asked;
            self.tell(News::Entries { entries, is_end }).await?;
        }
    }

    async fn next(
        &self,
        connection: &mut MultiplexedConnection,
        count: usize,
    ) -> RedisResult<Vec<Entry>> {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(count).arg("BLOCK").arg(Self::BLOCK.as_millis().to_string());
        read.arg("STREAMS").arg(self.stream()).arg(self.cursor.to_string());
        streams(connection.send_packed_command(&read).await?)
    }

    /// Whether this is still the history that was read, of which the rest is there or known to be gone.
    async fn verify(&mut self, connection: &mut MultiplexedConnection) -> Result<bool, Trouble> {
        let about = self.is_entry.then_some(self.cursor);
        let command = self.streams.state_command(self.index, about);
        let answer = connection.send_packed_command(&command).await?;
        let Some(state) = State::read(answer)? else {
            self.tell(News::Another).await?;
            return Ok(false);
        };
        match state.since(self.tag.as_str(), self.cursor, self.is_entry) {
            Verdict::Continued => {}
            Verdict::Trimmed(to) => {
                self.cursor = self.cursor.max(to);
                self.is_entry = true;
                let newest = state.newest.unwrap_or_default();
                self.tell(News::Trimmed { to: self.cursor, newest }).await?;
            }
            Verdict::Another => {
                self.tell(News::Another).await?;
                return Ok(false);
            }
        }
        self.tell(News::Verified(state.last_generated)).await?;
        Ok(true)
    }

    /// Moves the stream on to the next millisecond when this one has very many entries: the server's
    /// clock was set back, or somebody chooses ids.
    async fn spread(&self, connection: &mut MultiplexedConnection) -> Result<(), Trouble> {
        if self.cursor.seq < SEQ_CROWDED {
            return Ok(());
        }
        let next = EntryId::new(self.cursor.ms.saturating_add(1), 0);
        if next.position(self.index).is_some() {
            let raised = connection.send_packed_command(&raise(&self.stream(), next)).await?;
            raised.extract_error()?;
        }
        Ok(())
    }

    async fn tell(&self, news: News) -> Result<(), Ended> {
        self.news.send(news).await.map_err(|_| Ended)
    }

    fn stream(&self) -> String {
        self.streams.keys.stream(self.index)
    }
}
