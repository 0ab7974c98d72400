use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::journal::entry::{Entry, EntryKind};
use super::published::Published;
use super::replication::Replication;
use super::shared::Shared;
use crate::backend::{Append, Appended, IdempotencyKey, LogError, LogErrorKind, Receiver, Reply};
use crate::encode;
use crate::epoch::Epoch;
use crate::error::{FieldError, PublishError, PublishErrorCause, PublishErrorKind};
use crate::event::Event;
use crate::field::EventName;
use crate::log::standing::LastEvent;
use crate::telling;
use crate::topic::Topic;
use crate::waking;

/// The outcome of a publication: a future for async code, [`Publish::wait`] for any other.
///
/// The event is on its way as soon as [`Hub::publish`](crate::Hub::publish) is called, in the order of the calls, whether this is
/// awaited or not. It resolves when the event is safe, with the event's id: in memory at once, on a
/// [log](crate::backend) when the log has acknowledged the event.
#[derive(Debug)]
#[must_use = "only the outcome says whether the event was accepted"]
pub struct Publish(Outcome);

#[derive(Debug)]
enum Outcome {
    /// Until it is taken.
    Known(Option<Result<Published, PublishError>>),
    Appending(Appending),
}

/// The log has not answered yet, or has not delivered the event to this hub.
#[derive(Debug)]
struct Appending {
    answer: Receiver<Appended>,
    /// The log's answer, and the retry generation at that time.
    appended: Option<(Appended, u64)>,
    shared: Arc<Shared>,
    replication: Arc<Replication>,
    topic: Topic,
    is_last: bool,
    number: u64,
}

impl Publish {
    /// What was not even tried.
    pub(crate) fn refused(shared: &Shared, error: PublishError) -> Self {
        Self(Outcome::Known(Some(Err(shared.refused(error)))))
    }

    /// The outcome, for code that is not async. On a hub in memory this never blocks.
    ///
    /// On a hub with a log it blocks the thread until the log has answered. Do not call it from async code: a log
    /// whose tasks run on the caller's own runtime could not answer.
    ///
    /// # Errors
    ///
    /// See [`Hub::publish`](crate::Hub::publish).
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
                let published = std::task::ready!(appending.poll(cx))
                    .map_err(|error| PublishError::from(PublishErrorCause::from(error)));
                appending.shared.counters.published(published.is_ok());
                if let Err(error) = &published {
                    tell_refused(Some(&appending.topic), error);
                }
                self.0 = Outcome::Known(None);
                Poll::Ready(published)
            }
        }
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        if let Some((appended, _)) = &self.appended {
            self.replication.stop_waiting_for_position(appended.position, self.number);
        }
    }
}

impl Appending {
    /// For how many retry generations to wait until this hub has an event that is safe: some seconds. A link
    /// that is cut in one direction must not keep the caller for ever.
    const PATIENCE: u64 = 3;

    /// Ready when the event is safe and this hub has it: a caller that then subscribes has seen it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Published, LogError>> {
        if self.appended.is_none() {
            let appended = std::task::ready!(Pin::new(&mut self.answer).poll(cx))?;
            let Appended { epoch, position, .. } = &appended;
            if !self.shared.journal.lock().acknowledge(epoch, *position) {
                // This hub has not learned of the other history yet.
                return Poll::Ready(Ok(self.published(&appended)));
            }
            self.appended = Some((appended, self.replication.retry_generation()));
        }
        let Some((appended, since)) = &self.appended else {
            return Poll::Pending;
        };
        // Registered first, so that nothing that happens after the look is missed.
        self.replication.wait_for_position(appended.position, self.number, cx.waker());
        let is_patient = self.replication.retry_generation() < since + Self::PATIENCE;
        if is_patient && self.will_be_delivered(appended.position) {
            return Poll::Pending;
        }
        self.replication.stop_waiting_for_position(appended.position, self.number);
        // The log has it. It is void, but for those who have not got the last event any more.
        if self.is_void(appended.position) {
            if appended.is_duplicate {
                // What becomes of the first attempt was said then.
                return Poll::Ready(Err(LogError::new(
                    LogErrorKind::Finished,
                    "topic is finished",
                )));
            }
            let text = "topic was finished meanwhile: event is void, or begins it anew";
            return Poll::Ready(Err(LogError::new(LogErrorKind::Unacknowledged, text)));
        }
        if self.is_last && !appended.is_duplicate {
            let last = LastEvent { position: appended.position };
            let now = self.shared.clock.now();
            self.shared.journal.lock().finished(&self.topic, last, now);
        }
        Poll::Ready(Ok(self.published(appended)))
    }

    /// Whether the topic was finished meanwhile, at another node: the order of the log decides.
    fn is_void(&self, position: u64) -> bool {
        let now = self.shared.clock.now();
        self.shared.journal.lock().is_void(&self.topic, position, now)
    }

    /// Whether the event is one that this hub will be given, and has not yet.
    fn will_be_delivered(&self, position: u64) -> bool {
        let journal = self.shared.journal.lock();
        journal.head().position < position
            && !self.shared.is_closed()
            && (!self.replication.is_selective || journal.topics.is_known(&self.topic))
    }

    fn published(&self, appended: &Appended) -> Published {
        let Appended { epoch, position, is_duplicate } = appended.clone();
        let subscribers = self.shared.journal.lock().topics.subscribers_of(&self.topic);
        Published::new(epoch, position, subscribers, is_duplicate)
    }
}

