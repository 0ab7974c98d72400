use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Hub;
use super::places::Places;
use super::sequencer::Kind;
use super::shared::Shared;
use crate::backend::{Append, Appended, IdempotencyKey, LogError, Receiver, Reply};
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
/// with what id: in memory that is at once, on a [log](crate::backend) when the log has acknowledged it.
#[derive(Debug)]
#[must_use = "awaiting this tells whether the event was accepted"]
pub struct Publish(Outcome);

#[derive(Debug)]
enum Outcome {
    /// Until it is taken.
    Known(Option<Result<Published, PublishError>>),
    Appending(Appending),
}

/// The log has not answered yet, or has not shown the event to this hub.
#[derive(Debug)]
struct Appending {
    answer: Receiver<Appended>,
    appended: Option<(Appended, u64)>,
    shared: Arc<Shared>,
    topic: Topic,
    number: u64,
}

impl Publish {
    /// The outcome, for code that is not async. On a hub in memory this never blocks.
    ///
    /// On a hub with a log it blocks the thread until the log has answered. A log whose tasks run on the
    /// caller's own runtime cannot answer then: do not call it from async code.
    ///
    /// # Errors
    ///
    /// See [`Hub::publish`].
    pub fn wait(self) -> Result<Published, PublishError> {
        waking::block_on(self)
    }
}

impl Future for Publish {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Outcome::Known(outcome) => match outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                // Polled after it was ready: there is nothing left to give.
                None => Poll::Pending,
            },
            Outcome::Appending(appending) => {
                let published = std::task::ready!(appending.poll(cx));
                appending.shared.counters.published(published.is_ok());
                self.0 = Outcome::Known(None);
                Poll::Ready(published.map_err(PublishError::log))
            }
        }
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        if let (Some(replication), Some((appended, _))) = (&self.shared.replication, &self.appended)
        {
            replication.stop_waiting_for(appended.position, self.number);
        }
    }
}

impl Appending {
    /// For how many occasions an event that is safe is waited for to appear here: some seconds. A link
    /// that is cut one way must not keep the caller for ever.
    const PATIENCE: u64 = 3;

    /// Ready when the event is safe and this hub has it: who publishes and then subscribes finds it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Published, LogError>> {
        let Some(replication) = &self.shared.replication else {
            return Poll::Ready(Err(LogError::unanswered()));
        };
        if self.appended.is_none() {
            let appended = std::task::ready!(Pin::new(&mut self.answer).poll(cx))?;
            if self.shared.acknowledged(replication, &appended) {
                self.appended = Some((appended, replication.occasion()));
            } else {
                // This hub has not learned of the other history yet.
                return Poll::Ready(Ok(self.published(&appended)));
            }
        }
        let Some((appended, since)) = &self.appended else {
            return Poll::Pending;
        };
        // Registered first, so that nothing that happens behind the look is missed.
        replication.wait_for(appended.position, self.number, cx.waker());
        if self.is_to_come(appended.position) && replication.occasion() < since + Self::PATIENCE {
            return Poll::Pending;
        }
        replication.stop_waiting_for(appended.position, self.number);
        Poll::Ready(Ok(self.published(appended)))
    }

    /// Whether the event is one that this hub will be given, and was not yet.
    fn is_to_come(&self, position: u64) -> bool {
        let Some(replication) = &self.shared.replication else { return false };
        self.shared.present().mark.position < position
            && !self.shared.is_closed()
            && (!replication.log.is_selective() || self.shared.topics.is_known(&self.topic))
    }

    fn published(&self, appended: &Appended) -> Published {
        let Appended { epoch, position, is_duplicate } = appended.clone();
        let subscribers = self.shared.topics.subscribers_of(&self.topic);
        Published { epoch, position, subscribers, is_duplicate }
    }
}

/// A published event.
#[derive(Debug, Clone)]
pub struct Published {
    epoch: Epoch,
    position: u64,
    subscribers: usize,
    is_duplicate: bool,
}

impl Published {
    /// The id that the hub gave the event, which is also its place in the hub's order.
    pub fn id(&self) -> EventId {
        self.epoch.id(self.position)
    }

    /// The number of streams of this hub that were subscribed to the topic at that moment.
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Whether an event with the same [`IdempotencyKey`] was published before: then nothing happened, and
    /// the id is that of the first.
    pub fn is_duplicate(&self) -> bool {
        self.is_duplicate
    }
}

pub(super) fn publish<T>(
    hub: &Hub,
    key: Option<Result<IdempotencyKey, FieldError>>,
    topic: T,
    event: Event,
) -> Publish
where
    T: TryInto<Topic>,
    T::Error: Into<FieldError>,
{
    let shared = hub.shared();
    let outcome = begin(shared, key, topic, event);
    let outcome = outcome.unwrap_or_else(|error| Outcome::Known(Some(Err(error))));
    if let Outcome::Known(Some(outcome)) = &outcome {
        shared.counters.published(outcome.is_ok());
    }
    Publish(outcome)
}

