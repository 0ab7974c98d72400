//! Reads events back.
//!
//! JetStream's leader is asked for one message after the other, in several parts of the stream at a
//! time: see [`Engine::next`] on why not otherwise.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use futures_util::{StreamExt, TryStreamExt, stream};
use tidings::Topic;
use tidings::backend::{LogError, LogErrorKind, Page, Read, Record, Reply, Start};
use tokio::sync::{Semaphore, mpsc};

use crate::engine::Engine;
use crate::error::{error, no_answer};
use crate::message;
use crate::subject::Purpose;

/// Parts of the stream that are read at a time.
const AT_ONCE: usize = 16;
/// Into how many parts a span is cut, at most.
const PARTS: u64 = 32;
/// The shortest part, in positions.
const SHORTEST: u64 = 32;
/// Above as many topics, everything is read and the rest left out.
const TOPICS_ONE_BY_ONE: usize = 8;

/// Some of the stream.
#[derive(Debug)]
pub(crate) struct Span {
    /// In order.
    pub(crate) messages: Vec<StreamMessage>,
    /// Up to here all that was asked for is there.
    pub(crate) to: u64,
}

/// Which messages are read.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// Those of these subjects, each by itself.
    Subjects(Vec<String>),
    /// All; the caller leaves out what it does not want.
    All,
}

/// Answers reads.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    engine: Arc<Engine>,
    places: Arc<Semaphore>,
    timeout: Duration,
}

impl Reader {
    /// Reads that run at a time.
    const AT_ONCE: usize = 8;

    pub(crate) fn new(engine: Arc<Engine>, timeout: Duration) -> Self {
        Self { engine, places: Arc::new(Semaphore::new(Self::AT_ONCE)), timeout }
    }

    /// Answers as they come.
    pub(crate) async fn run(self, mut reads: mpsc::Receiver<(Read, Reply<Page>)>) {
        while let Some((read, reply)) = reads.recv().await {
            // Only fails when it is closed, which nobody does.
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            let reader = self.clone();
            tokio::spawn(async move {
                let page = tokio::time::timeout(reader.timeout, reader.engine.read(&read)).await;
                reply.send(page.unwrap_or_else(|_| Err(no_answer("read"))));
                drop(place);
            });
        }
    }
}

impl Engine {
    async fn read(&self, read: &Read) -> Result<Page, LogError> {
        let before = self.history();
        let (from, span) = match read.start {
            Start::After(position) => {
                (position, self.span_of(&read.topics, position, read.to, read.max_bytes).await?)
            }
            Start::Newest { count, since } => self.newest(read, count, since).await?,
        };
        let state = self.state().await?;
        if state.history != before {
            return Err(error(LogErrorKind::Unavailable, "read: the history has just changed"));
        }
        // Asked afterwards, so that nothing can have gone in between.
        if matches!(read.start, Start::After(_)) && state.first > from + 1 {
            let cause = format!("read: what is behind {from} begins with {} now", state.first);
            return Err(error(LogErrorKind::Trimmed, cause));
        }
        let records = span.messages.iter().filter_map(|message| self.record(message)).collect();
        Ok(Page { epoch: state.history.epoch, records, from, to: span.to })
    }

    /// What is no event is left out: the hub was told when it came.
    fn record(&self, stored: &StreamMessage) -> Option<Record> {
        let Ok(Purpose::Topic(topic)) = self.subjects.purpose(&stored.subject) else { return None };
        let headers = Some(&stored.headers);
        let at = millis(stored);
        message::record(stored.sequence, at, topic.as_str(), headers, &stored.payload).ok()
    }

    /// The newest messages: goes backwards in steps that grow, until it has enough.
    async fn newest(&self, read: &Read, count: usize, since: u64) -> Result<(u64, Span), LogError> {
        let first = self.state().await?.first;
        let mut found: Vec<StreamMessage> = Vec::new();
        let (mut end, mut step) = (read.to, 256);
        while end >= first && found.len() < count {
            let begin = end.saturating_sub(step).max(first.saturating_sub(1));
            let mut messages = self.whole_span_of(&read.topics, begin, end).await?;
            let is_old = messages.first().is_some_and(|message| millis(message) < since);
            messages.append(&mut found);
            found = messages;
            if is_old || begin == 0 {
                break;
            }
            (end, step) = (begin, step * 2);
        }
        found.retain(|message| millis(message) >= since);
        found.drain(..found.len().saturating_sub(count));
        let from = found.first().map_or(read.to, |message| message.sequence - 1);
        let mut bytes = 0;
        let fits = |message: &StreamMessage| {
            let has_room = bytes < read.max_bytes;
            bytes += size(message);
            has_room
        };
        let fitting = found.iter().map(fits).take_while(|fits| *fits).count();
        let to = if fitting < found.len() {
            found.truncate(fitting);
            found.last().map_or(from, |message| message.sequence)
        } else {
            read.to
        };
        Ok((from, Span { messages: found, to }))
    }

