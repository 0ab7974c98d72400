//! What a woken stream does: it reads up to the watermark, sends what is due, and waits.

use std::task::{Context, Poll, Waker};

use super::Subscription;
use super::handing_out::Item;
use super::out_of_band::NextStep;
use crate::error::StreamError;
use crate::heartbeat::timer::{Call, Calls};
use crate::log::coalesce::Slice;
use crate::log::feed::TopicCursor;
use crate::log::reset_reason::ResetReason;

/// Which wait lists are to be joined before the stream waits, if nothing was published to the hub since it was last
/// read. With a hundred topics it matters that it is only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejoin {
    Nothing,
    /// The list of the topic that was read last.
    One(u32),
    /// Perhaps any.
    All,
}

/// What a stream does that was called.
enum AfterCalls {
    Read,
    /// Reads up to an offset, and looks again.
    ReadTo(u64),
    /// Sends nothing for the time being.
    Wait,
    /// Ends after what was published up to this offset.
    EndAfterTheRest(u64),
    End,
}

impl Subscription {
    /// The next bytes, of events up to `limit`, or of all that are published. A caller that gives a limit waits for
    /// later events itself, and has the stream's snapshots made elsewhere.
    #[inline]
    pub(crate) fn poll_bytes(
        &mut self,
        limit: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Item, StreamError>>> {
        self.client.heartbeat.turn.end();
        loop {
            // Read before the watermark: what was published before closing is still sent.
            let is_closed = self.shared.is_closed();
            let mut watermark = self.shared.watermark();
            // Read after the watermark: the stream knows all changes of its topics up to there.
            let calls = self.client.heartbeat.calls();
            let (mut closing, mut waits, mut next_change) = (is_closed, false, None);
            if self.ended || calls != Calls::NONE {
                match self.answer_calls(limit.is_none(), cx) {
                    AfterCalls::End => return self.poll_end(cx),
                    AfterCalls::EndAfterTheRest(until) => {
                        closing = true;
                        watermark = self.shared.watermark();
                        if !is_closed {
                            watermark = watermark.min(until);
                        }
                        if self.is_changing() && self.is_in_band() {
                            continue;
                        }
                    }
                    AfterCalls::Wait => waits = true,
                    AfterCalls::ReadTo(offset) => next_change = Some(offset),
                    AfterCalls::Read => {}
                }
            }
            if !waits && self.out_of_band.is_some() {
                match self.poll_out_of_band(closing, limit.is_none(), cx) {
                    NextStep::Yield(item) => return Poll::Ready(Some(Ok(item))),
                    NextStep::End => return self.poll_end(cx),
                    NextStep::LetServerSend => return Poll::Pending,
                    NextStep::Wait => waits = true,
                    NextStep::Read if next_change.is_none() && self.is_changing() => continue,
                    NextStep::Read => {}
                }
            }
            if !waits {
                let limit = next_change.or(limit.filter(|_| !closing));
                let to = match limit {
                    // A cohort has waited for its members.
                    Some(limit) => limit.min(watermark),
                    None if closing => watermark,
                    None => self.feed().open_to(self.cursor, watermark),
                };
                match self.read(to) {
                    Ok(Some(item)) => return Poll::Ready(Some(Ok(item))),
                    Ok(None) if next_change.is_some() => continue,
                    Ok(None) if closing => return self.poll_end(cx),
                    Ok(None) if self.ends_here() => continue,
                    Ok(None) => {}
                    Err(reason) => {
                        self.on_overrun(reason);
                        continue;
                    }
                }
            }
            if self.client.heartbeat.take() {
                let heartbeat = self.heartbeat();
                self.client.sent(heartbeat.len(), 0, None);
                return Poll::Ready(Some(Ok(heartbeat.into())));
            }
            #[cfg(test)]
            super::wait_tests::before_waiting();
            // The waker first, then another look: whatever happens from here on wakes it. For events, the wait lists
            // do that.
            self.client.heartbeat.register(cx.waker());
            if self.is_interrupted(is_closed, calls) {
                continue;
            }
            if limit.is_some() {
                // The topic cursors are for reading history, and for waiting.
                if self.cursor.offset >= self.cursor.joined {
                    self.feed().stop_waiting(&self.topic_cursors);
                    self.topic_cursors = Box::default();
                    self.rejoin = Rejoin::All;
                    self.waited = 0;
                }
                return Poll::Pending;
            }
            if waits || self.wait() {
                return Poll::Pending;
            }
        }
    }

    /// Joins the wait lists of all topics. Returns false when one has something new instead.
    ///
    /// The waker is registered. So tickets that are valid now stay so, or are being taken by a publisher that will wake the
    /// stream. If one topic was read, and the watermark says that there was nothing else, only its list was taken.
    #[inline]
    fn wait(&mut self) -> bool {
        let is_unchanged = self.shared.watermark() == self.cursor.offset;
        let changed = self.attached.as_ref().and_then(|attached| attached.feed.as_ref());
        let feed = changed.unwrap_or(&self.client.feed);
        let waits = match self.rejoin {
            Rejoin::Nothing if self.is_waited_for() => true,
            Rejoin::One(topic) if is_unchanged => {
                feed.wait_for(topic, self.cursor, &mut self.topic_cursors, &self.client)
            }
            _ => {
                if self.topic_cursors.is_empty() {
                    self.topic_cursors = TopicCursor::for_each_of(&feed.topics);
                }
                let (waited, tail) = (&mut self.waited, self.shared.tail());
                feed.wait(self.cursor, &mut self.topic_cursors, waited, &self.client, tail)
            }
        };
        if waits && is_unchanged {
            self.waited = self.cursor.offset;
        }
        // The list of a gate is taken although nothing was published since.
        self.rejoin = if waits && !feed.has_pace() { Rejoin::Nothing } else { Rejoin::All };
        waits
    }

    /// Whether there is anything to do that is not in the logs, and was not there before.
    #[inline]
    fn is_interrupted(&self, was_closed: bool, were: Calls) -> bool {
        self.client.heartbeat.is_due()
            || self.client.heartbeat.calls() != were
            || self.shared.is_closed() != was_closed
    }

    /// Does what the stream was called for; `makes` says whether the caller may run the application.
    #[cold]
    fn answer_calls(&mut self, makes: bool, cx: &mut Context<'_>) -> AfterCalls {
        if self.ended || self.client.heartbeat.calls().has(Call::Close) {
            return AfterCalls::End;
        }
        if self.client.heartbeat.calls().has(Call::Check) {
            // The waker first: what a check says from here on wakes it.
            self.client.heartbeat.register(cx.waker());
            self.rights().into_iter().for_each(|rights| rights.attend(makes, cx));
        }
        let end = self.client.outlet.how_to_end();
        match end {
            // The client comes back, and its handler decides.
            Some(end) if !end.reason.sends_the_rest() || self.holds_back() => {
                return AfterCalls::End;
            }
            None if self.holds_back() => return AfterCalls::Wait,
            _ => {}
        }
        match (self.is_changing().then(|| self.change_topics()).flatten(), end) {
            (Some(offset), _) => AfterCalls::ReadTo(offset),
            (None, Some(end)) => AfterCalls::EndAfterTheRest(end.until),
            (None, None) => AfterCalls::Read,
        }
    }

    /// Whether nothing may be sent before it is certain that the client may stay.
    pub(super) fn holds_back(&self) -> bool {
        let rights = self.attached.as_ref().and_then(|attached| attached.rights.as_ref());
        rights.is_some_and(|rights| rights.hold_back())
    }

    /// Whether nothing has happened since the stream was last polled with this waker.
    #[inline]
    pub(super) fn is_quiet(&self, waker: &Waker) -> bool {
        // In this order: a stream that was woken is seen at once.
        self.client.heartbeat.is_registered(waker)
            && !self.is_interrupted(false, Calls::NONE)
            && self.out_of_band.is_none()
            && !self.has_rest
            && self.rejoin == Rejoin::Nothing
            && (self.shared.watermark() == self.cursor.offset || self.is_waited_for())
    }

    /// Whether it is in all wait lists that it has joined.
    #[inline]
    fn is_waited_for(&self) -> bool {
        self.feed().is_waited_for(&self.topic_cursors, self.waited, self.shared.tail())
    }

    /// The next bytes of the topics' logs, up to an offset that the watermark has reached before.
    #[inline]
    pub(super) fn read(&mut self, limit: u64) -> Result<Option<Item>, ResetReason> {
        let changed = self.attached.as_ref().and_then(|attached| attached.feed.as_ref());
        let feed = changed.unwrap_or(&self.client.feed);
        let before = self.cursor.offset;
        let slice =
            feed.read(&mut self.cursor, &self.topic_cursors, limit, &self.shared.coalescing)?;
        let Some(Slice { bytes, is_chunk, events, position, topic, .. }) = slice else {
            // What has taken the stream from a wait list may be gone: superseded, or evicted.
            if self.cursor.offset > before {
                self.rejoin = Rejoin::All;
            }
            return Ok(None);
        };
        self.rejoin = match (self.rejoin, topic) {
            (Rejoin::Nothing, Some(topic)) => Rejoin::One(topic),
            (Rejoin::One(before), Some(topic)) if before == topic => self.rejoin,
            _ => Rejoin::All,
        };
        self.client.sent(bytes.len(), events, position);
        self.client.heartbeat.on_write_event();
        Ok(Some(Item { bytes, is_chunk }))
    }
}
