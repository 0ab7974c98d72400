//! Begins to follow, and begins anew.

use async_nats::Message;
use async_nats::header::NATS_MESSAGE_ID;
use tidings::backend::{LogError, Origin, RecordError};
use tokio::time::{Instant, timeout};

use super::taps::{Batch, Live};
use super::{Break, Follower, MARKER, missed};
use crate::engine::State;
use crate::error::{link_is_down, no_answer};
use crate::reader::{Filter, millis};
use crate::subject::Purpose;

/// What is read of the stream in one go, in bytes.
const READ_BYTES: usize = 4 << 20;

impl Follower {
    /// Brings the replica to where the subscriptions are complete.
    pub(super) async fn refill(&mut self, connects: u64) -> Result<(), Break> {
        self.connects = connects;
        self.marker = None;
        self.engine.restore().await?;
        let state = self.examine().await?;
        self.engine.verified(connects);
        self.subscribe().await?;
        let (end, later) = self.meet_marker().await?;
        let broken = self.read_up_to(end, &state).await?;
        self.replica.link(Ok(()))?;
        self.settle(end, state, broken)?;
        later.into_iter().try_for_each(|live| self.take(live))
    }

    /// Asks for the stream's state, and finds out whether it continues what this node has seen.
    async fn examine(&mut self) -> Result<State, Break> {
        let state = self.engine.state().await?;
        let is_same = state.history == self.state.history;
        if is_same && (self.is_overtaken || !self.is_continued(&state).await?) {
            self.engine.begin_history(&state.history).await?;
            self.is_overtaken = false;
            return Ok(self.engine.state().await?);
        }
        Ok(state)
    }

    /// Whether the stream has what this node has seen of it, as far as it keeps it.
    async fn is_continued(&self, state: &State) -> Result<bool, LogError> {
        if state.last < self.complete {
            return Ok(false);
        }
        let Some(witness) = &self.witness else { return Ok(true) };
        let found = self.engine.next(&self.engine.subjects.all(), witness.sequence).await?;
        let Some(found) = found.filter(|found| found.sequence == witness.sequence) else {
            return Ok(true);
        };
        let id = found.headers.get(NATS_MESSAGE_ID).map(|id| id.as_str());
        Ok(id == witness.id.as_deref() && found.payload == witness.payload)
    }

    /// Subscribes to markers, and to what has been wanted meanwhile.
    async fn subscribe(&mut self) -> Result<(), Break> {
        if !self.has_tapped {
            let subjects = &self.engine.subjects;
            let subject = match self.is_selective {
                true => subjects.live_marker(),
                false => subjects.all_live(),
            };
            self.tap(subject).await?;
            self.has_tapped = true;
        }
        while let Ok(command) = self.commands.try_recv() {
            self.take_command(command);
        }
        Ok(self.tap_wanted().await?)
    }

    /// Sends a marker, and waits until it is back. Returns its position, and what has come behind it.
    async fn meet_marker(&mut self) -> Result<(u64, Vec<Live<Message>>), Break> {
        self.interests.send();
        self.send_marker().await?;
        let deadline = Instant::now() + MARKER;
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let batch = timeout(remaining, self.taps.batch()).await;
            let Batch { mut messages, has_overflowed } = batch.map_err(|_| no_answer("marker"))?;
            if self.engine.connects() != self.connects {
                return Err(link_is_down().into());
            }
            // What was too much before the marker is read from the stream.
            let sent = self.marker.as_ref().map(|(text, _)| text);
            let at = messages.iter().position(|live| Some(&live.message.payload) == sent);
            let Some(at) = at else { continue };
            if has_overflowed {
                return Err(missed("too much came at once"));
            }
            let later = messages.split_off(at + 1);
            self.marker = None;
            return Ok((messages[at].sequence, later));
        }
    }

    /// Hands on what the stream has up to a position. Returns whether events are missing.
    async fn read_up_to(&mut self, end: u64, state: &State) -> Result<bool, Break> {
        let mut has_gap = state.history != self.state.history;
        if has_gap && self.is_selective {
            return Ok(true);
        }
        if self.is_selective && self.wanted.followed().next().is_none() {
            return Ok(false);
        }
        let mut at = match state.leader == self.leader {
            _ if has_gap => state.first.saturating_sub(1),
            true => self.complete,
            false => self.certain,
        };
        while at < end {
            let span = self.engine.span(&self.filter(), at, end, READ_BYTES).await?;
            // Asked afterwards, so that nothing can have gone in between; and before any of it is
            // handed on as if it followed on what the replica has.
            let first = self.engine.state().await?.first;
            if first > at + 1 {
                if self.is_selective || first > end {
                    return Ok(true);
                }
                (at, has_gap) = (first - 1, true);
                continue;
            }
            // Once, and when it is known where the rest begins: the same history once more would be a loss.
            if std::mem::take(&mut has_gap) {
                self.begin_behind(at, end, state)?;
            }
            for stored in span.messages {
                let purpose = self.engine.subjects.purpose(&stored.subject);
                if !self.is_followed_at(&purpose, stored.sequence) {
                    continue;
                }
                if stored.sequence > self.complete {
                    let (at, headers) = (millis(&stored), Some(&stored.headers));
                    self.hand_on(stored.sequence, at, purpose, headers, &stored.payload)?;
                } else if self.handed.binary_search(&stored.sequence).is_err() {
                    return Err(Break::Overtaken);
                }
            }
            at = span.to;
        }
        Ok(has_gap)
    }

    /// What is up to a position is gone, or of another history. What is behind it will be handed on.
    fn begin_behind(&mut self, position: u64, end: u64, state: &State) -> Result<(), Break> {
        let epoch = state.history.epoch.clone();
        self.replica.restart(Origin { epoch, position, end })?;
        // What comes next may fail, and is then tried again in the same history.
        self.state.history = state.history.clone();
        self.witness = None;
        (self.complete, self.certain) = (position, position);
        self.handed.clear();
        self.recent.clear();
        Ok(())
    }

    fn is_followed_at(&self, purpose: &Result<Purpose, RecordError>, sequence: u64) -> bool {
        match purpose {
            Ok(Purpose::Own) => false,
            Ok(Purpose::Topic(topic)) if self.is_selective => {
                self.wanted.since(topic).is_some_and(|since| since < sequence)
            }
            _ => !self.is_selective,
        }
    }

    fn filter(&self) -> Filter {
        let subjects = &self.engine.subjects;
        match self.is_selective {
            true => Filter::of(subjects, self.wanted.followed()),
            false => Filter::all(subjects),
        }
    }

    /// From here on, everything comes by the subscriptions.
    fn settle(&mut self, end: u64, state: State, has_hole: bool) -> Result<(), Break> {
        if has_hole {
            let epoch = state.history.epoch.clone();
            self.witness = None;
            self.replica.restart(Origin { epoch, position: end, end })?;
        }
        self.complete = end;
        self.certain = end;
        self.handed.clear();
        if has_hole {
            self.recent.clear();
        }
        self.leader.clone_from(&state.leader);
        self.state = state;
        self.last_marker = Instant::now();
        self.replica.reached(end)?;
        let (_, ends) = self.interests.fulfilled();
        let unfollowed = self.wanted.settle(end, has_hole);
        self.activate(unfollowed, end)?;
        ends.into_iter().for_each(|reply| reply.send(Ok(end)));
        self.replica.caught_up()?;
        Ok(())
    }
}
