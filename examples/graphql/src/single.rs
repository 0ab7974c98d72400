//! One stream for all operations of a client, which it reserves.
//!
//! A reservation is a topic: the operations publish to it, and the client is subscribed to it. So a client whose stream was cut
//! gets what it has missed, and the operations do not notice. If some of that is gone, the reservation ends.

use std::collections::HashMap;
use std::future::ready;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Request, Response, Value};
use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use parking_lot::Mutex;
use serde::Serialize;
use tidings_axum::tidings::error::{FieldError, PublishErrorKind, StreamError};
use tidings_axum::tidings::presence::{LEAVE_EVENT, Presence, topic_of};
use tidings_axum::tidings::{END_EVENT, EventId, EventName, Message, OverLimit, Resume, Status};
use tidings_axum::{Error, Event, History, Hub, Sse, SseRequest};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::chat::{self, Schema, failed};

/// How long a reservation waits for its stream.
const UNUSED: Duration = Duration::from_secs(30);

const MAX_RESERVATIONS: usize = 1_000;

/// Of one reservation, at a time.
const MAX_OPERATIONS: usize = 100;

/// A hub that knows which reservations are in use: by one stream at most, of which a new one takes the place.
pub(crate) fn hub() -> Result<Hub, FieldError> {
    let hub = Hub::builder().presence("graphql:*", Presence::default())?;
    Ok(hub.streams_per_principal(1).over_limit(OverLimit::Supersede).build())
}

/// The reservations by their tokens.
#[derive(Debug, Clone)]
pub(crate) struct Reservations {
    hub: Hub,
    reserved: Arc<Mutex<HashMap<String, Reservation>>>,
}

#[derive(Debug)]
struct Reservation {
    /// The principal, too. Both are in logs, so neither is the token, which is a secret.
    topic: String,
    /// The position after which its results come.
    start: EventId,
    had_stream: bool,
    /// By their ids, with what ends one when it is dropped. An id is in use until the operation has completed.
    operations: HashMap<String, Option<oneshot::Sender<()>>>,
}

/// The data of `next` and `complete`.
#[derive(Serialize)]
struct OfOperation<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Response>,
}

impl Reservations {
    pub(crate) fn new(hub: &Hub) -> Self {
        Self { hub: hub.clone(), reserved: Arc::default() }
    }

