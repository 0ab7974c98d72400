//! One client's stream: from its cursor in the hub's log to the bytes of its response.

pub(crate) mod history;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod subscribe;

#[cfg(test)]
mod cut_tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use crate::encode;
use crate::error::StreamError;
use crate::hub::shared::Shared;
use crate::keep_alive::HEARTBEAT;
use crate::log::feed::{Cursor, Slot};
use crate::registry::{Client, ClientId};
use history::History;
use snapshot::{Hook, Making};
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
    settings: Settings,
    snapshot: Option<Hook>,
    /// How the subscription stood when it was opened.
    status: Status,
    /// To be sent before anything else.
    ready: Option<Ready>,
    /// A snapshot to be sent before the log is read on.
    making: Option<Announced>,
    /// An error that waits for a turn, for the server to send what came before it first: see
    /// [`EventStream`](crate::EventStream).
    failed: Option<StreamError>,
    ended: bool,
}

/// Bytes that are not from the log.
#[derive(Debug, Default)]
struct Ready {
    bytes: Vec<u8>,
    events: usize,
    /// The position that they leave the client with, if they have any.
    position: Option<u64>,
}

/// A snapshot that the application is making, and what is to be said with it.
struct Announced {
    making: Making,
    status: Status,
    /// Where the stream goes on behind the snapshot.
    position: u64,
}

impl Subscription {
    fn new(
        shared: Arc<Shared>,
        client: Arc<Client>,
        cursor: Cursor,
        slots: Box<[Slot]>,
        settings: Settings,
        snapshot: Option<Hook>,
    ) -> Self {
        Self {
            shared,
            client,
            cursor,
            slots,
            settings,
            snapshot,
            status: Status::Fresh,
            ready: None,
            making: None,
            failed: None,
            ended: false,
        }
    }

    /// The client's id in the registry.
    pub fn client_id(&self) -> ClientId {
        self.client.id
    }

    /// Whether the client is fresh, resumed or reset, as of when the subscription was opened.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Prepares the first bytes.
    fn begin(&mut self, status: Status, position: u64, with_snapshot: bool) {
        self.status = status;
        let mut first = Ready::default();
        if let Some(retry) = self.settings.retry {
            encode::retry(jittered(retry), &mut first.bytes);
        }
        self.announce(status, position, with_snapshot, &mut first);
        // The first bytes leave at once, or proxies would hold back the headers.
        if first.bytes.is_empty() {
            first.bytes.extend_from_slice(&HEARTBEAT);
        }
        self.ready = Some(first);
    }

