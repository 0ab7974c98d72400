//! How a stream changes its topics.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Subscription;
use super::attached::Attached;
use super::beginning::LogStart;
use super::out_of_band::Ready;
use super::polling::Rejoin;
use super::read_history::ReadHistory;
use crate::decode::Message;
use crate::encode;
use crate::epoch::Epoch;
use crate::error::SubscribeError;
use crate::event::Event;
use crate::field::EventName;
use crate::heartbeat::timer::Call;
use crate::hub::journal::Head;
use crate::hub::shared::Shared;
use crate::log::TopicLog;
use crate::log::feed::{Feed, TopicCursor};
use crate::subscription::history::History;
use crate::topic_changes::Change;

/// The feed of topics, for streams with a least interval of their own between two writes, or that of their topics.
pub(super) fn feed_of(
    logs: Vec<Arc<TopicLog>>,
    own_interval: Option<Duration>,
    shared: &Shared,
) -> Arc<Feed> {
    let of_topics = || logs.iter().map(|log| shared.defaults.pace_of(&log.name)).max();
    let interval = own_interval.or_else(of_topics).unwrap_or_default();
    let interval = u64::try_from(interval.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    shared.feeds.of(logs, interval.min(u64::MAX / 4), shared)
}

/// What the new topics of an open stream retain, up to the position at which it has them.
pub(super) struct AddedHistory {
    reading: ReadHistory,
    epoch: Epoch,
    end: u64,
    /// The newest of these events are sent, so many.
    most: usize,
}

impl AddedHistory {
    /// The events that retention has kept until now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Ready, SubscribeError>> {
        let history = std::task::ready!(Pin::new(&mut self.reading).poll(cx))?;
        let Self { epoch, end, most, .. } = self;
        // What came later is read from the logs.
        let is_before = |message: &&Message| {
            epoch.position(message.last_event_id().as_bytes()).is_some_and(|it| it <= *end)
        };
        let mut events: Vec<_> = history.events.iter().filter(is_before).collect();
        let older = events.len().saturating_sub(*most);
        events.drain(..older);
        let mut ready = Ready::default();
        let last = events.len().saturating_sub(1);
        for (index, message) in events.into_iter().enumerate() {
            let mut event = Event::new(message.data());
            if let Ok(name) = EventName::new(message.event())
                && message.event() != "message"
            {
                event = event.with_name(name);
            }
            ready.bytes.extend(encode::fields_without_id(&event, 0));
            // A client that is cut off within the block does not know what it has.
            if index == last {
                encode::id(epoch, *end, &mut ready.bytes);
                ready.position = Some(*end);
            } else if index == 0 {
                encode::id_without_position(epoch, &mut ready.bytes);
            }
            ready.end_event();
            ready.events += 1;
        }
        Poll::Ready(Ok(ready))
    }
}

impl fmt::Debug for AddedHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AddedHistory").field(&self.reading).finish()
    }
}

impl Subscription {
    /// The topics that the stream has now.
    #[inline]
    pub(crate) fn feed(&self) -> &Arc<Feed> {
        let changed = self.attached.as_ref().and_then(|attached| attached.feed.as_ref());
        changed.unwrap_or(&self.client.feed)
    }

    /// Whether the stream is about to change its topics. A transport then sends it no batch, but polls it.
    pub fn is_changing(&self) -> bool {
        self.client.heartbeat.calls().has(Call::Topics)
    }

    /// Makes the changes that the stream has come to. Returns up to which offset it must read before the next one.
    ///
    /// A stream that reads its hub's log has come to a change [there](super::catch_up::CatchUp).
    pub(super) fn change_topics(&mut self) -> Option<u64> {
        let changes = self.client.outlet.topic_changes()?;
        loop {
            let due = changes.next(&self.client)?;
            if !self.is_in_band() {
                return None;
            }
            if self.cursor.offset < due.head.offset {
                return Some(due.head.offset);
            }
            // Where the stream is: the hub's log may have more for it up to the change.
            let position = due.head.position.max(self.client.position());
            let began = due.head.replica.map_or(0, |history| history.began);
            if position < due.after {
                self.read_log(LogStart::AfterClaim(position), began, None);
                return None;
            }
            self.client.set_position(position);
            self.make_next_change(position);
            // Or events of the others would be sent before those of a topic that the hub's log does not deliver yet.
            if !self.feed().is_followed() {
                self.read_log(LogStart::AfterClaim(position), began, None);
                return None;
            }
        }
    }

    /// Makes the change that is due at a position.
    pub(super) fn make_next_change(&mut self, position: u64) {
        let change = self.client.outlet.topic_changes().and_then(|it| it.take(&self.shared));
        change.into_iter().for_each(|change| self.change(change, position));
    }

    /// Makes all changes where the stream is, because it does not go on from there, but looks for how to go on.
    pub(super) fn change_topics_here(&mut self) {
        let Some(changes) = self.client.outlet.topic_changes() else { return };
        while let Some(due) = changes.next(&self.client) {
            self.make_next_change(due.after);
        }
    }

    fn change(&mut self, change: Change, end: u64) {
        let before = self.feed().clone();
        before.stop_waiting(&self.topic_cursors);
        let (epoch, history, names) = (change.head.epoch.clone(), change.history, change.added());
        let (topics, left) = change.apply(&before.topics);
        let interval = Duration::from_millis(before.interval());
        let own_interval = self.has_own_interval.then_some(interval);
        let feed = feed_of(topics, own_interval, &self.shared);
        self.topic_cursors = TopicCursor::for_each_of(&feed.topics);
        (self.rejoin, self.waited) = (Rejoin::All, 0);
        Attached::set_feed(&mut self.attached, feed);
        self.shared.unsubscribe(&left);
        if history != History::None && !names.is_empty() {
            // The newest of those before the call: they may not be the newest any more.
            let (history, most) = match history {
                History::Last(most) => (History::All, most),
                other => (other, usize::MAX),
            };
            let reading = ReadHistory::new(self.shared.clone(), Ok(names), history);
            let filter = self.client.filter().cloned();
            let reading = filter.into_iter().fold(reading, ReadHistory::filter);
            self.out_of_band().added.push_back(AddedHistory { reading, epoch, end, most });
        }
    }

    /// The hub's head, of which the stream knows all changes.
    pub(super) fn head(&mut self) -> Head {
        loop {
            let head = self.shared.head();
            // After that: a change that comes now has a later head.
            if !self.is_changing() {
                return head;
            }
            self.change_topics_here();
        }
    }

    /// Up to where the stream goes on with the topics that it has: the head of its next change, or the hub's.
    pub(super) fn head_before_change(&self) -> Head {
        loop {
            let head = self.shared.head();
            // After that, as above.
            if !self.is_changing() {
                return head;
            }
            let changes = self.client.outlet.topic_changes();
            if let Some(due) = changes.and_then(|changes| changes.next(&self.client)) {
                return due.head;
            }
        }
    }

    /// The stream has ended: it will make no more changes.
    pub(super) fn abandon_changes(&self) {
        self.client.heartbeat.note(Call::Gone);
        let Some(changes) = self.client.outlet.topic_changes() else { return };
        while let Some(change) = changes.take(&self.shared) {
            self.shared.unsubscribe(&change.into_added());
        }
    }
}
