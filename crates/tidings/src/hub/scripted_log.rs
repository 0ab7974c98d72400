//! A log that does nothing by itself: what a log does, and when, a test says.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::backend::{
    Append, Appended, Epoch, Log, LogError, LogErrorKind, Origin, Page, Read, Record, Replica,
    Reply, Start,
};
use crate::hub::Hub;
use crate::sync::{Mutex, MutexGuard};
use crate::topic::{Topic, TopicPattern};
use crate::{Decoder, Event, ManualClock, STATUS_EVENT, Subscription};

/// Cloning gives the same log.
#[derive(Debug, Clone, Default)]
pub(super) struct ScriptedLog(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
pub(super) struct Script {
    replica: Option<Replica>,
    pub(super) is_selective: bool,
    /// The history that it has: that of [`epoch`] unless it is set.
    pub(super) epoch: Option<Epoch>,
    /// What can be read, behind the position up to which nothing is left.
    pub(super) records: Vec<Record>,
    pub(super) trimmed: u64,
    /// Where it ends.
    pub(super) end: u64,
    /// What was asked of it.
    pub(super) interests: Vec<(String, Option<u64>)>,
    pub(super) appends: Vec<Reply<Appended>>,
}

/// The history that a hub begins with.
pub(super) fn epoch() -> Epoch {
    Epoch::new("one").unwrap()
}

/// The history that comes behind it.
pub(super) fn other_epoch() -> Epoch {
    Epoch::new("two").unwrap()
}

/// An event whose data is its position.
pub(super) fn record(topic: &str, position: u64) -> Record {
    let event = Event::new(position.to_string());
    Record { position, at: 0, topic: Topic::new(topic).unwrap(), event }
}

impl ScriptedLog {
    pub(super) fn state(&self) -> MutexGuard<'_, Script> {
        self.0.lock()
    }

    /// A hub on it, whose time stands still, and what the log has of that.
    pub(super) fn hub(&self) -> (Hub, Replica) {
        let clock = ManualClock::new().clock();
        let hub = Hub::builder().clock(clock).retry(None).heartbeat(None).build_on(self.clone());
        (hub, self.replica())
    }

    /// What it has of the hub that was built on it.
    pub(super) fn replica(&self) -> Replica {
        self.state().replica.clone().unwrap()
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
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        let state = self.state();
        let is_asked =
            |record: &&Record| record.position <= read.to && read.is_of(record.topic.as_str());
        let mut records: Vec<_> = state.records.iter().filter(is_asked).cloned().collect();
        let from = match read.start {
            Start::After(from) if from < state.trimmed => {
                let error = LogError::new(LogErrorKind::Trimmed, "scripted log: is trimmed");
                return reply.send(Err(error));
            }
            Start::After(from) => from,
            Start::Newest { count, .. } => {
                let first = records.len().saturating_sub(count);
                records.get(first).map_or(read.to, |record| record.position - 1)
            }
        };
        records.retain(|record| record.position > from);
        let epoch = state.epoch.clone().unwrap_or_else(epoch);
        reply.send(Ok(Page { epoch, records, from, to: read.to }));
    }

    fn end(&self, reply: Reply<u64>) {
        reply.send(Ok(self.state().end));
    }

    fn stop(&self) {}

    fn is_selective(&self) -> bool {
        self.state().is_selective
    }

    fn set_interest(&self, pattern: &TopicPattern, interest: Option<u64>) {
        self.state().interests.push((pattern.as_str().to_owned(), interest));
    }
}

/// What a stream has for its client: the data of events, and the statuses, where they are a reset with
/// their reasons.
pub(super) fn received(subscription: &mut Subscription) -> Vec<String> {
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
