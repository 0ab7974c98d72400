//! Reads events back.
//!
//! The stream's leader is asked for one message after the other, in several parts of the stream at a time: see
//! [`Engine::next`] for the reason.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use tidings::backend::{LogError, LogErrorKind, Page, Reach, Read, Record, Reply, Start};
use tidings::{Topic, TopicPattern};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::interval;

use crate::engine::Engine;
use crate::error::error;
use crate::gaps::Gaps;
use crate::message;
use crate::parts::{AT_ONCE, Room, cut};
use crate::subject::{Purpose, Subjects, covers};

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

/// The messages that are read: those of some subjects and wildcards, none of which covers another.
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

/// Answers questions of one kind.
#[derive(Debug)]
pub(crate) struct Reader {
    engine: Arc<Engine>,
    permits: Arc<Semaphore>,
}

impl Reader {
    /// How many questions are answered at a time.
    const AT_ONCE: usize = 8;

    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine, permits: Arc::new(Semaphore::new(Self::AT_ONCE)) }
    }

    /// Answers questions until the queue is closed. Each takes as long as it takes, if requests are answered and somebody
    /// waits for the answer.
    pub(crate) async fn run(self, mut questions: mpsc::Receiver<Question>) {
        while let Some(question) = questions.recv().await {
            // Fails only when it is closed, which does not happen.
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            let engine = self.engine.clone();
            tokio::spawn(async move {
                match question {
                    Question::Read(read, reply) => tokio::select! {
                        page = engine.read(&read) => {
                            reply.send(page.map_err(|error| engine.complaint.explain(error)));
                        }
                        () = is_given_up(&reply) => {}
                    },
                    Question::Finished(topics, reply) => tokio::select! {
                        ends = engine.finished(topics) => {
                            reply.send(ends.map_err(|error| engine.complaint.explain(error)));
                        }
                        () = is_given_up(&reply) => {}
                    },
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
        let filter = Filter::of(&self.subjects, &read.topics);
        let (from, newest) = match read.start {
            Start::After(position) => (position, None),
            Start::Newest { count, since } => {
                let (from, reach) = self.before_newest(read, &filter, count, since).await?;
                (from, Some(reach))
            }
        };
        let span = self.span(&filter, from, read.to, read.max_bytes).await?;
        // A late answer would take with it what was read.
        let state = self.again(|| self.state()).await?;
        if state.history != before {
            return Err(error(LogErrorKind::Unavailable, "read: the history has just changed"));
        }
        // Asked after reading, so that nothing can be trimmed in between.
        let gone = state.first.saturating_sub(1);
        let (from, reach) = match newest {
            None if gone > from => {
                let cause = format!("read: events after {from} are gone up to {gone}");
                return Err(error(LogErrorKind::Trimmed, cause));
            }
            // Of the messages that are gone, it is not known what they were.
            Some(_) if gone > from => (gone.min(read.to), Reach::Retained),
            Some(Reach::Retained) if gone == 0 => (from, Reach::All),
            reach => (from, reach.unwrap_or_default()),
        };
        let messages = span.messages.iter().filter(|message| message.sequence > from);
        let records = messages.filter_map(|message| self.record(message));
        let records = records.filter(|record| read.is_of(record.topic.as_str())).collect();
        let to = span.to.max(from);
        Ok(Page::new(state.history.epoch, records, from, to).with_reach(reach))
    }

    /// `None` for a message that is not an event: the replica counted it when it came.
    fn record(&self, stored: &StreamMessage) -> Option<Record> {
        let Ok(Purpose::Topic(topic)) = self.subjects.purpose(&stored.subject) else { return None };
        let headers = Some(&stored.headers);
        let at = millis(stored);
        message::record(stored.sequence, at, topic.as_str(), headers, &stored.payload).ok()
    }

    /// The position before the newest messages that were asked for, and why there are no more of them: looks backwards, and
    /// remembers nothing but positions.
    async fn before_newest(
        &self,
        read: &Read,
        filter: &Filter,
        count: usize,
        since: u64,
    ) -> Result<(u64, Reach), LogError> {
        let gone = self.state().await?.first.saturating_sub(1);
        let (to, gaps) = (read.to, Gaps::default());
        // Nothing is looked for before the oldest message of each subject.
        let oldest = filter.0.iter().map(|subject| self.first_in(subject, gone, to, &gaps));
        try_join_all(oldest).await?;
        let parts = cut(to.saturating_sub(gone)).map(move |(begin, end)| (to - end, to - begin));
        let mut parts = stream::iter(parts.filter(|part| gaps.is_open(&filter.0, *part)))
            .map(|(after, to)| self.asked_in(read, filter, after, to, since, &gaps))
            .buffered(AT_ONCE);
        let (mut from, mut found) = (to, 0);
        while found < count {
            let Some((positions, is_oldest)) = parts.try_next().await? else {
                return Ok((from, Reach::Retained));
            };
            for position in positions.into_iter().rev().take(count - found) {
                from = position - 1;
                found += 1;
            }
            if is_oldest && found < count {
                return Ok((from, Reach::Time));
            }
        }
        Ok((from, Reach::Count))
    }

    /// The positions of those messages of a part that were asked for, and whether it has events that are older.
    async fn asked_in(
        &self,
        read: &Read,
        filter: &Filter,
        after: u64,
        to: u64,
        since: u64,
        gaps: &Gaps,
    ) -> Result<(Vec<u64>, bool), LogError> {
        let (mut positions, mut is_oldest) = (Vec::new(), false);
        let look = |message: StreamMessage| {
            match self.subjects.purpose(&message.subject) {
                Ok(Purpose::Own) => {}
                _ if millis(&message) < since => is_oldest = true,
                Ok(Purpose::Topic(topic)) if read.is_of(topic.as_str()) => {
                    positions.push(message.sequence);
                }
                _ => {}
            }
            true
        };
        self.walk(filter, after, to, gaps, look).await?;
        Ok((positions, is_oldest))
    }

    /// Messages after a position, up to another or to the one that reaches `max_bytes`.
    pub(crate) async fn span(
        &self,
        filter: &Filter,
        after: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Span, LogError> {
        let (room, gaps) = (Room::new(max_bytes), Gaps::default());
        let parts = cut(to.saturating_sub(after));
        let parts = parts.map(move |(begin, end)| (after + begin, after + end));
        let mut parts = stream::iter(parts.filter(|part| gaps.is_open(&filter.0, *part)))
            .map(|(after, to)| self.part(filter, after, to, &room, &gaps))
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
        // There is nothing in the parts that were left out.
        span.to = span.to.max(to);
        Ok(span)
    }

    /// The messages of a part, as long as there is room for more of them.
    async fn part(
        &self,
        filter: &Filter,
        after: u64,
        to: u64,
        room: &Room,
        gaps: &Gaps,
    ) -> Result<Span, LogError> {
        let mut messages = Vec::new();
        let keep = |message: StreamMessage| {
            let has_room = room.take(after, size(&message));
            messages.push(message);
            has_room
        };
        let to = self.walk(filter, after, to, gaps, keep).await?;
        Ok(Span { messages, to })
    }

    /// Calls `take` with the messages of a part, in order, until it returns false. Returns up to where that was.
    async fn walk(
        &self,
        filter: &Filter,
        after: u64,
        to: u64,
        gaps: &Gaps,
        mut take: impl FnMut(StreamMessage) -> bool,
    ) -> Result<u64, LogError> {
        let firsts = filter.0.iter().map(|subject| self.first_in(subject, after, to, gaps));
        let firsts = try_join_all(firsts).await?;
        // The next message of each subject, by its position.
        let mut next = BTreeMap::new();
        for (subject, message) in filter.0.iter().zip(firsts) {
            next.extend(message.map(|message| (message.sequence, (subject, message))));
        }
        while let Some((position, (subject, message))) = next.pop_first() {
            if !take(message) {
                return Ok(position);
            }
            let message = self.first_in(subject, position, to, gaps).await?;
            next.extend(message.map(|message| (message.sequence, (subject, message))));
        }
        Ok(to)
    }

    /// The first message of a subject after a position and up to another.
    async fn first_in(
        &self,
        subject: &str,
        after: u64,
        to: u64,
        gaps: &Gaps,
    ) -> Result<Option<StreamMessage>, LogError> {
        if after >= to || gaps.cover(subject, after, to) {
            return Ok(None);
        }
        let message = self.again(|| self.next(subject, after + 1)).await?;
        gaps.learn(subject, after, message.as_ref().map(|message| message.sequence));
        Ok(message.filter(|message| message.sequence <= to))
    }
}

/// Waits until nobody waits for the answer any more.
async fn is_given_up<T>(reply: &Reply<T>) {
    let mut look = interval(Duration::from_millis(200));
    while reply.is_awaited() {
        look.tick().await;
    }
}

/// The bytes that a message counts for. A message without data takes memory, too.
fn size(message: &StreamMessage) -> usize {
    message.payload.len() + message::size_of_headers(&message.headers) + 128
}

/// When a message was stored, in milliseconds since the Unix epoch.
pub(crate) fn millis(message: &StreamMessage) -> u64 {
    u64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
