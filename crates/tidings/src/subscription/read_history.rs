use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::Subscription;
use super::event_history::EventHistory;
use super::history::History;
use super::out_of_band::NextStep;
use super::subscribe::Subscribe;
use crate::decode::{Decoder, Message};
use crate::error::{FieldError, SubscribeError, SubscribeErrorCause};
use crate::field::EventId;
use crate::filter::Filter;
use crate::hub::shared::Shared;
use crate::status::STATUS_EVENT;
use crate::topic::TopicPattern;
use crate::waking;

/// Reads the history of topics: a future for async code, [`ReadHistory::wait`] for any other. See
/// [`Hub::history`](crate::Hub::history).
#[must_use = "nothing is read until this is awaited"]
pub struct ReadHistory {
    shared: Arc<Shared>,
    names: Result<Vec<TopicPattern>, FieldError>,
    history: History,
    filters: Vec<Filter>,
    reader: Option<Box<Reader>>,
    restarts: usize,
}

/// Reads as a fresh client does, up to where its stream would go live.
struct Reader {
    subscription: Subscription,
    decoder: Decoder,
    events: Vec<Message>,
    is_announced: bool,
    /// How often to read on for values that were superseded while the ones before them were to be read.
    rounds: usize,
    /// How far hub and reader had come, and the retry generation in which they last got further.
    progress: (u64, usize),
    since: u64,
}

impl ReadHistory {
    /// A reader that is overrun begins again, so many times.
    const RESTARTS: usize = 16;

    /// For how many retry generations to wait for a log from which nothing comes: about ten seconds.
    const PATIENCE: u64 = 10;

    pub(crate) fn new(
        shared: Arc<Shared>,
        names: Result<Vec<TopicPattern>, FieldError>,
        history: History,
    ) -> Self {
        Self { shared, names, history, filters: Vec::new(), reader: None, restarts: 0 }
    }

    /// Leaves out the events that do not match, as [`Subscribe::filter`] does.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// The history, for code that is not async. On a hub in memory this blocks only for patterns over thousands of topics, and for
    /// [`History::Last`] of thousands of events with a filter, until those are looked through.
    ///
    /// On a hub with a log it blocks the thread until the log has answered. Do not call it from async code: a log whose
    /// tasks run on the caller's own runtime could not answer.
    ///
    /// # Errors
    ///
    /// See [`Hub::history`](crate::Hub::history).
    pub fn wait(self) -> Result<EventHistory, SubscribeError> {
        waking::block_on(self)
    }

    /// A reader of values reads on until nothing has been published meanwhile, so many times.
    const ROUNDS: usize = 64;

    fn open(&self) -> Result<Box<Reader>, SubscribeError> {
        let rules = &self.shared.retention;
        let is_latest = |name: &TopicPattern| rules.of(name).is_latest_per_key();
        let has_values = self.names.as_ref().is_ok_and(|names| names.iter().any(is_latest));
        let subscribe = Subscribe::named(self.shared.clone(), self.names.clone());
        let subscribe = self.filters.iter().cloned().fold(subscribe, Subscribe::filter);
        Ok(Box::new(Reader {
            subscription: subscribe.history(self.history).unlisted().open()?,
            decoder: Decoder::new().max_event_bytes(usize::MAX),
            events: Vec::new(),
            is_announced: false,
            rounds: if has_values && self.history == History::All { Self::ROUNDS } else { 0 },
            progress: (0, 0),
            since: self.shared.replication.as_ref().map_or(0, |it| it.retry_generation()),
        }))
    }
}

impl Future for ReadHistory {
    type Output = Result<EventHistory, SubscribeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.open()?,
            };
            match reader.poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(reader.into_history(self.history))),
                Poll::Ready(Err(Overrun)) if self.restarts < Self::RESTARTS => self.restarts += 1,
                Poll::Pending if !reader.is_hopeless() => {
                    self.reader = Some(reader);
                    return Poll::Pending;
                }
                _ => return Poll::Ready(Err(SubscribeErrorCause::Unavailable.into())),
            }
        }
    }
}

impl fmt::Debug for ReadHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadHistory")
            .field("topics", &self.names)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

/// What was being read is gone, or could not be found.
struct Overrun;

impl Reader {
    /// Ready when everything is read.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Overrun>> {
        while let Some(bytes) =
            std::task::ready!(self.subscription.poll_past(&mut self.rounds, cx))?
        {
            // There is no limit that it could exceed.
            if self.decoder.feed(&bytes).is_err() {
                return Poll::Ready(Err(Overrun));
            }
            while let Some(message) = self.decoder.next_message() {
                if message.event() != STATUS_EVENT {
                    self.events.push(message);
                } else if std::mem::replace(&mut self.is_announced, true) {
                    // A reset.
                    return Poll::Ready(Err(Overrun));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether nothing has come from the hub's log for long.
    fn is_hopeless(&mut self) -> bool {
        let Subscription { shared, client, .. } = &self.subscription;
        let Some(replication) = &shared.replication else { return false };
        // This has the reader woken in time.
        replication.wait_for_progress(client);
        let generation = replication.retry_generation();
        let progress = (shared.head().position, self.events.len());
        if std::mem::replace(&mut self.progress, progress) != progress {
            self.since = generation;
        }
        generation >= self.since + ReadHistory::PATIENCE
    }

    fn into_history(self, history: History) -> EventHistory {
        let Self { decoder, mut events, .. } = self;
        // What came while the hub's log was read is history, too.
        let most = match history {
            History::None => 0,
            History::Last(count) => count,
            History::All | History::Within(_) => events.len(),
        };
        events.drain(..events.len().saturating_sub(most));
        EventHistory { events, position: EventId::trusted(decoder.last_event_id().to_owned()) }
    }
}

impl Subscription {
    /// The next bytes of the past: `None` where the stream goes live, which is moved on so many times if something was
    /// published meanwhile.
    fn poll_past(
        &mut self,
        rounds: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Overrun>> {
        loop {
            if self.out_of_band.is_some() {
                // A hub that is closed has the same past.
                match self.poll_out_of_band(false, false, cx) {
                    NextStep::Yield(item) => return Poll::Ready(Ok(Some(item.bytes))),
                    NextStep::Wait | NextStep::LetServerSend => return Poll::Pending,
                    NextStep::End => return Poll::Ready(Err(Overrun)),
                    NextStep::Read => {}
                }
            }
            let joined = self.cursor.joined;
            if self.cursor.offset >= joined {
                let watermark = self.shared.watermark();
                if *rounds == 0 || self.cursor.offset >= watermark {
                    return Poll::Ready(Ok(None));
                }
                *rounds -= 1;
                self.cursor.joined = watermark;
                continue;
            }
            match self.read(joined.min(self.shared.watermark())) {
                Ok(Some(item)) => return Poll::Ready(Ok(Some(item.bytes))),
                Ok(None) => {}
                Err(reason) => self.on_overrun(reason),
            }
        }
    }
}
