use std::sync::Arc;

use crate::filter::Filter;
use crate::hub::shared::Shared;
use crate::log::TopicLog;
use crate::log::coalesce::Slice;
use crate::log::feed::{Cursor, Feed, Readers, TopicCursor};
use crate::log::reset_reason::ResetReason;

/// The past of a subscription that cannot be read as its present is, up to where that begins.
///
/// A pattern's log has what was published since its first subscriber came. What was published before is in the logs of
/// its topics, as they were when the subscription began. A filtered log's past is in the log that it is of. And a newcomer is
/// sent the values of keys from logs that have lost removals of keys, which others would have had to be sent.
#[derive(Debug)]
pub(super) struct Replay {
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    cursor: Cursor,
    topic_cursors: Box<[TopicCursor]>,
}

impl Replay {
    const FEW: usize = 64;

    pub(super) fn new(
        shared: Arc<Shared>,
        (topics, filter, readers): (Vec<Arc<TopicLog>>, Option<Filter>, Readers),
        cursor: Cursor,
        topic_cursors: Box<[TopicCursor]>,
    ) -> Self {
        let (topics, topic_cursors) = Self::with_news(topics, cursor, topic_cursors);
        // The topics keep their live window meanwhile, or the next event might push out what is about to be read.
        topics.iter().for_each(|topic| topic.lock().replays += 1);
        // Clients that come back at the same time share what is written for them.
        let feed = shared.feeds.of_past(topics, filter, readers);
        Self { shared, feed, cursor, topic_cursors }
    }

    /// Of many topics, those that have events after the cursor. Few are left as they are, so that clients whose cursors
    /// differ have the same.
    fn with_news(
        topics: Vec<Arc<TopicLog>>,
        cursor: Cursor,
        topic_cursors: Box<[TopicCursor]>,
    ) -> (Vec<Arc<TopicLog>>, Box<[TopicCursor]>) {
        if topics.len() <= Self::FEW {
            return (topics, topic_cursors);
        }
        let all = topics.into_iter().zip(topic_cursors);
        let (topics, topic_cursors): (_, Vec<_>) =
            all.filter(|(topic, own)| topic.head() > own.starts_after.max(cursor.offset)).unzip();
        (topics, topic_cursors.into())
    }

    /// The next events, or `None` at the end.
    ///
    /// # Errors
    ///
    /// The reason, when the topics have lost some of them.
    pub(super) fn read(&mut self) -> Result<Option<Slice>, ResetReason> {
        let joined = self.cursor.joined;
        self.feed.read(&mut self.cursor, &self.topic_cursors, joined, &self.shared.coalescing)
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.shared.end_replay(&self.feed.topics);
    }
}
