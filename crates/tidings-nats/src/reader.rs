//! Reads events back.
//!
//! The stream's leader is asked for one message after the other, in several parts of the stream at a time: see
//! [`Engine::next`] for the reason.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use futures_util::{StreamExt, TryStreamExt, stream};
use tidings::backend::{LogError, LogErrorKind, Page, Reach, Read, Record, Reply, Start};
use tidings::{Topic, TopicPattern};
use tokio::sync::{Semaphore, mpsc};

use crate::engine::Engine;
use crate::error::{error, no_answer};
use crate::message;
use crate::subject::{Purpose, Subjects, covers};

/// How many parts of the stream are read at a time.
const AT_ONCE: usize = 16;
/// Into how many parts a span is cut, at most.
const PARTS: u64 = 32;
/// The shortest part, in positions.
const SHORTEST: u64 = 32;
/// With more subjects and wildcards, everything is read, and the rest left out.
const ONE_BY_ONE: usize = 8;

/// Some of the stream.
#[derive(Debug)]
pub(crate) struct Span {
    /// In order.
    pub(crate) messages: Vec<StreamMessage>,
    /// Everything that was asked for is in it up to here.
    pub(crate) to: u64,
}

/// The messages that are read: those of some subjects and wildcards, each read by itself.
#[derive(Debug)]
pub(crate) struct Filter(Vec<String>);

impl Filter {
    /// Covers some patterns, and perhaps more: the caller leaves out the rest.
    pub(crate) fn of<'a>(
        subjects: &Subjects,
        patterns: impl IntoIterator<Item = &'a TopicPattern>,
    ) -> Self {
        let mut filters: Vec<_> =
            patterns.into_iter().flat_map(|pattern| subjects.filters(pattern)).collect();
        // A filter that covers others comes before them.
        filters.sort_unstable_by_key(|filter| (Reverse(filter.ends_with('>')), filter.len()));
        let mut needed: Vec<String> = Vec::new();
        for filter in filters {
            if needed.iter().any(|wider| covers(wider, &filter)) {
                continue;
            }
            if needed.len() == ONE_BY_ONE {
                return Self::all(subjects);
            }
            needed.push(filter);
        }
        Self(needed)
    }

    pub(crate) fn all(subjects: &Subjects) -> Self {
        Self(vec![subjects.all()])
    }
}

/// What is asked of the stream.
#[derive(Debug)]
pub(crate) enum Question {
    Read(Read, Reply<Page>),
    /// Which of these topics are finished.
    Finished(Vec<Topic>, Reply<Vec<(Topic, u64)>>),
}

/// Answers questions.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    engine: Arc<Engine>,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl Reader {
    /// How many questions are answered at a time.
    const AT_ONCE: usize = 8;

    pub(crate) fn new(engine: Arc<Engine>, timeout: Duration) -> Self {
        Self { engine, permits: Arc::new(Semaphore::new(Self::AT_ONCE)), timeout }
    }

    /// Answers questions until the queue is closed.
    pub(crate) async fn run(self, mut questions: mpsc::Receiver<Question>) {
        while let Some(question) = questions.recv().await {
            // Fails only when it is closed, which does not happen.
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let Self { engine, timeout, .. } = self.clone();
            tokio::spawn(async move {
                match question {
                    Question::Read(read, reply) => {
                        let page = tokio::time::timeout(timeout, engine.read(&read)).await;
                        let page = page.unwrap_or_else(|_| Err(no_answer("read")));
                        reply.send(page.map_err(|error| engine.complaint.explain(error)));
                    }
                    Question::Finished(topics, reply) => {
                        let ends = tokio::time::timeout(timeout, engine.finished(topics)).await;
                        let ends = ends.unwrap_or_else(|_| Err(no_answer("read")));
                        reply.send(ends.map_err(|error| engine.complaint.explain(error)));
                    }
                }
                drop(permit);
            });
        }
    }
}

impl Engine {
    /// Those of some topics whose newest event is their last, with its position.
    async fn finished(&self, topics: Vec<Topic>) -> Result<Vec<(Topic, u64)>, LogError> {
        let ends = stream::iter(topics).map(|topic| async move {
            let end = self.end_of(&self.subjects.topic(&topic)).await?;
            Ok::<_, LogError>(end.map(|position| (topic, position)))
        });
        let ends: Vec<_> = ends.buffered(AT_ONCE).try_collect().await?;
        Ok(ends.into_iter().flatten().collect())
    }

