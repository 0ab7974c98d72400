//! Many streams as one: subscriptions to the same topics that have read everything.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::error::StreamError;
use crate::hub::shared::Shared;
use crate::log::feed::{Cursor, Feed, TopicCursor};
use crate::log::standing::End;
use crate::subscription::Subscription;
use crate::sync::atomic::Ordering;
use crate::waking::Waiter;

/// The live end of a set of topics, read once for all the subscriptions that have caught up with it.
///
/// For transports that serve many streams from one thread. A subscription on its own waits for its topics, is woken and
/// reads, which for a short event is most of the work. A cohort does that once for all its members, and the only work
/// left for each stream is to write to its socket.
///
/// A transport keeps one cohort for each [`CohortKey`]. [`poll_member`](Self::poll_member) yields what concerns a single
/// stream (its status event, events that it missed, a snapshot, a reset, heartbeats, its end), and stops where the
/// cohort is. A stream that has [caught up](Self::is_caught_up) is sent the cohort's [batches](Self::next_batch), and
/// each is [marked as sent](Self::mark_sent). A stream that lags is read with `poll_member` again; so is one whose waker was
/// woken before the batch was taken, and it is not sent the batch: it may have been closed before that was published.
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use tidings::{transport::Cohort, Event, Hub};
///
/// let hub = Hub::new();
/// let mut stream = hub.subscribe(["news"]).open()?;
/// let mut cohort = Cohort::of(&stream, Waker::noop().clone());
///
/// // The stream's own beginning:
/// let mut cx = Context::from_waker(Waker::noop());
/// assert!(matches!(cohort.next_batch(), Ok(None)));
/// while let Poll::Ready(Some(bytes)) = cohort.poll_member(&mut stream, &mut cx) {
///     println!("{:?}", bytes?);
/// }
/// assert!(cohort.is_caught_up(&stream));
///
/// // What it has in common with all others:
/// hub.publish("news", Event::new("hello")).wait()?;
/// let batch = cohort.next_batch().unwrap().unwrap();
/// println!("{:?}", batch.bytes());
/// cohort.mark_sent(&batch, &mut stream);
/// # assert!(batch.bytes().starts_with(b"data: hello\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cohort {
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    cursor: Cursor,
    topic_cursors: Box<[TopicCursor]>,
    /// See [`Feed::wait`].
    waited: u64,
    waiter: Arc<Waiting>,
    /// What its members know of the end of its topics.
    end: End,
}

/// What the subscriptions of a cohort have in common: the hub, and the topics.
///
/// It is valid as long as one of the subscriptions or cohorts exists that it was made from, and until that
/// [changes](Cohort::is_any_changing) its topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CohortKey(usize);

/// Events for all members that had caught up with the cohort.
#[derive(Debug)]
pub struct Batch {
    bytes: Bytes,
    events: usize,
    to: u64,
    position: Option<u64>,
    /// Milliseconds of the hub's clock.
    at: u64,
}

/// Each member has something of its own to be sent, for which [`Cohort::poll_member`] is to be called. The cohort's next event
/// is gone from its topics, because its members were served too late: each is reset, and the cohort goes on at the hub's
/// head. Or its topics are finished, and each stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lagging(());

/// A cohort in the wait lists of its topics.
#[derive(Debug)]
struct Waiting(Waker);

impl Waiter for Waiting {
    fn wake(&self) {
        self.0.wake_by_ref();
    }
}

impl CohortKey {
    /// The key of a subscription's cohort.
    pub fn of(subscription: &Subscription) -> Self {
        // Subscriptions to the same topics of a hub share their feed.
        Self(Arc::as_ptr(subscription.feed()).addr())
    }
}

