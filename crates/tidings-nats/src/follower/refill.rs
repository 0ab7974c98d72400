//! Begins to follow, for the first time or again.

use async_nats::Message;
use tidings::backend::{LogError, Origin, RecordError};
use tokio::time::{Instant, timeout};

use super::interruption::{Interruption, missed};
use super::marker_requests::Requests;
use super::merged_subscriptions::{Batch, Live};
use super::{Follower, MARKER};
use crate::error::{link_is_down, no_answer};
use crate::reader::{Filter, millis};
use crate::stream_state::StreamState;
use crate::subject::Purpose;

/// How many bytes of the stream are read at a time.
const READ_BYTES: usize = 4 << 20;

impl Follower {
    /// Brings the replica to the position from which the subscriptions are complete.
    pub(super) async fn refill(&mut self, connects: u64) -> Result<(), Interruption> {
        self.connects = connects;
        self.marker = None;
        self.engine.restore().await?;
        let state = self.examine().await?;
        self.engine.set_verified(connects);
        self.subscribe_to_all().await?;
        let (end, later) = self.meet_marker().await?;
        let broken = self.read_up_to(end, &state).await?;
        self.replica.link(Ok(()))?;
        self.settle(end, state, broken)?;
        later.into_iter().try_for_each(|live| self.take(live))
    }

    /// Asks for the stream's state. Begins another history if the stream does not continue what this node has seen.
    async fn examine(&mut self) -> Result<StreamState, Interruption> {
        let mut state = self.engine.state().await?;
        let is_same = state.history == self.state.history;
        if is_same && (self.is_overtaken || !self.is_continued(&state).await?) {
            self.engine.begin_history(&state.history).await?;
            state = self.engine.state().await?;
        }
        // Whoever has begun this one: another node, or this one, and the answer was lost.
        if state.history != self.state.history {
            self.is_overtaken = false;
        }
        Ok(state)
    }

    /// Whether the stream has what this node has seen of it, except for what was trimmed.
    async fn is_continued(&self, state: &StreamState) -> Result<bool, LogError> {
        if state.last < self.complete {
            return Ok(false);
        }
        let Some(witness) = &self.witness else { return Ok(true) };
        let found = self.engine.next(&self.engine.subjects.all(), witness.sequence).await?;
        let Some(found) = found.filter(|found| found.sequence == witness.sequence) else {
            return Ok(true);
        };
        Ok(witness.is(&found))
    }

    /// Makes the subscriptions that are still missing.
    async fn subscribe_to_all(&mut self) -> Result<(), Interruption> {
        if !self.has_subscribed {
            let subjects = &self.engine.subjects;
            let subject = match self.is_selective {
                true => subjects.live_marker(),
                false => subjects.all_live(),
            };
            self.subscribe(subject).await?;
            self.has_subscribed = true;
        }
        while let Ok(command) = self.commands.try_recv() {
            self.take_command(command);
        }
        Ok(self.subscribe_to_interests().await?)
    }

    /// Sends a marker, and waits until it is back. Returns its position, and the messages after that which have come.
    async fn meet_marker(&mut self) -> Result<(u64, Vec<Live<Message>>), Interruption> {
        self.marker_requests.marker_sent();
        self.send_marker().await?;
        let deadline = Instant::now() + MARKER;
        let mut earlier = Vec::new();
        loop {
            let remaining = deadline.saturating_duration_since(Instant::now());
            let batch = timeout(remaining, self.subscriptions.batch()).await;
            let Batch { mut messages, has_overflowed } = batch.map_err(|_| no_answer("marker"))?;
            if self.engine.connects() != self.connects {
                return Err(link_is_down().into());
            }
            // What overflowed before the marker is read from the stream.
            let sent = self.marker.as_ref().map(|(text, _)| text);
            let at = messages.iter().position(|live| Some(&live.message.payload) == sent);
            let Some(at) = at else {
                earlier.append(&mut messages);
                continue;
            };
            if has_overflowed {
                return Err(missed("too much came at once"));
            }
            let end = messages[at].sequence;
            // Some of what was stored after the marker may have been republished before it.
            let mut later = earlier;
            later.append(&mut messages);
            later.retain(|live| live.sequence > end);
            later.sort_by_key(|live| live.sequence);
            later.dedup_by_key(|live| live.sequence);
            self.marker = None;
            return Ok((end, later));
        }
    }