    /// The position of the last event of a topic's subject, if the topic is finished.
    pub(crate) async fn end_of(&self, subject: &str) -> Result<Option<u64>, LogError> {
        let newest = self.newest_of(subject).await?;
        let record = newest.and_then(|message| self.record(&message));
        Ok(record.filter(|record| record.event.is_last()).map(|record| record.position))
    }

    async fn read(&self, read: &Read) -> Result<Page, LogError> {
        let before = self.history();
        let (from, span, reach) = match read.start {
            Start::After(position) => {
                let span = self.span_of(read, position, read.to, read.max_bytes).await?;
                (position, span, Reach::default())
            }
            Start::Newest { count, since } => self.newest(read, count, since).await?,
        };
        let state = self.state().await?;
        if state.history != before {
            return Err(error(LogErrorKind::Unavailable, "read: the history has just changed"));
        }
        // Asked after reading, so that nothing can be trimmed in between.
        if matches!(read.start, Start::After(_)) && state.first > from + 1 {
            let cause = format!("read: events after {from} are gone up to {}", state.first - 1);
            return Err(error(LogErrorKind::Trimmed, cause));
        }
        let records = span.messages.iter().filter_map(|message| self.record(message)).collect();
        Ok(Page::new(state.history.epoch, records, from, span.to).with_reach(reach))
    }

    /// `None` for a message that is not an event: the replica counted it when it came.
    fn record(&self, stored: &StreamMessage) -> Option<Record> {
        let Ok(Purpose::Topic(topic)) = self.subjects.purpose(&stored.subject) else { return None };
        let headers = Some(&stored.headers);
        let at = millis(stored);
        message::record(stored.sequence, at, topic.as_str(), headers, &stored.payload).ok()
    }

    /// The newest messages. Reads backwards in growing steps until there are enough.
    async fn newest(
        &self,
        read: &Read,
        count: usize,
        since: u64,
    ) -> Result<(u64, Span, Reach), LogError> {
        let first = self.state().await?.first;
        let mut found: Vec<StreamMessage> = Vec::new();
        let (mut end, mut step) = (read.to, 256);
        while end >= first && found.len() < count {
            let begin = end.saturating_sub(step).max(first.saturating_sub(1));
            let mut messages = self.span_of(read, begin, end, usize::MAX).await?.messages;
            let is_old = messages.first().is_some_and(|message| millis(message) < since);
            messages.append(&mut found);
            found = messages;
            if is_old || begin == 0 {
                break;
            }
            (end, step) = (begin, step * 2);
        }
        let is_old = found.first().is_some_and(|message| millis(message) < since);
        found.retain(|message| millis(message) >= since);
        let reach = match is_old {
            _ if found.len() >= count => Reach::Count,
            true => Reach::Time,
            // Of the messages that are gone, it is not known what they were.
            false if first > 1 => Reach::Retained,
            false => Reach::All,
        };
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
        Ok((from, Span { messages: found, to }, reach))
    }

    /// The messages that were asked for after a position, up to another or to the one that reaches `max_bytes`.
    async fn span_of(
        &self,
        read: &Read,
        after: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Span, LogError> {
        let filter = Filter::of(&self.subjects, &read.topics);
        let mut span = self.span(&filter, after, to, max_bytes).await?;
        let is_asked = |subject: &str| match self.subjects.purpose(subject) {
            Ok(Purpose::Topic(topic)) => read.is_of(topic.as_str()),
            _ => false,
        };
        span.messages.retain(|message| is_asked(&message.subject));
        Ok(span)
    }

    /// Messages after a position, up to another or to the one that reaches `max_bytes`.
    pub(crate) async fn span(
        &self,
        filter: &Filter,
        after: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Span, LogError> {
        let spans = stream::iter(filter.0.clone())
            .map(|subject| async move { self.span_of_one(&subject, after, to, max_bytes).await })
            .buffered(ONE_BY_ONE);
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

/// The bytes that a message counts for. A message without data takes memory, too.
fn size(message: &StreamMessage) -> usize {
    message.payload.len() + 128
}

/// When a message was stored, in milliseconds since the Unix epoch.
pub(crate) fn millis(message: &StreamMessage) -> u64 {
    u64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
