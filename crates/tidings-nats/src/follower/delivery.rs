//! Hands on the messages that come.

use std::time::SystemTime;

use async_nats::header::HeaderName;
use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use tidings::TopicPattern;
use tidings::backend::RecordError;
use tokio::time::Instant;

use super::Follower;
use super::interruption::{Interruption, missed};
use super::marker_requests::Requests;
use super::merged_subscriptions::{Batch, Live};
use super::witness::Witness;
use crate::message;
use crate::subject::Purpose;

const TIME: HeaderName = HeaderName::from_static("Nats-Time-Stamp");

/// How many messages are recognized when they come once more.
const RECENT: usize = 16 * 1024;

impl Follower {
    pub(super) fn take_batch(&mut self, batch: Batch<Message>) -> Result<(), Interruption> {
        if self.engine.connects() != self.connects {
            return Err(missed("link was lost"));
        }
        if batch.has_overflowed {
            return Err(missed("too much came at once"));
        }
        batch.messages.into_iter().try_for_each(|live| self.take(live))
    }

    /// Hands on one message, after all before it.
    pub(super) fn take(&mut self, live: Live<Message>) -> Result<(), Interruption> {
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
            // Not followed any more, or not yet, or it came by a wildcard that covers more than the pattern.
            let Some(complete) = self.interests.complete(topic) else {
                self.interests.skip(sequence);
                return Ok(());
            };
            if previous > complete {
                return Err(match previous > self.complete {
                    true => missed(format_args!("position {previous} did not come")),
                    false => Interruption::Overtaken,
                });
            }
            self.interests.handed_on(topic, sequence);
        }
        let headers = message.headers.as_ref();
        self.hand_on(sequence, appended_at(headers), purpose, headers, &message.payload)
    }

    /// A message from before the newest that was handed on: it has come before, or too late.
    fn take_late(&self, sequence: u64, message: &Message) -> Result<(), Interruption> {
        let Ok(Purpose::Topic(topic)) = self.engine.subjects.purpose(&message.subject) else {
            return Ok(());
        };
        let since = self.interests.since(&topic);
        let is_missing =
            since.is_some_and(|since| since < sequence) && !self.recent.contains(&sequence);
        match is_missing && self.is_selective {
            true => Err(Interruption::Overtaken),
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
    ) -> Result<(), Interruption> {
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
        self.handed_on.push(sequence);
        self.recent.insert(sequence);
        if self.recent.len() > RECENT {
            self.recent.pop_first();
        }
        self.complete = sequence;
        Ok(())
    }

    fn take_own(&mut self, sequence: u64, message: &Message) -> Result<(), Interruption> {
        self.complete = sequence;
        self.replica.reached(sequence)?;
        if *message.subject == *self.engine.subjects.live_marker() {
            self.take_marker(sequence, &message.payload)?;
        }
        Ok(())
    }

    fn take_marker(&mut self, sequence: u64, text: &Bytes) -> Result<(), Interruption> {
        self.last_marker = Instant::now();
        if self.marker.as_ref().is_some_and(|(sent, _)| sent == text) {
            // A message that was stored after the marker was republished long before it, and was left out.
            if !self.interests.can_follow_from(sequence) {
                return Err(missed("a marker came late"));
            }
            self.marker = None;
            let Requests { patterns, ends } = self.marker_requests.marker_came();
            self.activate(patterns, sequence)?;
            ends.into_iter().for_each(|reply| reply.send(Ok(sequence)));
        }
        self.replica.caught_up()?;
        Ok(())
    }

    /// Follows patterns from a position on, and tells the replica.
    pub(super) fn activate(
        &mut self,
        mut patterns: Vec<(TopicPattern, u64)>,
        position: u64,
    ) -> Result<(), Interruption> {
        patterns.retain(|(pattern, number)| self.interests.follow(pattern, *number, position));
        if !patterns.is_empty() {
            let followed = patterns.iter().map(|(pattern, number)| (pattern, *number));
            self.replica.followed(followed, position)?;
        }
        Ok(())
    }
}

/// When a message was stored, in milliseconds since the Unix epoch: by the server's header, or else now.
fn appended_at(headers: Option<&HeaderMap>) -> u64 {
    let stored = headers.and_then(|headers| headers.get(TIME)).map(|time| time.as_str());
    let stored = stored.and_then(|time| humantime::parse_rfc3339(time).ok());
    let time = stored.unwrap_or_else(SystemTime::now);
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