    /// Hands on what the stream has up to a position. Returns whether events are gone.
    async fn read_up_to(&mut self, end: u64, state: &StreamState) -> Result<bool, Interruption> {
        let mut has_gap = state.history != self.state.history;
        if has_gap && self.is_selective {
            return Ok(true);
        }
        if self.is_selective && self.interests.followed().next().is_none() {
            return Ok(false);
        }
        let mut at = match state.leader == self.leader {
            _ if has_gap => state.first.saturating_sub(1),
            true => self.complete,
            false => self.certain,
        };
        while at < end {
            let span = self.engine.span(&self.filter(), at, end, READ_BYTES).await?;
            // Asked after reading, so that nothing can be trimmed in between; and before anything is handed on as if
            // it continued what the replica has.
            let first = self.engine.state().await?.first;
            if first > at + 1 {
                if self.is_selective || first > end {
                    return Ok(true);
                }
                (at, has_gap) = (first - 1, true);
                continue;
            }
            // Only once, when it is known where the rest begins: restarting in the same history again would tell of
            // another loss.
            if std::mem::take(&mut has_gap) {
                self.restart_after(at, end, state)?;
            }
            for stored in span.messages {
                let purpose = self.engine.subjects.purpose(&stored.subject);
                if !self.is_followed_at(&purpose, stored.sequence) {
                    continue;
                }
                if stored.sequence > self.complete {
                    let (at, headers) = (millis(&stored), Some(&stored.headers));
                    self.hand_on(stored.sequence, at, purpose, headers, &stored.payload)?;
                } else if self.handed_on.binary_search(&stored.sequence).is_err() {
                    return Err(Interruption::Overtaken);
                }
            }
            at = span.to;
        }
        Ok(has_gap)
    }

    /// Everything up to a position is gone, or of another history. What comes after it will be handed on.
    fn restart_after(
        &mut self,
        position: u64,
        end: u64,
        state: &StreamState,
    ) -> Result<(), Interruption> {
        let epoch = state.history.epoch.clone();
        self.replica.restart(Origin::new(epoch, position, end))?;
        // If what comes next fails, it is tried again in this history.
        self.state.history = state.history.clone();
        self.witness = None;
        (self.complete, self.certain) = (position, position);
        self.handed_on.clear();
        self.recent.clear();
        Ok(())
    }

    fn is_followed_at(&self, purpose: &Result<Purpose, RecordError>, sequence: u64) -> bool {
        match purpose {
            Ok(Purpose::Own) => false,
            Ok(Purpose::Topic(topic)) if self.is_selective => {
                self.interests.since(topic).is_some_and(|since| since < sequence)
            }
            _ => !self.is_selective,
        }
    }

    fn filter(&self) -> Filter {
        let subjects = &self.engine.subjects;
        match self.is_selective {
            true => Filter::of(subjects, self.interests.followed()),
            false => Filter::all(subjects),
        }
    }

    /// From here on, everything comes by the subscriptions.
    fn settle(&mut self, end: u64, state: StreamState, has_gap: bool) -> Result<(), Interruption> {
        if has_gap {
            let epoch = state.history.epoch.clone();
            self.witness = None;
            self.replica.restart(Origin::new(epoch, end, end))?;
        }
        self.complete = end;
        self.certain = end;
        self.handed_on.clear();
        if has_gap {
            self.recent.clear();
        }
        self.leader.clone_from(&state.leader);
        self.state = state;
        self.last_marker = Instant::now();
        self.replica.reached(end)?;
        let Requests { ends, .. } = self.marker_requests.marker_came();
        let unfollowed = self.interests.settle(end, has_gap);
        self.activate(unfollowed, end)?;
        ends.into_iter().for_each(|reply| reply.send(Ok(end)));
        self.replica.caught_up()?;
        Ok(())
    }
}
