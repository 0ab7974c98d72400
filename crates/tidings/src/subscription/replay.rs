use std::sync::Arc;

use crate::filter::Filter;
use crate::hub::journal::Head;
use crate::hub::journal::topics::Past;
use crate::hub::shared::Shared;
use crate::log::feed::{Cursor, Feed, Merge, PastRead, Readers};
use crate::log::reset_reason::ResetReason;
use crate::log::{TopicLog, TopicState};
use crate::outlet::{CanLetGo, Outlet};
use crate::pinned::{Held, Pinned};
use crate::sync::Mutex;

/// The logs that the past of a subscription is read from.
#[derive(Debug)]
pub(super) struct PastLogs {
    logs: Vec<Arc<TopicLog>>,
    /// The offset of each log's next event.
    next: Vec<u64>,
    filter: Option<Filter>,
    readers: Readers,
    /// Whether all that is after the cursor is read.
    is_whole: bool,
}

impl PastLogs {
    /// From where on all is read that the logs have up to where the subscription joined.
    fn whole_from(&self, joined: u64) -> u64 {
        let begin = self.next.iter().map(|next| joined.min(next - 1));
        if self.is_whole { 0 } else { begin.max().unwrap_or_default() }
    }

    const FEW: usize = 64;

    /// Of many logs, those that have events up to the head. Few are left as they are, so that clients whose cursors differ have
    /// the same.
    pub(super) fn new(
        past: &Past<'_>,
        next: Vec<u64>,
        (readers, is_whole): (Readers, bool),
        head: &Head,
    ) -> Self {
        let filter = past.filter.clone();
        let all = past.logs.iter().cloned().zip(next);
        let is_few = past.logs.len() <= Self::FEW;
        let (logs, next) = all.filter(|(_, next)| is_few || *next <= head.offset).unzip();
        Self { logs, next, filter, readers, is_whole }
    }
}

/// The past of a subscription that cannot be read as its present is, up to where that begins.
///
/// A pattern's log has what was published since its first subscriber came. What was published before is in the logs of
/// its topics, as they were when the subscription began. A filtered log's past is in the log that it is of. And a newcomer is
/// sent the values of keys from logs that have lost removals of keys, which others would have had to be sent.
///
/// What it keeps for many topics is pinned, and can be taken from it.
#[derive(Debug)]
pub(crate) struct Replay {
    reading: Mutex<Option<Reading>>,
    topics: usize,
    /// What is pinned for it, besides topics that vanish.
    memory: usize,
    pinned: Arc<Pinned>,
}

#[derive(Debug)]
struct Reading {
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    cursor: Cursor,
    merge: Merge,
    _memory: Option<Held>,
}

impl Replay {
    /// Bytes for each topic: where it is, and what is next in it.
    const EACH: usize = size_of::<Arc<TopicLog>>() + Merge::EACH;

    pub(super) fn new(shared: &Arc<Shared>, past: PastLogs, cursor: Cursor) -> Self {
        let whole_from = past.whole_from(cursor.joined);
        let PastLogs { logs, next, filter, readers, .. } = past;
        // The topics keep their live window meanwhile, or the next event might push out what is about to be read.
        logs.iter().for_each(|log| log.lock().begin_replay(&shared.pinned));
        let merge = Merge::new(&next, cursor.joined, whole_from);
        // Clients that come back at the same time share what is written for them.
        let feed = shared.feeds.of_past(logs, filter, readers);
        let (topics, pinned) = (feed.topics.len(), shared.pinned.clone());
        let held = pinned.hold_memory(topics * Self::EACH);
        let memory = held.as_ref().map_or(0, Held::bytes);
        let reading = Reading { shared: shared.clone(), feed, cursor, merge, _memory: held };
        Self { reading: Mutex::new(Some(reading)), topics, memory, pinned }
    }

    /// It goes on now: if it keeps much, that is taken from those first that have not gone on for the longest time.
    pub(super) fn note_need(self: &Arc<Self>, outlet: &Outlet, now: u64) {
        if self.topics * (Self::EACH + TopicState::EMPTY) >= Pinned::COUNTED {
            let memory = Arc::downgrade(self);
            outlet.need(memory, now);
        }
    }

    /// The next events; `None` when what it needs to read them was taken from it.
    ///
    /// # Errors
    ///
    /// The reason, when the topics have lost some of them.
    pub(super) fn read(&self) -> Result<Option<PastRead>, ResetReason> {
        let mut reading = self.reading.lock();
        let Some(Reading { shared, feed, cursor, merge, .. }) = &mut *reading else {
            return Ok(None);
        };
        feed.read_past(cursor, merge, &shared.coalescing).map(Some)
    }
}

impl CanLetGo for Replay {
    fn bytes(&self) -> usize {
        self.memory + self.pinned.vanished().min(self.topics * TopicState::EMPTY)
    }

    fn let_go(&self) -> usize {
        let reading = self.reading.lock().take();
        // Dropped outside the lock: it takes others.
        reading.map_or(0, |reading| Shared::freed_later(&reading.feed) * TopicState::EMPTY)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.shared.end_replay(self.feed.clone());
    }
}
