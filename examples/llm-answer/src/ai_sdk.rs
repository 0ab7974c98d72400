//! The chats of Vercel's AI SDK, for `useChat`: `POST /api/chat`, and the stream of a chat's newest answer for a page that was
//! loaded again.
//!
//! A chat is a topic, too, which has the name of the answer to each message. An application has them in its database.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidings_axum::tidings::error::EventError;
use tidings_axum::{Event, History, Topic};

use crate::App;
use crate::answer::{Answer, AnswerId, End, Part};
use crate::question::{self, Message};
use crate::refused::{self, Refused};
use crate::stream::done;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/api/chat", post(send))
        .route("/api/chat/{id}", get(read))
        .route("/api/chat/{id}/stream", get(resume).delete(stop))
        .layer(map_response(|response| refused::in_words_of(error, response)))
}

fn error(refused: &Refused) -> Value {
    json!({ "error": refused.to_string() })
}

#[derive(Debug, Deserialize)]
struct Request {
    id: String,
    messages: Vec<Value>,
}

/// A message of the user, as it was sent, and the answer to it.
#[derive(Debug, Serialize, Deserialize)]
struct Turn {
    message: Value,
    answer: AnswerId,
}

async fn send(
    State(app): State<App>,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(Request { id, mut messages }) = request?;
    let topic = topic(&id)?;
    let message = messages.pop().unwrap_or_default();
    let question = Message::deserialize(&message);
    let question = question.map_err(|error| Refused::Invalid(error.to_string()))?;
    let answer = app.answers.begin("fake", question::last(&[question])?).await?;
    let turn = Turn { message, answer: answer.clone() };
    if let Err(error) = app.answers.hub.publish(topic, Event::json_data(&turn)?).await {
        // Nobody could read it, or stop it.
        app.answers.stop(&answer).await?;
        return Err(error.into());
    }
    chunks(&app, &answer).await
}

/// The messages of a chat, for a page that is loaded: those of the user, and the answers that have ended.
async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    let mut messages = Vec::new();
    for Turn { message, answer } in turns(&app, &id, History::All).await? {
        // An answer that is asked for again takes the place of the one before it.
        if let Some(again) = messages.iter().position(|it: &Value| it["id"] == message["id"]) {
            messages.truncate(again);
        }
        messages.push(message);
        match app.answers.so_far(&answer).await {
            Ok(answer) if answer.end.is_some() => {
                let part = json!({ "type": "text", "text": answer.text, "state": "done" });
                let id = message_id(&answer.id);
                messages.push(json!({ "id": id, "role": "assistant", "parts": [part] }));
            }
            Ok(_) | Err(Refused::NotFound) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(Json(messages.into()))
}

#[derive(Debug, Deserialize)]
struct Resume {
    /// The id of the last message that the page has whole, if it says so.
    after: Option<String>,
}

/// The newest answer of a chat from its beginning, whether it has ended or not; or 204, if there is none, or the page has it.
///
/// A page that does not say what it has may lack an answer that has ended: since it was loaded, or since its stream was cut. One
/// that has it shows it once all the same, because the message has the same id.
async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(Resume { after }): Query<Resume>,
) -> Result<Response, Refused> {
    let newest = turns(&app, &id, History::Last(1)).await?.pop().map(|turn| turn.answer);
    match newest.filter(|answer| after.is_none_or(|after| after != message_id(answer))) {
        Some(answer) => match chunks(&app, &answer).await {
            Err(Refused::NotFound) => Ok(StatusCode::NO_CONTENT.into_response()),
            resumed => resumed,
        },
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Stops the newest answer. That a client goes away, which is all that `stop()` of `useChat` does, stops nothing.
async fn stop(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    let turn = turns(&app, &id, History::Last(1)).await?.pop().ok_or(Refused::NotFound)?;
    app.answers.stop(&turn.answer).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The client chooses the id of a chat.
fn topic(chat: &str) -> Result<Topic, Refused> {
    Topic::new(format!("chat:{chat}")).map_err(|error| Refused::Invalid(error.to_string()))
}

async fn turns(app: &App, chat: &str, history: History) -> Result<Vec<Turn>, Refused> {
    let turns = app.answers.hub.history(topic(chat)?, history).await?.events;
    turns.iter().map(|turn| Ok(turn.json()?)).collect()
}

async fn chunks(app: &App, id: &AnswerId) -> Result<Response, Refused> {
    let sse = app.stream(id, chunks_of).await?;
    Ok(([("x-vercel-ai-ui-message-stream", "v1")], sse).into_response())
}

fn chunks_of(answer: &Answer, part: &Part) -> Result<Vec<Event>, EventError> {
    const TEXT: &str = "text";
    let text_end = || json!({ "type": "text-end", "id": TEXT });
    let chunks = match part {
        Part::Begun(_) => vec![
            json!({ "type": "start", "messageId": message_id(&answer.id) }),
            json!({ "type": "text-start", "id": TEXT }),
        ],
        Part::Token(token) => vec![json!({ "type": "text-delta", "id": TEXT, "delta": token })],
        Part::Ended(End::Done) => {
            vec![text_end(), json!({ "type": "finish", "finishReason": "stop" })]
        }
        Part::Ended(End::Stopped) => {
            vec![text_end(), json!({ "type": "abort", "reason": "stopped" })]
        }
        Part::Ended(End::Failed(message)) => {
            vec![json!({ "type": "error", "errorText": message })]
        }
    };
    let events = chunks.iter().map(Event::json_data);
    events.chain(answer.end.iter().map(|_| Ok(done()))).collect()
}

fn message_id(answer: &AnswerId) -> String {
    format!("msg-{answer}")
}