impl Cohort {
    /// An empty cohort, at the hub's head, for subscriptions like this one. `waker` is woken when there may be a batch,
    /// after [`next_batch`](Self::next_batch) has returned `None`.
    pub fn of(subscription: &Subscription, waker: Waker) -> Self {
        let shared = subscription.shared().clone();
        let feed = subscription.feed().clone();
        let offset = shared.watermark();
        Self {
            cursor: Cursor { offset, joined: offset },
            topic_cursors: TopicCursor::for_each_of(&feed.topics),
            waited: 0,
            waiter: Arc::new(Waiting(waker)),
            end: End::Open,
            shared,
            feed,
        }
    }

    /// The next events for the members that have caught up; the cohort moves on. `None` when there are none yet: then its
    /// waker is woken at the next event.
    ///
    /// # Errors
    ///
    /// [`Lagging`] when the topics have lost some of them, and when they are finished.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, Lagging> {
        loop {
            let watermark = self.feed.open_to(self.cursor, self.shared.watermark());
            let slice = self.feed.read(&mut self.cursor, &[], watermark, &self.shared.coalescing);
            match slice {
                Ok(Some(slice)) => {
                    return Ok(Some(Batch {
                        bytes: slice.bytes,
                        events: slice.events,
                        to: slice.to,
                        position: slice.position,
                        at: self.shared.clock.recent(),
                    }));
                }
                Ok(None) => {
                    // Its streams end, or one of them asks the hub's log whether they do.
                    let end = self.feed.end(self.cursor.offset);
                    if std::mem::replace(&mut self.end, end) != end && end != End::Open {
                        return Err(Lagging(()));
                    }
                    let tail = self.shared.tail();
                    let Self { feed, cursor, topic_cursors, waited, waiter, .. } = self;
                    if feed.wait(*cursor, topic_cursors, waited, waiter, tail) {
                        return Ok(None);
                    }
                }
                Err(_) => {
                    let offset = self.shared.watermark();
                    self.cursor = Cursor { offset, joined: offset };
                    return Err(Lagging(()));
                }
            }
        }
    }

    /// What a single subscription is sent, like its `poll_next`, but no event after those that the cohort has read: the
    /// subscription is pending there.
    ///
    /// It runs no code of the application: for that, see [`Subscription::take_application_task`].
    ///
    /// A subscription that has just been opened may be [ahead](Self::is_overtaken_by) of the cohort.
    pub fn poll_member(
        &self,
        subscription: &mut Subscription,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        subscription.poll_whole(self.cursor.offset, cx)
    }

    /// Whether a subscription has everything that the cohort has read, and nothing of its own to send: the next batch is
    /// its next event.
    pub fn is_caught_up(&self, subscription: &Subscription) -> bool {
        subscription.is_caught_up_to(self.cursor.offset)
    }

    /// Whether a subscription is ahead of the cohort: after it was opened, or after a reset, which takes it to the hub's
    /// head. The cohort must be read on then: nothing else would bring the two together before the next event.
    pub fn is_overtaken_by(&self, subscription: &Subscription) -> bool {
        subscription.is_ahead_of(self.cursor.offset)
    }

    /// Whether any stream of the hub is about to change its topics. After each batch that a transport takes, it asks this, and
    /// if so, each member that it is for: one that [is changing](Subscription::is_changing) is not sent the batch, but served
    /// on its own. Its [key](CohortKey) is another one after that.
    pub fn is_any_changing(&self) -> bool {
        self.shared.changing.load(Ordering::Acquire) > 0
    }

    /// Records that a batch was handed to the transport for a subscription that had caught up.
    pub fn mark_sent(&self, batch: &Batch, subscription: &mut Subscription) {
        subscription.mark_sent(batch.bytes.len(), batch.events, batch.position, batch.to, batch.at);
    }
}

impl Drop for Cohort {
    fn drop(&mut self) {
        self.feed.stop_waiting(&self.topic_cursors);
    }
}

impl Batch {
    /// The events, as one run of bytes of the event stream.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many events it has.
    pub fn events(&self) -> usize {
        self.events
    }
}