fn begin<T>(
    shared: &Arc<Shared>,
    key: Option<Result<IdempotencyKey, FieldError>>,
    topic: T,
    event: Event,
) -> Result<Outcome, PublishError>
where
    T: TryInto<Topic>,
    T::Error: Into<FieldError>,
{
    let key = key.transpose().map_err(PublishError::key)?;
    let (topic, body) = accept(shared, topic, &event, event.is_dispatched())?;
    let Some(replication) = &shared.replication else {
        return Ok(Outcome::Known(Some(append(shared, &topic, body, Kind::Durable(key)))));
    };
    if shared.is_closed() {
        return Err(PublishError::closed());
    }
    let (reply, answer) = Reply::new();
    replication.log.append(Append { topic: topic.clone(), event, key }, reply);
    let number = fastrand::u64(..);
    let appending = Appending { answer, appended: None, shared: shared.clone(), topic, number };
    Ok(Outcome::Appending(appending))
}

pub(super) fn publish_ephemeral<T>(hub: &Hub, topic: T, event: Event) -> Result<usize, PublishError>
where
    T: TryInto<Topic>,
    T::Error: Into<FieldError>,
{
    let shared = hub.shared();
    let (topic, body) = accept(shared, topic, &event, true)?;
    shared.share_ephemeral(&topic, &event);
    // For nobody: a topic is not made for it.
    if !shared.topics.is_known(&topic) && !shared.is_closed() {
        return Ok(0);
    }
    append(shared, &topic, body, Kind::Ephemeral).map(|published| published.subscribers)
}

/// Room for the id that a durable event gets: `id: `, epoch, `-`, 20 digits, line end.
pub(super) const ID_ROOM: usize = 4 + Epoch::MAX_BYTES + 1 + 20 + 1;

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

/// Gives the event its place and wakes who waits for it.
pub(super) fn append(
    shared: &Shared,
    topic: &Topic,
    mut body: Vec<u8>,
    kind: Kind,
) -> Result<Published, PublishError> {
    let (published, waiting) = loop {
        let log = shared.topics.for_event(topic);
        let mut sequencer = shared.sequencer.lock();
        let closed = sequencer.closed;
        let families = shared.topics.families_of(topic);
        let mut places = Places::lock(log.as_ref(), &families);
        if places.topic.as_ref().is_some_and(|place| place.state.gone) {
            // It vanished between the look-up and the lock.
            continue;
        }
        let mut published = Published {
            epoch: sequencer.epoch.clone(),
            position: 0,
            subscribers: places.subscribers(),
            is_duplicate: false,
        };
        let now = shared.clock.now();
        let known = sequencer.known(&kind, now);
        let is_for_nobody = match &kind {
            Kind::Ephemeral => published.subscribers == 0,
            Kind::Placed { position, .. } => {
                places.leave_unfollowed();
                let is_for_nobody = places.is_empty();
                if is_for_nobody {
                    sequencer.position = sequencer.position.max(*position);
                }
                is_for_nobody
            }
            Kind::Durable(_) => false,
        };
        if closed || is_for_nobody || known.is_some() {
            drop(places);
            // The look-up may have made it.
            shared.remove_vacant(&mut sequencer, log);
            if closed {
                return Err(PublishError::closed());
            }
            if let Some(position) = known {
                published = Published { position, is_duplicate: true, ..published };
            }
            return Ok(published);
        }
        let (position, at) = sequencer.number(&kind, now);
        if let Some(position) = position {
            published.position = position;
            encode::id(&sequencer.epoch, position, &mut body);
        }
        body.push(b'\n');
        let frame = Frame { offset: sequencer.offset, position, at, bytes: body.into() };
        let waiting = places.append(&frame, &mut sequencer, now);
        // Still under the logs' locks: a reader that finds the frame finds the watermark too.
        shared.watermark.store(sequencer.offset, Ordering::Release);
        // A topic that retains nothing and has no subscribers is vacant again already.
        let vacant = places.topic.as_ref().is_some_and(|place| place.state.is_vacant());
        drop(places);
        if vacant {
            shared.remove_vacant(&mut sequencer, log);
        }
        if sequencer.cost > sequencer.budget {
            let emptied = sequencer.keep_budget();
            shared.remove_vacant(&mut sequencer, emptied);
        }
        break (published, waiting);
    };
    shared.keep_sweeping();
    // No lock is held here: a woken task may be polled, or dropped, before this returns.
    let (topic, families) = waiting;
    topic.into_iter().chain(families).for_each(waking::wake);
    Ok(published)
}
