//! Many streams as one: subscriptions to the same topics that stand at the same place.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::error::StreamError;
use crate::hub::shared::Shared;
use crate::log::feed::{Cursor, Feed, Slot};
use crate::subscription::Subscription;
use crate::waking::Waiter;

/// The live end of a set of topics, read once for all the subscriptions that have arrived there.
///
/// For transports that serve many streams from one thread. By itself each subscription waits for
/// its topics, is woken and reads, which for a short event is most of the work; a cohort does
/// that once, and what is left for each stream is to be written to its socket.
///
/// A transport keeps one cohort for each [`CohortKey`]. Everything that concerns a single stream
/// (its status event, what it missed, a snapshot, a reset, heartbeats, its end) it gets from
/// [`poll_member`](Self::poll_member), which stops where the cohort stands. A stream that
/// [stands there](Self::is_caught_up) is sent the cohort's [batches](Self::next_batch), and each is
/// [noted](Self::mark_sent) for it. A stream that falls behind is a case for `poll_member` again.
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use tidings::{Cohort, Event, Hub};
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
    slots: Box<[Slot]>,
    waiter: Arc<Waiting>,
}

/// What subscriptions must have in common to be in one cohort: the hub, and the topics.
///
/// It means nothing any more when all subscriptions and cohorts that it came from are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CohortKey(usize);

/// Events that all who stand where their cohort stood are to be sent.
#[derive(Debug)]
pub struct Batch {
    bytes: Bytes,
    events: usize,
    to: u64,
    position: Option<u64>,
    /// Milliseconds of the hub's clock.
    at: u64,
}

/// The cohort's next event is gone from its topics: its members were served too late. Each of them
/// is told by [`Cohort::poll_member`]; the cohort goes on at the hub's present.
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
        Self(Arc::as_ptr(&subscription.client().feed).addr())
    }
}

impl Cohort {
    /// An empty cohort, at the hub's present, for subscriptions like this one. `waker` is woken
    /// when there may be a batch, after [`next_batch`](Self::next_batch) has said that there is
    /// none.
    pub fn of(subscription: &Subscription, waker: Waker) -> Self {
        let shared = subscription.shared().clone();
        let feed = subscription.client().feed.clone();
        let offset = shared.watermark();
        Self {
            cursor: Cursor { offset, joined: offset },
            slots: Slot::of(&feed.topics),
            waiter: Arc::new(Waiting(waker)),
            shared,
            feed,
        }
    }

    /// The next events for all who stand where the cohort stands; the cohort moves on. `None` when
    /// there are none yet: then its waker is woken at the next event.
    ///
    /// # Errors
    ///
    /// [`Lagging`] when the topics do not have all of them any more.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, Lagging> {
        loop {
            let watermark = self.shared.watermark();
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
                Ok(None) if self.feed.wait(self.cursor, &mut self.slots, &self.waiter) => {
                    return Ok(None);
                }
                Ok(None) if self.shared.is_between(self.cursor.offset, &self.waiter) => {
                    return Ok(None);
                }
                Ok(None) => {}
                Err(_) => {
                    let offset = self.shared.watermark();
                    self.cursor = Cursor { offset, joined: offset };
                    return Err(Lagging(()));
                }
            }
        }
    }

    /// What a subscription is to be sent by itself, as its stream's `poll_next`, but no event from
    /// beyond the place where the cohort stands: it is pending there.
    ///
    /// The cohort must have been read to its end after the subscription was opened.
    pub fn poll_member(
        &self,
        subscription: &mut Subscription,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        subscription.poll_bytes(Some(self.cursor.offset), cx)
    }

    /// Whether a subscription has got everything up to where the cohort stands, and nothing is
    /// due to it alone: the next batch is its next event.
    pub fn is_caught_up(&self, subscription: &Subscription) -> bool {
        subscription.stands_at(self.cursor.offset)
    }

    /// Whether a subscription has got beyond where the cohort stands, for instance by a reset, which
    /// takes it to the hub's present. The cohort has to be read to its end then: nothing else would
    /// bring the two together again before the next event.
    pub fn is_overtaken_by(&self, subscription: &Subscription) -> bool {
        subscription.stands_behind(self.cursor.offset)
    }

    /// Notes that a batch was handed to the transport for a subscription that was level.
    pub fn mark_sent(&self, batch: &Batch, subscription: &mut Subscription) {
        subscription.mark_sent(batch.bytes.len(), batch.events, batch.position, batch.to, batch.at);
    }
}

impl Drop for Cohort {
    fn drop(&mut self) {
        self.feed.stop_waiting(&self.slots);
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
