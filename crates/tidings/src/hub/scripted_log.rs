//! A log that does nothing by itself: what a log does, and when, a test says.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_core::Stream;

use crate::backend::{
    Append, Appended, Epoch, Log, LogError, LogErrorKind, Origin, Page, Reach, Read, Record,
    Replica, Reply, Start,
};
use crate::hub::Hub;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::topic::{Topic, TopicPattern};
use crate::{Decoder, Event, STATUS_EVENT, Subscription, clock::ManualClock};

/// Cloning gives the same log.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScriptedLog(Arc<(Mutex<Script>, Condvar)>);

#[derive(Debug, Default)]
pub(crate) struct Script {
    replica: Option<Replica>,
    pub(crate) is_selective: bool,
    pub(crate) is_shared: bool,
    /// The history that it has: that of [`epoch`] unless it is set.
    pub(crate) epoch: Option<Epoch>,
    /// What can be read, after the position up to which nothing is left.
    pub(crate) records: Vec<Record>,
    pub(crate) trimmed: u64,
    /// How many records a page has at most, if not all.
    pub(crate) page_records: Option<usize>,
    /// A page with the record at this position cannot be read.
    pub(crate) damaged: Option<u64>,
    /// Where it ends.
    pub(crate) end: u64,
    /// Reads are answered when the test [says so](ScriptedLog::answer_reads).
    pub(crate) holds_reads: bool,
    held_reads: Vec<(Read, Reply<Page>)>,
    /// What was asked of it.
    pub(crate) interests: Vec<(String, Option<u64>)>,
    pub(crate) appends: Vec<Reply<Appended>>,
    pub(crate) signals: Vec<Bytes>,
    /// For the ends of how many topics, each time.
    pub(crate) ends: Vec<usize>,
    /// Questions for ends fail.
    pub(crate) is_down: bool,
    /// Nothing more will be asked.
    #[cfg(shuttle)]
    pub(crate) is_done: bool,
}

/// The history that a hub begins with.
pub(crate) fn epoch() -> Epoch {
    Epoch::new("one").unwrap()
}

/// The history that comes after it.
pub(crate) fn other_epoch() -> Epoch {
    Epoch::new("two").unwrap()
}

/// An event whose data is its position.
pub(crate) fn record(topic: &str, position: u64) -> Record {
    let event = Event::new(position.to_string());
    Record::new(position, 0, Topic::new(topic).unwrap(), event)
}

impl ScriptedLog {
    pub(crate) fn state(&self) -> MutexGuard<'_, Script> {
        self.0.0.lock()
    }

    /// Says that something was asked of it, or that the test is done.
    pub(crate) fn notify(&self) {
        self.0.1.notify_one();
    }

    /// Waits until something was asked of it. For tests on threads.
    #[cfg(shuttle)]
    pub(crate) fn wait_until(&self, is_it: impl Fn(&Script) -> bool) -> MutexGuard<'_, Script> {
        let mut state = self.state();
        while !is_it(&state) {
            self.0.1.wait(&mut state);
        }
        state
    }

    /// A hub on it, whose time stands still, and what the log has of that.
    pub(crate) fn hub(&self) -> (Hub, Replica) {
        let clock = ManualClock::new().clock();
        let hub = Hub::builder().clock(clock).retry(None).heartbeat(None).build_on(self.clone());
        (hub, self.replica())
    }

    /// What it has of the hub that was built on it.
    pub(crate) fn replica(&self) -> Replica {
        self.state().replica.clone().unwrap()
    }

    /// Answers the reads that it holds.
    pub(crate) fn answer_reads(&self) {
        let held = std::mem::take(&mut self.state().held_reads);
        held.into_iter().for_each(|(read, reply)| self.answer_read(&read, reply));
    }

    fn answer_read(&self, read: &Read, reply: Reply<Page>) {
        let state = self.state();
        let is_asked =
            |record: &&Record| record.position <= read.to && read.is_of(record.topic.as_str());
        let mut records: Vec<_> = state.records.iter().filter(is_asked).cloned().collect();
        let mut reach = Reach::default();
        let from = match read.start {
            Start::After(from) if from < state.trimmed => {
                let error = LogError::new(LogErrorKind::Trimmed, "scripted log: is trimmed");
                return reply.send(Err(error));
            }
            Start::After(from) => from,
            Start::Newest { count, .. } => {
                let first = records.len().saturating_sub(count);
                reach = match state.trimmed {
                    _ if records.len() >= count => Reach::Count,
                    0 => Reach::All,
                    _ => Reach::Retained,
                };
                records.get(first).map_or(read.to, |record| record.position - 1)
            }
        };
        records.retain(|record| record.position > from);
        let most = state.page_records.filter(|most| *most < records.len());
        records.truncate(most.unwrap_or(usize::MAX));
        let to = most.and_then(|_| records.last()).map_or(read.to, |record| record.position);
        if records.iter().any(|record| Some(record.position) == state.damaged) {
            let error = LogError::new(LogErrorKind::Corrupt, "scripted log: is damaged");
            return reply.send(Err(error));
        }
        let epoch = state.epoch.clone().unwrap_or_else(epoch);
        drop(state);
        reply.send(Ok(Page::new(epoch, records, from, to).with_reach(reach)));
    }
}