    /// Returns a token.
    pub(crate) fn reserve(&self) -> Result<(StatusCode, String), StatusCode> {
        let (token, topic) = (random()?, format!("graphql:{}", random()?));
        let reservation = Reservation {
            topic: topic.clone(),
            start: self.hub.position(),
            had_stream: false,
            operations: HashMap::new(),
        };
        let mut reserved = self.reserved.lock();
        if reserved.len() >= MAX_RESERVATIONS {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        reserved.insert(token.clone(), reservation);
        tokio::spawn(self.clone().forget_when_left(token.clone(), topic));
        Ok((StatusCode::CREATED, token))
    }

    async fn forget_when_left(self, token: String, topic: String) -> Result<(), Error> {
        let presence = self.hub.subscribe(topic_of(topic)?).history(History::All);
        let mut presence = presence.status(false).open()?.into_messages();
        if timeout(UNUSED, presence.next()).await.is_ok() {
            while presence
                .next()
                .await
                .is_some_and(|it| it.is_ok_and(|it| it.event() != LEAVE_EVENT))
            {}
        }
        self.reserved.lock().remove(&token);
        Ok(())
    }

    /// The stream of a reservation.
    pub(crate) fn connect(&self, token: &str, request: SseRequest) -> Result<Sse, StatusCode> {
        let mut resume = Resume::from(request);
        let topic = {
            let mut reserved = self.reserved.lock();
            let reservation = reserved.get_mut(token).ok_or(StatusCode::NOT_FOUND)?;
            // The first stream has nothing to go on from: an id in its request is of something else, such as a message.
            let had_stream = mem::replace(&mut reservation.had_stream, true);
            if !had_stream || resume.last_event_id().is_none() {
                resume = resume.with_last_event_id(reservation.start.as_str());
            }
            reservation.topic.clone()
        };
        let subscribe = resume.subscribe(&self.hub, topic.clone()).principal(topic).status(false);
        let stream = subscribe.open().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        // The protocol has no event for a gap.
        if let Status::Reset(_) = stream.status() {
            self.reserved.lock().remove(token);
            return Err(StatusCode::NOT_FOUND);
        }
        Ok(Sse::new(events(stream.into_messages())))
    }

    /// Starts an operation. It is refused if its id is in use, or if it gives nothing but an error.
    pub(crate) fn start(
        &self,
        schema: &Schema,
        token: &str,
        request: Request,
        resume: SseRequest,
    ) -> Result<axum::response::Response, StatusCode> {
        let Some(Value::String(id)) = request.extensions.get("operationId").cloned() else {
            return Err(StatusCode::BAD_REQUEST);
        };
        let (stop, stopped) = oneshot::channel();
        // Before anything is done.
        let topic = self.enter(token, &id, stop)?;
        let (results, progress) = chat::execute(schema, request, resume);
        let mut results = results.peekable();
        let first = results.next().now_or_never().flatten();
        if let Some(refused) = first.as_ref().filter(|it| it.is_err() && it.data == Value::Null)
            && let Some(None) = Pin::new(&mut results).peek().now_or_never()
        {
            self.forget(token, &id);
            return Ok((StatusCode::BAD_REQUEST, Json(refused)).into_response());
        }
        let (this, token) = (self.clone(), token.to_owned());
        tokio::spawn(async move {
            let cut = stream::once(async move {
                progress.is_cut().then(|| failed("the subscription was cut: start it again"))
            });
            let results = stream::iter(first).chain(results).take_until(stopped);
            let results = results.chain(cut.filter_map(ready));
            if let Err(error) = publish(&this.hub, &topic, &id, results).await {
                eprintln!("operation {id:?}: {error}");
            }
            this.forget(&token, &id);
        });
        Ok(StatusCode::ACCEPTED.into_response())
    }

    /// Takes an id for an operation. Returns the topic of its results.
    fn enter(
        &self,
        token: &str,
        operation: &str,
        stop: oneshot::Sender<()>,
    ) -> Result<String, StatusCode> {
        let mut reserved = self.reserved.lock();
        let reservation = reserved.get_mut(token).ok_or(StatusCode::NOT_FOUND)?;
        if reservation.operations.contains_key(operation) {
            return Err(StatusCode::CONFLICT);
        }
        if reservation.operations.len() >= MAX_OPERATIONS {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        reservation.operations.insert(operation.to_owned(), Some(stop));
        Ok(reservation.topic.clone())
    }

    /// Stops an operation. It may have come to its end by itself.
    pub(crate) fn stop(&self, token: &str, operation: &str) -> StatusCode {
        match self.reserved.lock().get_mut(token) {
            Some(reservation) => {
                if let Some(stop) = reservation.operations.get_mut(operation) {
                    *stop = None;
                }
                StatusCode::OK
            }
            None => StatusCode::NOT_FOUND,
        }
    }

    /// Makes the id of an operation free.
    fn forget(&self, token: &str, operation: &str) {
        if let Some(reservation) = self.reserved.lock().get_mut(token) {
            reservation.operations.remove(operation);
        }
    }
}

/// What nobody can guess.
fn random() -> Result<String, StatusCode> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bits)))
}

async fn publish(
    hub: &Hub,
    topic: &str,
    id: &str,
    results: impl Stream<Item = Response>,
) -> Result<(), Error> {
    let next = |result| Event::json("next", &OfOperation { id, payload: Some(result) });
    let mut results = pin!(results);
    while let Some(result) = results.next().await {
        match hub.publish(topic, next(result)?).await {
            // Others may be shorter.
            Err(error) if error.kind() == PublishErrorKind::TooLarge => {
                hub.publish(topic, next(failed(error.to_string()))?).await?;
            }
            published => {
                published?;
            }
        }
    }
    let complete = Event::json("complete", &OfOperation { id, payload: None })?;
    hub.publish(topic, complete).await?;
    Ok(())
}

/// The messages as they were published. The protocol has no event for the end of a stream: the connection ends.
fn events(
    messages: impl Stream<Item = Result<Message, StreamError>> + Send + 'static,
) -> impl Stream<Item = Result<Event, BoxError>> + Send + 'static {
    let is_sent = |message: &Result<Message, StreamError>| {
        let is_sent = !message.as_ref().is_ok_and(|message| message.event() == END_EVENT);
        ready(is_sent)
    };
    messages.filter(is_sent).map(|message| {
        let message = message?;
        let event = Event::new(message.data()).with_name(EventName::new(message.event())?);
        Ok(event.with_id(EventId::new(message.last_event_id())?))
    })
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts;

    use super::*;

    #[tokio::test]
    async fn what_is_in_logs_does_not_have_the_token() {
        let hub = hub().expect("a hub");
        let reservations = Reservations::new(&hub);
        let (_, token) = reservations.reserve().expect("a token");
        let (mut parts, ()) = axum::http::Request::new(()).into_parts();
        let request = SseRequest::from_request_parts(&mut parts, &()).await.expect("a request");
        let _stream = reservations.connect(&token, request).expect("a stream");
        let logged = format!("{:?} {:?}", hub.topics(), hub.clients().list());
        assert!(logged.contains("graphql:"), "{logged}");
        assert!(!logged.contains(&token), "{logged}");
    }
}