pub(crate) fn publish(
    shared: &Arc<Shared>,
    key: Option<Result<IdempotencyKey, FieldError>>,
    topic: Result<Topic, FieldError>,
    event: Event,
) -> Publish {
    let outcome = match &topic {
        Ok(topic) => begin(shared, key, topic, event),
        Err(error) => Err(PublishErrorCause::Topic(error.clone()).into()),
    };
    let outcome = outcome.unwrap_or_else(|error| Outcome::Known(Some(Err(error))));
    if let Outcome::Known(Some(outcome)) = &outcome {
        shared.counters.published(outcome.is_ok());
        if let Err(error) = outcome {
            tell_refused(topic.as_ref().ok(), error);
        }
    }
    Publish(outcome)
}

impl Shared {
    /// Counts a publication that was not even tried.
    pub(crate) fn refused(&self, error: PublishError) -> PublishError {
        self.counters.published(false);
        tell_refused(None, &error);
        error
    }
}

/// The caller learns of a publication that is its own fault; a log that fails is news for operators.
#[cold]
fn tell_refused(topic: Option<&Topic>, error: &PublishError) {
    let topic = topic.map(Topic::as_str);
    match error.kind() {
        PublishErrorKind::Log => {
            tracing::warn!(target: telling::PUBLISH, topic, reason = %error, "publication failed");
        }
        _ => {
            tracing::debug!(target: telling::PUBLISH, topic, reason = %error, "publication refused")
        }
    }
}

fn begin(
    shared: &Arc<Shared>,
    key: Option<Result<IdempotencyKey, FieldError>>,
    topic: &Topic,
    event: Event,
) -> Result<Outcome, PublishError> {
    let key = key.transpose().map_err(PublishErrorCause::Key)?;
    let body = accept(shared, &event, event.is_dispatched())?;
    let Some(replication) = &shared.replication else {
        let tags = event.tags().cloned();
        let entry = Entry { topic, body, tags, kind: EntryKind::Durable(key) };
        return Ok(Outcome::Known(Some(shared.append(entry))));
    };
    if shared.is_closed() {
        return Err(PublishErrorCause::Closed.into());
    }
    let (is_open, is_finished, seen) = {
        let mut journal = shared.journal.lock();
        let is_finished = journal.is_void(topic, u64::MAX, shared.clock.now());
        (journal.topics.is_open(topic), is_finished, Some(journal.head().position))
    };
    // Whether a key is known, only the log can say.
    if is_finished && key.is_none() {
        return Err(PublishErrorCause::Finished.into());
    }
    let (reply, answer) = Reply::new();
    let is_last = event.is_last();
    replication.log.append(Append { topic: topic.clone(), event, key, is_open, seen }, reply);
    Ok(Outcome::Appending(Appending {
        answer,
        appended: None,
        shared: shared.clone(),
        replication: replication.clone(),
        topic: topic.clone(),
        is_last,
        number: fastrand::u64(..),
    }))
}

pub(super) fn publish_ephemeral(
    shared: &Arc<Shared>,
    topic: Result<Topic, FieldError>,
    event: Event,
) -> Result<usize, PublishError> {
    let published = match &topic {
        Ok(topic) => send_ephemeral(shared, topic, &event),
        Err(error) => Err(PublishErrorCause::Topic(error.clone()).into()),
    };
    if let Err(error) = &published {
        shared.counters.published(false);
        tell_refused(topic.as_ref().ok(), error);
    }
    published
}

fn send_ephemeral(
    shared: &Arc<Shared>,
    topic: &Topic,
    event: &Event,
) -> Result<usize, PublishError> {
    let body = accept(shared, event, true)?;
    let tags = event.tags().cloned();
    let entry = Entry { topic, body, tags, kind: EntryKind::Ephemeral };
    let published = shared.append(entry)?;
    // After that: the others are not to have what is refused here.
    shared.signal(|cluster| cluster.ephemeral(topic, event));
    Ok(published.subscribers())
}

/// Room for the id that a durable event gets: `id: `, epoch, `-`, 20 digits, line end.
pub(super) const ID_ROOM: usize = 4 + Epoch::MAX_BYTES + 1 + 20 + 1;

/// Checks an event and encodes it, without its id and the blank line that ends it.
fn accept(shared: &Shared, event: &Event, is_dispatched: bool) -> Result<Vec<u8>, PublishError> {
    if event.id().is_some() {
        return Err(PublishErrorCause::HasId.into());
    }
    if event.name().is_some_and(EventName::is_reserved) {
        return Err(PublishErrorCause::ReservedName.into());
    }
    if !is_dispatched {
        return Err(PublishErrorCause::NotDispatched.into());
    }
    let limit = shared.defaults.max_event_bytes;
    encode::fields_within(event, ID_ROOM, limit)
        .map_err(|size| PublishErrorCause::TooLarge { size, limit }.into())
}