    async fn whole_span_of(
        &self,
        topics: &[Topic],
        after: u64,
        to: u64,
    ) -> Result<Vec<StreamMessage>, LogError> {
        Ok(self.span_of(topics, after, to, usize::MAX).await?.messages)
    }

    /// Messages of topics behind a position: up to another, or to the one that makes it `max_bytes`.
    async fn span_of(
        &self,
        topics: &[Topic],
        after: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Span, LogError> {
        if topics.len() <= TOPICS_ONE_BY_ONE {
            let subjects = topics.iter().map(|topic| self.subjects.topic(topic)).collect();
            return self.span(&Filter::Subjects(subjects), after, to, max_bytes).await;
        }
        let wanted: HashSet<_> = topics.iter().map(|topic| self.subjects.topic(topic)).collect();
        let mut span = self.span(&Filter::All, after, to, max_bytes).await?;
        span.messages.retain(|message| wanted.contains(message.subject.as_str()));
        Ok(span)
    }

    /// Messages behind a position: up to another, or to the one that makes it `max_bytes`.
    pub(crate) async fn span(
        &self,
        filter: &Filter,
        after: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Span, LogError> {
        let subjects = match filter {
            Filter::All => vec![self.subjects.all()],
            Filter::Subjects(subjects) => subjects.clone(),
        };
        let spans = stream::iter(subjects)
            .map(|subject| async move { self.span_of_one(&subject, after, to, max_bytes).await })
            .buffered(TOPICS_ONE_BY_ONE);
        let spans: Vec<Span> = spans.try_collect().await?;
        let to = spans.iter().map(|span| span.to).min().unwrap_or(to);
        let messages = spans.into_iter().flat_map(|span| span.messages);
        let mut messages: Vec<_> = messages.filter(|message| message.sequence <= to).collect();
        messages.sort_unstable_by_key(|message| message.sequence);
        Ok(Span { messages, to })
    }

    async fn span_of_one(
        &self,
        subject: &str,
        after: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Span, LogError> {
        let length = (to.saturating_sub(after) / PARTS).max(SHORTEST);
        let begins = (after..to).step_by(usize::try_from(length).unwrap_or(usize::MAX));
        let mut parts = stream::iter(begins)
            .map(|begin| self.part(subject, begin, to.min(begin.saturating_add(length)), max_bytes))
            .buffered(AT_ONCE);
        let (mut span, mut bytes) = (Span { messages: Vec::new(), to: after }, 0);
        while let Some(part) = parts.try_next().await? {
            for message in part.messages {
                bytes += size(&message);
                span.to = message.sequence;
                span.messages.push(message);
                if bytes >= max_bytes {
                    return Ok(span);
                }
            }
            span.to = part.to;
        }
        Ok(Span { to: to.max(after), ..span })
    }

    async fn part(
        &self,
        subject: &str,
        after: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Span, LogError> {
        let (mut span, mut bytes) = (Span { messages: Vec::new(), to }, 0);
        let mut next = after + 1;
        while next <= to && bytes < max_bytes {
            match self.next(subject, next).await? {
                Some(message) if message.sequence <= to => {
                    next = message.sequence + 1;
                    bytes += size(&message);
                    span.messages.push(message);
                }
                _ => return Ok(span),
            }
        }
        span.to = next - 1;
        Ok(span)
    }
}

/// What a message counts for; those without data take memory, too.
fn size(message: &StreamMessage) -> usize {
    message.payload.len() + 128
}

/// When a message was stored, in milliseconds since the Unix epoch.
pub(crate) fn millis(message: &StreamMessage) -> u64 {
    u64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
