//! Hands on what comes.

use std::time::SystemTime;

use async_nats::header::{HeaderName, NATS_MESSAGE_ID};
use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use tidings::TopicPattern;
use tidings::backend::RecordError;
use tokio::time::Instant;

use super::taps::{Batch, Live};
use super::{Break, Follower, missed};
use crate::message;
use crate::subject::Purpose;

const TIME: HeaderName = HeaderName::from_static("Nats-Time-Stamp");

/// So many messages are known again when they come once more.
const RECENT: usize = 16 * 1024;

/// What is at a position of the stream.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) sequence: u64,
    pub(super) id: Option<String>,
    pub(super) payload: Bytes,
}

impl Follower {
    pub(super) fn take_batch(&mut self, batch: Batch<Message>) -> Result<(), Break> {
        if self.engine.connects() != self.connects {
            return Err(missed("link was lost"));
        }
        if batch.has_overflowed {
            return Err(missed("too much came at once"));
        }
        batch.messages.into_iter().try_for_each(|live| self.take(live))
    }

    /// Hands on one message, behind all those before it.
    pub(super) fn take(&mut self, live: Live<Message>) -> Result<(), Break> {
        let Live { sequence, previous, message } = live;
        if sequence <= self.complete {
            return self.take_late(sequence, &message);
        }
        if !self.is_selective && sequence != self.complete + 1 {
            return Err(missed(format_args!("position {} did not come", self.complete + 1)));
        }
        let purpose = self.engine.subjects.purpose(&message.subject);
        if purpose == Ok(Purpose::Own) {
            return self.take_own(sequence, &message);
        }
        if let (true, Ok(Purpose::Topic(topic))) = (self.is_selective, &purpose) {
            // Those that are not wanted any more, or not yet, or belong to a wildcard and no family.
            let Some(complete) = self.wanted.complete(topic) else { return Ok(()) };
            if previous > complete {
                return Err(match previous > self.complete {
                    true => missed(format_args!("position {previous} did not come")),
                    false => Break::Overtaken,
                });
            }
            self.wanted.take(topic, sequence);
        }
        let headers = message.headers.as_ref();
        self.hand_on(sequence, appended_at(headers), purpose, headers, &message.payload)
    }

    /// A message that is not behind all that was handed on: it has come before, or too late.
    fn take_late(&self, sequence: u64, message: &Message) -> Result<(), Break> {
        let Ok(Purpose::Topic(topic)) = self.engine.subjects.purpose(&message.subject) else {
            return Ok(());
        };
        let since = self.wanted.since(&topic);
        let is_missing =
            since.is_some_and(|since| since < sequence) && !self.recent.contains(&sequence);
        match is_missing && self.is_selective {
            true => Err(Break::Overtaken),
            false => Ok(()),
        }
    }

    pub(super) fn hand_on(
        &mut self,
        sequence: u64,
        at: u64,
        purpose: Result<Purpose, RecordError>,
        headers: Option<&HeaderMap>,
        payload: &Bytes,
    ) -> Result<(), Break> {
        let record = match &purpose {
            Ok(Purpose::Own) => return Ok(()),
            Ok(Purpose::Topic(topic)) => {
                message::record(sequence, at, topic.as_str(), headers, payload)
            }
            Err(error) => Err(error.clone()),
        };
        match record {
            Ok(record) => self.replica.deliver(record)?,
            Err(error) => self.replica.rejected(sequence, &error)?,
        }
        self.witness = Some(Witness::new(sequence, headers, payload));
        self.handed.push(sequence);
        self.recent.insert(sequence);
        if self.recent.len() > RECENT {
            self.recent.pop_first();
        }
        self.complete = sequence;
        Ok(())
    }

    fn take_own(&mut self, sequence: u64, message: &Message) -> Result<(), Break> {
        self.complete = sequence;
        self.replica.reached(sequence)?;
        if *message.subject == *self.engine.subjects.live_marker() {
            self.take_marker(sequence, &message.payload)?;
        }
        Ok(())
    }

    fn take_marker(&mut self, sequence: u64, text: &Bytes) -> Result<(), Break> {
        self.last_marker = Instant::now();
        if self.marker.as_ref().is_some_and(|(sent, _)| sent == text) {
            self.marker = None;
            let (topics, ends) = self.interests.fulfilled();
            self.activate(topics, sequence)?;
            ends.into_iter().for_each(|reply| reply.send(Ok(sequence)));
        }
        self.replica.caught_up()?;
        Ok(())
    }

    /// Says that topics and families are followed from a position on.
    pub(super) fn activate(
        &mut self,
        mut topics: Vec<(TopicPattern, u64)>,
        position: u64,
    ) -> Result<(), Break> {
        topics.retain(|(topics, interest)| self.wanted.follow(topics, *interest, position));
        if !topics.is_empty() {
            let followed = topics.iter().map(|(topics, interest)| (topics, *interest));
            self.replica.followed(followed, position)?;
        }
        Ok(())
    }
}

impl Witness {
    fn new(sequence: u64, headers: Option<&HeaderMap>, payload: &Bytes) -> Self {
        let id = headers.and_then(|headers| headers.get(NATS_MESSAGE_ID));
        let id = id.map(|id| id.as_str().to_owned());
        // A copy, because the payload is a slice of much more.
        let payload = Bytes::copy_from_slice(payload);
        Self { sequence, id, payload }
    }
}

/// When a message was stored, in milliseconds since the Unix epoch: what the server says, where it
/// does, or now.
fn appended_at(headers: Option<&HeaderMap>) -> u64 {
    let told = headers.and_then(|headers| headers.get(TIME)).map(|time| time.as_str());
    let told = told.and_then(|time| humantime::parse_rfc3339(time).ok());
    let time = told.unwrap_or_else(SystemTime::now);
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
