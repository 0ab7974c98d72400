//! OpenAI's Responses: `POST /v1/responses`, `GET` of one, also as a stream that goes on after the event that a client has
//! (`starting_after`), and `POST /v1/responses/{id}/cancel`.
//!
//! Each response is one of the background: it goes on without its request.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_axum::Sse;
use tidings_axum::tidings::Event;
use tidings_axum::tidings::error::EventError;

use crate::App;
use crate::answer::{Answer, AnswerId, End, Part};
use crate::openai_chat::openai_error;
use crate::question::{self, Message};
use crate::refused::{self, Refused};
use crate::stream;

const PREFIX: &str = "resp_";

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/v1/responses", post(create))
        .route("/v1/responses/{id}", get(retrieve))
        .route("/v1/responses/{id}/cancel", post(cancel))
        .layer(map_response(|response| refused::in_words_of(openai_error, response)))
}

#[derive(Debug, Deserialize)]
struct Request {
    model: String,
    input: Input,
    stream: Option<bool>,
    background: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Messages(Vec<Message>),
}

async fn create(
    State(app): State<App>,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = request?;
    let question = match request.input {
        Input::Text(text) => text,
        Input::Messages(messages) => question::last(&messages)?,
    };
    let id = app.answers.begin(&request.model, question).await?;
    let answer = match (request.stream == Some(true), request.background == Some(true)) {
        (true, _) => return Ok(events(&app, &id, None).await?.into_response()),
        (false, true) => app.answers.so_far(&id).await?,
        (false, false) => app.answers.whole(&id).await?,
    };
    Ok(Json(response(&answer)).into_response())
}

#[derive(Debug, Deserialize)]
struct Retrieve {
    #[serde(default)]
    stream: bool,
    starting_after: Option<u64>,
}

async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
    retrieve: Result<Query<Retrieve>, QueryRejection>,
) -> Result<Response, Refused> {
    let Query(retrieve) = retrieve?;
    let id = id_of(&id)?;
    if retrieve.stream {
        return Ok(events(&app, &id, retrieve.starting_after).await?.into_response());
    }
    Ok(Json(response(&app.answers.so_far(&id).await?)).into_response())
}

async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Refused> {
    let id = id_of(&id)?;
    app.answers.stop(&id).await?;
    Ok(Json(response(&app.answers.so_far(&id).await?)))
}

fn id_of(id: &str) -> Result<AnswerId, Refused> {
    Ok(id.strip_prefix(PREFIX).ok_or(Refused::NotFound)?.parse()?)
}

/// The events after the one with the number that the client has.
async fn events(app: &App, id: &AnswerId, after: Option<u64>) -> Result<Sse, Refused> {
    let mut next = 0;
    app.stream(id, move |answer, part| {
        let mut events = Vec::new();
        for (name, mut fields) in events_of(answer, part) {
            fields["sequence_number"] = next.into();
            if after.is_none_or(|after| next > after) {
                events.push(stream::named(name, fields)?);
            }
            next += 1;
        }
        Ok::<Vec<Event>, EventError>(events)
    })
    .await
}

fn events_of(answer: &Answer, part: &Part) -> Vec<(&'static str, Value)> {
    let of_text = |name, mut fields: Value| {
        fields["item_id"] = item_id(answer).into();
        fields["output_index"] = 0.into();
        fields["content_index"] = 0.into();
        (name, fields)
    };
    let of_item = |name| (name, json!({ "output_index": 0, "item": item(answer) }));
    let of_response = |name| (name, json!({ "response": response(answer) }));
    match part {
        Part::Begun(_) => {
            let mut empty = item(answer);
            empty["content"] = json!([]);
            vec![
                of_response("response.created"),
                of_response("response.in_progress"),
                ("response.output_item.added", json!({ "output_index": 0, "item": empty })),
                of_text("response.content_part.added", json!({ "part": text(answer) })),
            ]
        }
        Part::Token(token) => {
            let delta = json!({ "delta": token, "logprobs": [] });
            vec![of_text("response.output_text.delta", delta)]
        }
        Part::Ended(end) => vec![
            of_text("response.output_text.done", json!({ "text": answer.text, "logprobs": [] })),
            of_text("response.content_part.done", json!({ "part": text(answer) })),
            of_item("response.output_item.done"),
            of_response(match end {
                End::Done => "response.completed",
                End::Stopped => "response.incomplete",
                End::Failed(_) => "response.failed",
            }),
        ],
    }
}

fn item_id(answer: &Answer) -> String {
    format!("msg_{}", answer.id)
}

fn text(answer: &Answer) -> Value {
    json!({ "type": "output_text", "text": answer.text, "annotations": [], "logprobs": [] })
}

/// The one item of a response's output.
fn item(answer: &Answer) -> Value {
    let status = match answer.end {
        None => "in_progress",
        Some(End::Done) => "completed",
        Some(End::Stopped | End::Failed(_)) => "incomplete",
    };
    json!({
        "id": item_id(answer),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [text(answer)],
    })
}

fn response(answer: &Answer) -> Value {
    let (status, error) = match &answer.end {
        None => ("in_progress", Value::Null),
        Some(End::Done) => ("completed", Value::Null),
        Some(End::Stopped) => ("cancelled", Value::Null),
        Some(End::Failed(message)) => {
            ("failed", json!({ "code": "server_error", "message": message }))
        }
    };
    let is_empty = answer.end.is_none() && answer.text.is_empty();
    json!({
        "id": format!("{PREFIX}{}", answer.id),
        "object": "response",
        "created_at": answer.begun.created,
        "status": status,
        "background": true,
        "error": error,
        "incomplete_details": null,
        "instructions": null,
        "metadata": {},
        "model": answer.begun.model,
        "output": if is_empty { json!([]) } else { json!([item(answer)]) },
        "parallel_tool_calls": true,
        "temperature": null,
        "tool_choice": "auto",
        "tools": [],
        "top_p": null,
        "usage": answer.end.as_ref().map(|_| usage(answer)),
    })
}

fn usage(answer: &Answer) -> Value {
    let (question, answer) = (answer.begun.tokens(), answer.tokens);
    json!({
        "input_tokens": question,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": answer,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": question + answer,
    })
}
