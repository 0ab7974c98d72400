//! The schema: a topic as a query, a mutation and a subscription.

use std::future::ready;
use std::sync::Arc;

use async_graphql::parser::types::{OperationDefinition, OperationType};
use async_graphql::{
    Context, Error, ErrorExtensions, ID, Name, Object, Request, Response, Result, ServerError,
    SimpleObject,
};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings_axum::tidings::error::StreamError;
use tidings_axum::tidings::{END_EVENT, EventId, Message, Resume, STATUS_EVENT};
use tidings_axum::{Event, History, Hub, SseRequest};

use crate::size::is_too_large;

pub(crate) type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

const TOPIC: &str = "chat";
const SHOWN: usize = 20;

/// How many fields a query may have, those of each message that it shows among them. Tools that ask for the whole schema have
/// some 220.
const MAX_FIELDS: usize = 256;

pub(crate) fn schema(hub: &Hub) -> Schema {
    let schema = Schema::build(Query, Mutation, Subscription).data(hub.clone());
    schema.limit_complexity(MAX_FIELDS).finish()
}

/// The results of a request, and how far they are.
pub(crate) fn execute(
    schema: &Schema,
    mut request: Request,
    resume: SseRequest,
) -> (BoxStream<'static, Response>, Progress) {
    let progress = Progress::default();
    if let Some(refused) = refusal(&mut request) {
        return (stream::once(ready(refused)).boxed(), progress);
    }
    let request = request.data(Resume::from(resume)).data(progress.clone());
    (schema.execute_stream(request), progress)
}

/// The result of a request that is no subscription.
pub(crate) async fn answer(schema: &Schema, mut request: Request) -> Response {
    match refusal(&mut request) {
        Some(refused) => refused,
        None => schema.execute(request).await,
    }
}

/// Why a request is not executed.
fn refusal(request: &mut Request) -> Option<Response> {
    if request.parsed_query().is_ok_and(is_too_large) {
        return Some(failed("query is too large"));
    }
    let operation = operation(request)?;
    // The position of one field is not that of another.
    let is_refused =
        operation.ty == OperationType::Subscription && operation.selection_set.node.items.len() > 1;
    is_refused.then(|| failed("subscription has more than one field"))
}

pub(crate) fn is_mutation(request: &mut Request) -> bool {
    operation(request).is_some_and(|operation| operation.ty == OperationType::Mutation)
}

/// What a request asks for, if that can be told.
fn operation(request: &mut Request) -> Option<&OperationDefinition> {
    let name = request.operation_name.clone();
    let is_asked_for =
        |it: Option<&Name>| name.is_none() || it.map(Name::as_str) == name.as_deref();
    let mut operations = request.parsed_query().ok()?.operations.iter();
    operations.find(|(it, _)| is_asked_for(*it)).map(|(_, operation)| &operation.node)
}

/// A result that is only an error.
pub(crate) fn failed(message: impl Into<String>) -> Response {
    Response::from_errors(vec![ServerError::new(message, None)])
}

/// What is published.
#[derive(Serialize, Deserialize)]
struct Said {
    text: String,
}

/// What somebody has said.
#[derive(SimpleObject)]
struct ChatMessage {
    /// Where a client goes on, if it sends this as `Last-Event-ID`.
    id: ID,
    text: String,
}

impl TryFrom<&Message> for ChatMessage {
    type Error = Error;

    fn try_from(message: &Message) -> Result<Self> {
        let Said { text } = message.json()?;
        Ok(Self { id: message.last_event_id().into(), text })
    }
}

pub(crate) struct Query;

#[Object]
impl Query {
    /// What was said last.
    #[graphql(complexity = "SHOWN * child_complexity")]
    async fn messages(&self, context: &Context<'_>) -> Result<Vec<ChatMessage>> {
        let history = context.data::<Hub>()?.history(TOPIC, History::Last(SHOWN)).await?;
        history.events.iter().map(ChatMessage::try_from).collect()
    }
}

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    /// Says something.
    async fn say(
        &self,
        context: &Context<'_>,
        #[graphql(validator(chars_max_length = 2000))] text: String,
    ) -> Result<ID> {
        let event = Event::json_data(&Said { text })?;
        let published = context.data::<Hub>()?.publish(TOPIC, event).await?;
        Ok(published.id().to_string().into())
    }
}

pub(crate) struct Subscription;

#[async_graphql::Subscription]
impl Subscription {
    /// What was said last, or since the client's last message, and then what is said. What was missed and is gone is said by
    /// an error with the code `RESET`.
    async fn messages(
        &self,
        context: &Context<'_>,
    ) -> Result<impl Stream<Item = Result<ChatMessage>> + use<>> {
        let progress = context.data::<Progress>()?.clone();
        let subscribe = context.data::<Resume>()?.subscribe(context.data::<Hub>()?, TOPIC);
        let messages = subscribe.history(History::Last(SHOWN)).open()?.into_messages();
        // No subscription completes by itself.
        let messages = messages.map(Some).chain(stream::once(ready(None)));
        Ok(messages.filter_map(move |message| ready(progress.note(message))))
    }
}

/// How far a subscription is. It reads no further than what it was asked for, so this is about its latest result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    position: Option<EventId>,
    is_cut: bool,
}

impl Progress {
    /// The position of the latest result, once.
    pub(crate) fn take_position(&self) -> Option<EventId> {
        self.0.lock().position.take()
    }

    /// Whether there is more, which the client gets when it comes back.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.lock().is_cut
    }

    /// Takes what comes; `None` is the end of the stream.
    fn note(&self, message: Option<Result<Message, StreamError>>) -> Option<Result<ChatMessage>> {
        let message = match message {
            Some(Ok(message)) if message.event() == STATUS_EVENT => {
                return message.data().contains(r#""reset""#).then(|| {
                    let error = Error::new("messages were missed that are gone");
                    Err(error.extend_with(|_, fields| fields.set("code", "RESET")))
                });
            }
            // The hub ends it, or the client was too slow.
            Some(Ok(message)) if message.event() == END_EVENT => None,
            Some(Ok(message)) => Some(message),
            Some(Err(_)) | None => None,
        };
        let mut state = self.0.lock();
        match message {
            Some(message) => {
                state.position = message.id().and_then(|id| EventId::new(id).ok());
                Some(ChatMessage::try_from(&message))
            }
            None => {
                state.is_cut = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_subscription_that_the_hub_closes_is_cut() {
        let hub = Hub::new();
        let progress = Progress::default();
        let request = Request::new("subscription { messages { text } }");
        let request = request.data(Resume::new()).data(progress.clone());
        // Its stream ends at once.
        hub.close();
        let results = schema(&hub).execute_stream(request).collect::<Vec<_>>();
        let results = timeout(Duration::from_secs(10), results).await.expect("an end");
        assert!(results.is_empty(), "{results:?}");
        assert!(progress.is_cut());
    }
}