impl Log for ScriptedLog {
    fn origin(&self) -> Origin {
        let state = self.state();
        Origin { epoch: epoch(), position: state.trimmed, end: state.trimmed.max(state.end) }
    }

    fn start(&self, replica: Replica) {
        self.state().replica = Some(replica);
    }

    fn append(&self, _: Append, reply: Reply<Appended>) {
        self.state().appends.push(reply);
        self.notify();
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        let mut state = self.state();
        if state.holds_reads {
            return state.held_reads.push((read, reply));
        }
        drop(state);
        self.answer_read(&read, reply);
    }

    fn end(&self, reply: Reply<u64>) {
        let end = self.state().end;
        reply.send(Ok(end));
    }

    fn finished(&self, topics: Vec<Topic>, reply: Reply<Vec<(Topic, u64)>>) {
        let mut state = self.state();
        state.ends.push(topics.len());
        if state.is_down {
            let error = LogError::new(LogErrorKind::Unavailable, "scripted log: is down");
            return reply.send(Err(error));
        }
        let newest = topics.into_iter().filter_map(|topic| {
            let newest = state.records.iter().rfind(|record| record.topic == topic)?;
            newest.event.is_last().then_some((topic, newest.position))
        });
        let finished = newest.collect();
        drop(state);
        reply.send(Ok(finished));
    }

    fn stop(&self) {}

    fn is_shared(&self) -> bool {
        self.state().is_shared
    }

    fn signal(&self, signal: Bytes) {
        self.state().signals.push(signal);
    }

    fn is_selective(&self) -> bool {
        self.state().is_selective
    }

    fn set_interest(&self, pattern: &TopicPattern, interest: Option<u64>) {
        self.state().interests.push((pattern.as_str().to_owned(), interest));
        self.notify();
    }
}

/// What a stream has for its client: the data of events, and the statuses, where they are a reset with
/// their reasons.
pub(crate) fn received(subscription: &mut Subscription) -> Vec<String> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut decoder = Decoder::new();
    while let Poll::Ready(Some(bytes)) = Pin::new(&mut *subscription).poll_next(&mut cx) {
        decoder.feed(&bytes.unwrap()).unwrap();
    }
    let messages = std::iter::from_fn(|| decoder.next_message());
    messages
        .map(|message| match message.event() {
            STATUS_EVENT => {
                let status: serde_json::Value = serde_json::from_str(message.data()).unwrap();
                let received = status.get("reason").unwrap_or(&status["status"]);
                received.as_str().unwrap().to_owned()
            }
            _ => message.data().to_owned(),
        })
        .collect()
}