    /// Says how the subscription stands from here on, or has that said with a snapshot.
    fn announce(&mut self, status: Status, position: u64, with_snapshot: bool, out: &mut Ready) {
        match &self.snapshot {
            Some(hook) if with_snapshot => {
                self.making = Some(Announced { making: hook.call(), status, position });
                end_block(&mut out.bytes);
            }
            _ if self.settings.status => {
                let event = status.event(self.client.id, self.shared.epoch.id(position));
                out.bytes.extend_from_slice(&event.encode());
                out.events = 1;
                out.position = Some(position);
            }
            _ => end_block(&mut out.bytes),
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        let mut registered = false;
        loop {
            // Read before the watermark: what was published before closing is still sent.
            let closing = self.shared.is_closed();
            if self.ended || self.client.is_closed() {
                self.ended = true;
                return Poll::Ready(None);
            }
            if let Some(error) = self.failed.take() {
                self.ended = true;
                return Poll::Ready(Some(Err(error)));
            }
            if let Some(Ready { bytes, events, position }) = self.ready.take() {
                return self.send(bytes.into(), events, position);
            }
            if let Some(announced) = &mut self.making {
                match announced.making.as_mut().poll(cx) {
                    Poll::Ready(Ok(snapshot)) => {
                        self.take_snapshot(snapshot);
                        continue;
                    }
                    Poll::Ready(Err(error)) => {
                        self.making = None;
                        self.failed = Some(StreamError::snapshot(error));
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    // A shutdown does not wait for the application.
                    Poll::Pending if closing => {
                        self.ended = true;
                        return Poll::Ready(None);
                    }
                    Poll::Pending => {}
                }
            } else {
                let watermark = self.shared.watermark();
                let coalescing = &self.shared.coalescing;
                let feed = &self.client.feed;
                match feed.read(&mut self.cursor, &self.slots, watermark, coalescing) {
                    Ok(Some(slice)) => return self.send(slice.bytes, slice.events, slice.position),
                    Ok(None) if closing => {
                        self.ended = true;
                        return Poll::Ready(None);
                    }
                    Ok(None) => {}
                    Err(reason) => {
                        self.restart(reason);
                        continue;
                    }
                }
            }
            if let Some(heartbeat) = self.client.pulse.beat() {
                return self.send(heartbeat, 0, None);
            }
            // The waker first, then once more around: whatever happens from here on wakes it.
            if !registered {
                self.client.pulse.register(cx.waker());
                registered = true;
                continue;
            }
            if self.making.is_some() || self.wait() {
                return Poll::Pending;
            }
        }
    }

    fn send(
        &self,
        bytes: Bytes,
        events: usize,
        position: Option<u64>,
    ) -> Poll<Option<Result<Bytes, StreamError>>> {
        self.client.count(bytes.len(), events, position);
        self.client.pulse.wrote();
        Poll::Ready(Some(Ok(bytes)))
    }

    /// Joins the wait lists of all topics. Returns false when one has something new instead.
    fn wait(&mut self) -> bool {
        let topics = &self.client.feed.topics;
        topics.iter().zip(&mut self.slots).all(|(topic, slot)| {
            if !topic.still_waiting(slot.place) {
                slot.place = topic.wait(self.cursor.offset, &self.client);
            }
            slot.place.is_some()
        })
    }

    /// The next event is gone: begins anew with what there is.
    fn restart(&mut self, reason: ResetReason) {
        let shared = self.shared.clone();
        let now = shared.present();
        let topics = &self.client.feed.topics;
        let beginning = if self.snapshot.is_some() {
            history::live(now)
        } else {
            history::retained(History::All, topics, &mut self.slots, now, shared.clock.now())
        };
        self.cursor = beginning.cursor;
        let mut ready = Ready::default();
        let with_snapshot = self.snapshot.is_some();
        self.announce(Status::Reset(reason), beginning.position, with_snapshot, &mut ready);
        self.ready = Some(ready).filter(|ready| !ready.bytes.is_empty());
    }

    /// Writes a snapshot that the application has made, with the status event before it.
    ///
    /// Only the last event carries the position behind the snapshot. Who is cut off earlier comes
    /// back with an id that has none, and gets another snapshot.
    fn take_snapshot(&mut self, snapshot: snapshot::Snapshot) {
        let Some(Announced { status, position, .. }) = self.making.take() else {
            return;
        };
        let epoch = &self.shared.epoch;
        let mut bytes = Vec::new();
        let mut events = 0;
        if self.settings.status {
            let id = match snapshot.events.is_empty() {
                true => epoch.id(position),
                false => epoch.id_without_position(),
            };
            bytes.extend_from_slice(&status.event(self.client.id, id).encode());
            events += 1;
        }
        let last = snapshot.events.len().saturating_sub(1);
        for (index, event) in snapshot.events.iter().enumerate() {
            bytes.extend(encode::fields_without_id(event, 0));
            if index == last {
                encode::id(epoch, position, &mut bytes);
            }
            end_block(&mut bytes);
            events += 1;
        }
        if !bytes.is_empty() {
            self.ready = Some(Ready { bytes, events, position: Some(position) });
        }
    }
}

/// The empty line behind the fields of an event, if there are any.
fn end_block(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b'\n');
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
        self.get_mut().poll_bytes(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.pulse.stop();
        for (topic, slot) in self.client.feed.topics.iter().zip(&self.slots) {
            if let Some(place) = slot.place.filter(|place| topic.still_waiting(Some(*place))) {
                topic.stop_waiting(place);
            }
        }
        self.shared.unsubscribe(&self.client);
    }
}

impl fmt::Debug for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announced").field("status", &self.status).finish_non_exhaustive()
    }
}
