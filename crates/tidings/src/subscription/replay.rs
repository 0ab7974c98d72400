use std::sync::Arc;

use super::history::{self, Beginning};
use super::status::ResetReason;
use super::{Rejoin, Subscription};
use crate::hub::shared::{Present, Shared};
use crate::log::TopicLog;
use crate::log::coalesce::Slice;
use crate::log::feed::{Cursor, Feed, Slot};

/// The past of a subscription to families of topics.
///
/// A family's log has what was published since somebody subscribed to it. What was before is in the logs of
/// its topics, as they were when the subscription began; they are read up to there.
#[derive(Debug)]
pub(super) struct Replay {
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    cursor: Cursor,
    slots: Box<[Slot]>,
}

impl Replay {
    fn new(
        shared: Arc<Shared>,
        topics: Vec<Arc<TopicLog>>,
        cursor: Cursor,
        slots: Box<[Slot]>,
    ) -> Self {
        // They keep their live window meanwhile, or the next event might push out what is to be read.
        topics.iter().for_each(|topic| topic.lock().replays += 1);
        // Those who come back at the same time share what is written for them.
        let feed = shared.feeds.of(topics);
        Self { shared, feed, cursor, slots }
    }

    /// The next events, or `None` when the present is reached.
    ///
    /// # Errors
    ///
    /// The reason, when the topics do not have all of them any more.
    pub(super) fn read(&mut self) -> Result<Option<Slice>, ResetReason> {
        let joined = self.cursor.joined;
        self.feed.read(&mut self.cursor, &self.slots, joined, &self.shared.coalescing)
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.shared.end_replay(&self.feed.topics);
    }
}

impl Subscription {
    /// Goes on from there.
    pub(super) fn go_to(&mut self, beginning: Beginning) {
        let Beginning { cursor, seen, past, .. } = beginning;
        // Its places in the wait lists are of where it was.
        self.rejoin = Rejoin::All;
        let set = |slots: &mut [Slot]| match &seen {
            Some(seen) => slots.iter_mut().zip(seen).for_each(|(slot, seen)| slot.seen = *seen),
            None => slots.iter_mut().for_each(|slot| slot.seen = 0),
        };
        let Some(past) = past else {
            if self.slots.is_empty() && seen.is_some() {
                self.slots = Slot::of(&self.client.feed.topics);
            }
            set(&mut self.slots);
            self.cursor = cursor;
            return;
        };
        self.cursor = Cursor { offset: cursor.joined, ..cursor };
        if cursor.offset < cursor.joined {
            let mut slots = Slot::of(&past);
            set(&mut slots);
            let replay = Replay::new(self.shared.clone(), past, cursor, slots);
            self.apart().replay = Some(replay);
        }
    }

    /// Of a hub in memory: reads on in the past of the topics when the log of a family does not reach back so
    /// far. Returns whether they do.
    pub(super) fn go_back(&mut self) -> bool {
        let shared = self.shared.clone();
        let Present { mark: now, .. } = shared.present();
        let feed = self.client.feed.clone();
        let past = shared.topics.past_of(&feed.topics);
        let beginning = history::behind(past, self.cursor.offset, now);
        beginning.map(|beginning| self.go_to(beginning)).is_some()
    }

    /// The past is not there any more.
    pub(super) fn lose_past(&mut self, reason: ResetReason) {
        match &self.shared.replication {
            Some(_) => self.fall_off(reason),
            None => self.restart(reason),
        }
    }
}
