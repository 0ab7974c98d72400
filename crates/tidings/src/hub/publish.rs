use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::Hub;
use super::shared::Shared;
use crate::encode;
use crate::error::{FieldError, PublishError};
use crate::event::Event;
use crate::field::EventId;
use crate::log::frame::Frame;
use crate::resume::Epoch;
use crate::subscription::status;
use crate::sync::atomic::Ordering;
use crate::topic::Topic;
use crate::waking;

/// The outcome of a publication: a future for async code, [`Publish::wait`] for any other.
///
/// The event is on its way from the call of [`Hub::publish`] on, in the order of the calls,
/// whether this is awaited or not. Awaiting it tells when the event is safe in the hub's log, and
/// with what id; in memory that is at once.
#[derive(Debug)]
#[must_use = "awaiting this tells whether the event was accepted"]
pub struct Publish(Option<Result<Published, PublishError>>);

impl Publish {
    /// The outcome, for code that is not async. On a hub in memory this never blocks.
    ///
    /// # Errors
    ///
    /// See [`Hub::publish`].
    pub fn wait(self) -> Result<Published, PublishError> {
        self.0.unwrap_or_else(|| Err(PublishError::closed()))
    }
}

impl Future for Publish {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.take() {
            Some(outcome) => Poll::Ready(outcome),
            // Polled after it was ready: there is nothing left to give.
            None => Poll::Pending,
        }
    }
}

/// A published event.
#[derive(Debug, Clone)]
pub struct Published {
    epoch: Epoch,
    position: u64,
    subscribers: usize,
}

impl Published {
    /// The id that the hub gave the event, which is also its place in the hub's order.
    pub fn id(&self) -> EventId {
        self.epoch.id(self.position)
    }

    /// The number of streams that were subscribed to the topic at that moment.
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }
}

pub(super) fn publish<T>(hub: &Hub, topic: T, event: Event) -> Publish
where
    T: TryInto<Topic>,
    T::Error: Into<FieldError>,
{
    let shared = hub.shared();
    let outcome = accept(shared, topic, &event, event.is_dispatched()).and_then(|(topic, body)| {
        let (position, subscribers) = append(shared, &topic, body, Kind::Durable)?;
        Ok(Published { epoch: shared.epoch.clone(), position, subscribers })
    });
    Publish(Some(outcome))
}

pub(super) fn publish_ephemeral<T>(hub: &Hub, topic: T, event: Event) -> Result<usize, PublishError>
where
    T: TryInto<Topic>,
    T::Error: Into<FieldError>,
{
    let shared = hub.shared();
    let (topic, body) = accept(shared, topic, &event, true)?;
    // For nobody: a topic is not made for it.
    if shared.topics.get(&topic).is_none() && !shared.is_closed() {
        return Ok(0);
    }
    append(shared, &topic, body, Kind::Ephemeral).map(|(_, subscribers)| subscribers)
}

/// Room for the id that a durable event gets: `id: `, epoch, `-`, 20 digits, line end.
const ID_ROOM: usize = 48;

/// Checks an event and encodes it, all but its id and the empty line at its end.
fn accept<T>(
    shared: &Shared,
    topic: T,
    event: &Event,
    is_dispatched: bool,
) -> Result<(Topic, Vec<u8>), PublishError>
where
    T: TryInto<Topic>,
    T::Error: Into<FieldError>,
{
    let topic = topic.try_into().map_err(|error| PublishError::topic(error.into()))?;
    if event.id().is_some() {
        return Err(PublishError::has_id());
    }
    if event.name().is_some_and(|name| status::is_reserved(name.as_str())) {
        return Err(PublishError::reserved());
    }
    if !is_dispatched {
        return Err(PublishError::not_dispatched());
    }
    let body = encode::fields_without_id(event, ID_ROOM);
    let limit = shared.defaults.max_event_bytes;
    if body.len() > limit {
        return Err(PublishError::too_large(body.len(), limit));
    }
    Ok((topic, body))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Durable,
    Ephemeral,
}

/// Gives the event its place and wakes who waits for it. Returns its position and for how many
/// subscribers it is.
fn append(
    shared: &Shared,
    topic: &Topic,
    mut body: Vec<u8>,
    kind: Kind,
) -> Result<(u64, usize), PublishError> {
    let (position, subscribers, waiting) = loop {
        let log = shared.topics.get_or_create(topic);
        let mut sequencer = shared.sequencer.lock();
        let closed = sequencer.closed;
        let mut state = log.lock();
        if state.gone {
            // It vanished between the look-up and the lock.
            continue;
        }
        let subscribers = state.subscribers;
        if closed || (kind == Kind::Ephemeral && subscribers == 0) {
            drop(state);
            // The look-up may have made it.
            shared.remove_vacant(&mut sequencer, [log]);
            return if closed { Err(PublishError::closed()) } else { Ok((0, 0)) };
        }
        sequencer.offset += 1;
        let position = (kind == Kind::Durable).then(|| {
            sequencer.position += 1;
            encode::id(&shared.epoch, sequencer.position, &mut body);
            sequencer.position
        });
        body.push(b'\n');
        let now = shared.clock.now();
        let bytes = Bytes::from(body);
        let frame = Frame { offset: sequencer.offset, position, at: now, bytes };
        let cost = frame.cost();
        let waiting = log.append(&mut state, frame);
        sequencer.appended(&log, &mut state, cost, now);
        // Still under the topic's lock: a reader that finds the frame finds the watermark too.
        shared.watermark.store(sequencer.offset, Ordering::Release);
        // A topic that retains nothing and has no subscribers is vacant again already.
        let vacant = state.is_vacant();
        drop(state);
        if vacant {
            shared.remove_vacant(&mut sequencer, [log]);
        }
        if sequencer.cost > sequencer.budget {
            let emptied = sequencer.keep_budget();
            shared.remove_vacant(&mut sequencer, emptied);
        }
        break (position.unwrap_or(0), subscribers, waiting);
    };
    shared.keep_sweeping();
    // No lock is held here: a woken task may be polled, or dropped, before this returns.
    waking::wake(waiting);
    Ok((position, subscribers))
}
