//! One stream for all operations of a client, which it reserves.
//!
//! A reservation is a topic: the operations publish to it, and the client is subscribed to it. So a client whose stream was cut
//! gets what it has missed, and the operations do not notice.

use std::collections::{HashMap, hash_map::Entry};
use std::future::ready;
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
use tidings_axum::tidings::{END_EVENT, EventId, EventName, Message, OverLimit};
use tidings_axum::{Error, Event, History, Hub, Sse, SseRequest};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::chat::{self, Schema, failed};

/// How long a reservation waits for its stream.
const UNUSED: Duration = Duration::from_secs(30);

/// A hub that knows which reservations are in use: by one stream at most, of which a new one takes the place.
pub(crate) fn hub() -> Result<Hub, FieldError> {
    let hub = Hub::builder().presence("graphql:*", Presence::default())?;
    Ok(hub.streams_per_principal(1).over_limit(OverLimit::Supersede).build())
}

fn topic(token: &str) -> String {
    format!("graphql:{token}")
}

/// Operations by their ids, with what ends one when it is dropped. An id is in use until the operation has completed.
type Operations = HashMap<String, Option<oneshot::Sender<()>>>;

/// The operations of each reservation.
#[derive(Debug, Clone)]
pub(crate) struct Reservations {
    hub: Hub,
    operations: Arc<Mutex<HashMap<String, Operations>>>,
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
        Self { hub: hub.clone(), operations: Arc::default() }
    }

    /// Returns a token that nobody can guess.
    pub(crate) fn reserve(&self) -> Result<(StatusCode, String), StatusCode> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        let token = format!("{:032x}", u128::from_ne_bytes(bits));
        self.operations.lock().insert(token.clone(), HashMap::new());
        tokio::spawn(self.clone().forget_when_left(token.clone()));
        Ok((StatusCode::CREATED, token))
    }

    async fn forget_when_left(self, token: String) -> Result<(), Error> {
        let presence = self.hub.subscribe(topic_of(topic(&token))?).history(History::All);
        let mut presence = presence.status(false).open()?.into_messages();
        if timeout(UNUSED, presence.next()).await.is_ok() {
            while presence
                .next()
                .await
                .is_some_and(|it| it.is_ok_and(|it| it.event() != LEAVE_EVENT))
            {}
        }
        self.operations.lock().remove(&token);
        Ok(())
    }

    /// The stream of a reservation.
    pub(crate) fn connect(&self, token: &str, resume: &SseRequest) -> Result<Sse, StatusCode> {
        if !self.operations.lock().contains_key(token) {
            return Err(StatusCode::NOT_FOUND);
        }
        let subscribe = resume.subscribe(&self.hub, topic(token)).principal(token);
        // What was published before the stream was opened is for it.
        let subscribe = subscribe.history(History::All).status(false);
        let stream = subscribe.open().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        Ok(Sse::new(events(stream.into_messages())))
    }

    /// Starts an operation. It is refused if its id is in use, or if it gives nothing but an error.
    pub(crate) fn start(
        &self,
        schema: &Schema,
        token: &str,
        request: Request,
        resume: SseRequest,
    ) -> axum::response::Response {
        let Some(Value::String(id)) = request.extensions.get("operationId").cloned() else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let (stop, stopped) = oneshot::channel();
        // Before anything is done.
        match self.operations.lock().get_mut(token).map(|it| it.entry(id.clone())) {
            Some(Entry::Vacant(operation)) => {
                operation.insert(Some(stop));
            }
            Some(Entry::Occupied(_)) => return StatusCode::CONFLICT.into_response(),
            None => return StatusCode::NOT_FOUND.into_response(),
        }
        let (results, progress) = chat::execute(schema, request, resume);
        let mut results = results.peekable();
        let first = results.next().now_or_never().flatten();
        if let Some(refused) = first.as_ref().filter(|it| it.is_err() && it.data == Value::Null)
            && let Some(None) = Pin::new(&mut results).peek().now_or_never()
        {
            self.forget(token, &id);
            return (StatusCode::BAD_REQUEST, Json(refused)).into_response();
        }
        let (this, token) = (self.clone(), token.to_owned());
        tokio::spawn(async move {
            let cut = stream::once(async move {
                progress.is_cut().then(|| failed("the subscription was cut: start it again"))
            });
            let results = stream::iter(first).chain(results).take_until(stopped);
            let results = results.chain(cut.filter_map(ready));
            if let Err(error) = publish(&this.hub, &topic(&token), &id, results).await {
                eprintln!("operation {id}: {error}");
            }
            this.forget(&token, &id);
        });
        StatusCode::ACCEPTED.into_response()
    }

    /// Stops an operation. It may have come to its end by itself.
    pub(crate) fn stop(&self, token: &str, operation: &str) -> StatusCode {
        match self.operations.lock().get_mut(token) {
            Some(operations) => {
                if let Some(stop) = operations.get_mut(operation) {
                    *stop = None;
                }
                StatusCode::OK
            }
            None => StatusCode::NOT_FOUND,
        }
    }

    /// Makes the id of an operation free.
    fn forget(&self, token: &str, operation: &str) {
        if let Some(operations) = self.operations.lock().get_mut(token) {
            operations.remove(operation);
        }
    }
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
