//! One client's stream: from its cursor in the hub's log to the bytes of its response.

mod apart;
mod catch_up;
pub(crate) mod history;
mod replay;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod subscribe;

#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod wait_tests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use crate::error::StreamError;
use crate::hub::shared::{Present, Shared};
use crate::log::coalesce::Slice;
use crate::log::feed::{Cursor, Slot};
use crate::registry::{Client, ClientId};
use apart::{Apart, Next, Ready};
use catch_up::{Announce, CatchUp};
use history::History;
use snapshot::Hook;
use status::{ResetReason, Status};

/// How long clients are told to wait before they connect again, unless set: 3 seconds.
pub const DEFAULT_RETRY: Duration = Duration::from_secs(3);

/// What a subscription is set to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) status: bool,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) retry: Option<Duration>,
}

/// An open subscription: a stream of the bytes of an event stream.
///
/// It is a cursor into the logs of its topics, not a queue: a client that reads slowly costs no
/// memory. One that falls so far behind that its next event is gone is told so by a status event
/// (a reset), and goes on with what is retained.
///
/// The stream begins with the status event, sends heartbeats while it is idle, and ends when the
/// hub is closed, when the client is closed through the registry, or when a snapshot fails, which
/// is the only error. Dropping it takes the client out of the registry at once.
///
/// Adapters send it as a response body. To read it by hand, poll it as a
/// [`Stream`](futures_core::Stream), or, with the feature `http-body`, as an `http_body::Body`.
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    shared: Arc<Shared>,
    client: Arc<Client>,
    cursor: Cursor,
    slots: Box<[Slot]>,
    snapshot: Option<Box<Hook>>,
    /// What is not from the log. Most of the time there is nothing, and thousands of idle streams
    /// pay for what they hold; so it is in a box.
    apart: Option<Box<Apart>>,
    /// How the subscription stood when it was opened.
    status: Status,
    /// Whether status events are sent.
    tells_status: bool,
    ended: bool,
    rejoin: Rejoin,
}

/// Which wait lists are to be joined before the stream waits, if nothing was published to the hub
/// since it was last read. With a hundred topics it makes a difference that it is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rejoin {
    Nothing,
    /// That of the topic that was read last.
    One(u32),
    /// It is not known.
    All,
}

impl Subscription {
    fn new(
        shared: Arc<Shared>,
        client: Arc<Client>,
        cursor: Cursor,
        slots: Box<[Slot]>,
        tells_status: bool,
        snapshot: Option<Box<Hook>>,
    ) -> Self {
        Self {
            shared,
            client,
            cursor,
            slots,
            snapshot,
            apart: None,
            status: Status::Fresh,
            tells_status,
            ended: false,
            rejoin: Rejoin::All,
        }
    }

    /// The client's id in the registry.
    pub fn client_id(&self) -> ClientId {
        self.client.id
    }

    /// Whether the client is fresh, resumed or reset, as of when the subscription was opened. On a hub with
    /// a log it may take until the first bytes to know.
    pub fn status(&self) -> Status {
        self.status
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Whether everything up to this offset was delivered, and nothing else is due.
    pub(crate) fn stands_at(&self, offset: u64) -> bool {
        self.cursor.offset == offset && self.apart.is_none() && !self.ended
    }

    /// Whether more than what is up to this offset was delivered.
    pub(crate) fn stands_behind(&self, offset: u64) -> bool {
        self.cursor.offset > offset
    }

    /// Notes events that somebody else has read, and delivered in this subscription's place.
    pub(crate) fn mark_sent(
        &mut self,
        bytes: usize,
        events: usize,
        position: Option<u64>,
        to: u64,
        at: u64,
    ) {
        self.cursor.offset = to;
        self.client.count(bytes, events, position);
        self.client.pulse.wrote_at(at);
    }

    /// The next bytes, of events up to `limit`, or all that are published. Whoever gives a limit
    /// waits for more himself.
    pub(crate) fn poll_bytes(
        &mut self,
        limit: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        loop {
            // Read before the watermark: what was published before closing is still sent.
            let closing = self.shared.is_closed();
            if self.ended || self.client.is_closed() {
                self.ended = true;
                return Poll::Ready(None);
            }
            let mut is_making = false;
            if self.apart.is_some() {
                match self.poll_apart(closing, cx) {
                    Next::Send(next) => return Poll::Ready(next),
                    Next::Turn => return Poll::Pending,
                    Next::Making => is_making = true,
                    Next::Log => {}
                }
            }
            if !is_making {
                match self.read(limit.filter(|_| !closing)) {
                    Ok(Some(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                    Ok(None) if closing => {
                        self.ended = true;
                        return Poll::Ready(None);
                    }
                    Ok(None) => {}
                    Err(reason) => {
                        self.fall_off(reason);
                        continue;
                    }
                }
            }
            if let Some(heartbeat) = self.client.pulse.beat() {
                self.client.pulse.wrote();
                self.client.count(heartbeat.len(), 0, None);
                return Poll::Ready(Some(Ok(heartbeat)));
            }
            #[cfg(test)]
            wait_tests::before_waiting();
            // The waker first, then another look: whatever happens from here on wakes it. For
            // events, the wait lists do that.
            self.client.pulse.register(cx.waker());
            if self.is_called(closing) {
                continue;
            }
            if limit.is_some() {
                // They are for reading history, and for waiting.
                if self.cursor.offset >= self.cursor.joined {
                    self.client.feed.stop_waiting(&self.slots);
                    self.slots = Box::default();
                    self.rejoin = Rejoin::All;
                }
                return Poll::Pending;
            }
            if is_making {
                return Poll::Pending;
            }
            if self.wait() || self.shared.is_between(self.cursor.offset, &self.client) {
                return Poll::Pending;
            }
        }
    }

    /// Joins the wait lists of all topics. Returns false when one has something new instead.
    ///
    /// The waker is registered. So where the watermark says that nothing was published since the
    /// last look, places that were good then are good, or are being taken by a publisher who
    /// will wake the stream.
    fn wait(&mut self) -> bool {
        let Client { feed, .. } = &*self.client;
        let is_good = self.shared.watermark() == self.cursor.offset;
        let waits = match self.rejoin {
            Rejoin::Nothing if is_good => true,
            Rejoin::One(topic) if is_good => {
                feed.wait_for(topic, self.cursor, &mut self.slots, &self.client)
            }
            _ => {
                if self.slots.is_empty() {
                    self.slots = Slot::of(&feed.topics);
                }
                feed.wait(self.cursor, &mut self.slots, &self.client)
            }
        };
        self.rejoin = if waits { Rejoin::Nothing } else { Rejoin::All };
        waits
    }

    /// Whether there is anything to be done that is not in the log.
    #[inline]
    fn is_called(&self, closing: bool) -> bool {
        self.client.pulse.is_due() || self.client.is_closed() || self.shared.is_closed() != closing
    }

    /// Whether nothing has happened since this waker was told to wait.
    #[cfg(feature = "http-body")]
    #[inline]
    pub(crate) fn is_quiet(&self, waker: &std::task::Waker) -> bool {
        // In this order: a stream that was woken is seen at once.
        self.client.pulse.is_registered(waker)
            && !self.is_called(false)
            && self.apart.is_none()
            && self.rejoin == Rejoin::Nothing
            && (self.shared.watermark() == self.cursor.offset
                || self.client.feed.is_waited_for(&self.slots))
    }

    /// The next bytes of the log.
    fn read(&mut self, limit: Option<u64>) -> Result<Option<Bytes>, ResetReason> {
        let watermark = self.shared.watermark();
        let limit = limit.map_or(watermark, |limit| limit.min(watermark));
        let Client { feed, pulse, .. } = &*self.client;
        let slice = feed.read(&mut self.cursor, &self.slots, limit, &self.shared.coalescing)?;
        let Some(Slice { bytes, events, position, topic, .. }) = slice else {
            return Ok(None);
        };
        self.rejoin = match (self.rejoin, topic) {
            (Rejoin::Nothing, Some(topic)) => Rejoin::One(topic),
            (Rejoin::One(before), Some(topic)) if before == topic => self.rejoin,
            _ => Rejoin::All,
        };
        self.client.count(bytes.len(), events, position);
        pulse.wrote_published();
        Ok(Some(bytes))
    }

    /// What the client missed is gone: begins anew with what there is.
    fn restart(&mut self, reason: ResetReason) {
        let shared = self.shared.clone();
        let Present { mark: now, epoch, began } = shared.present();
        let status = Status::Reset(reason);
        let feed = self.client.feed.clone();
        let is_selective = shared.replication.as_ref().is_some_and(|r| r.log.is_selective());
        let beginning = if self.snapshot.is_some() {
            history::live(now)
        } else if is_selective {
            self.client.count(0, 0, Some(now.position));
            self.go_to(history::live(now));
            let catch_up = CatchUp::retained(History::All, (&shared, &feed.topics), began, status);
            self.apart().catch_up = Some(catch_up);
            return;
        } else {
            let past = shared.topics.past_of(&feed.topics);
            history::retained(History::All, past, now, shared.clock.now())
        };
        let position = beginning.position;
        self.go_to(beginning);
        self.client.count(0, 0, Some(position));
        let mut ready = Ready::default();
        let with_snapshot = self.snapshot.is_some();
        let announce = Announce { status, position, epoch };
        self.announce(announce, with_snapshot, &mut ready);
        if !ready.bytes.is_empty() {
            self.apart().ready = Some(ready);
        }
    }
}

/// Give or take a fifth.
pub(crate) fn jittered(delay: Duration) -> Duration {
    // Half of what a duration can hold, so that a fifth more is one as well.
    delay.min(Duration::MAX / 2).mul_f64(0.8 + 0.4 * fastrand::f64())
}

impl Stream for Subscription {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_bytes(None, cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.pulse.leave();
        self.client.feed.stop_waiting(&self.slots);
        self.shared.unsubscribe(&self.client);
    }
}
