//! OpenAI's Chat Completions: `POST /v1/chat/completions`, and `GET` of one.
//!
//! These streams cannot be resumed. Who has lost one takes the whole answer when it is there: `chat.completions.retrieve`.
//! Nor can they be stopped; `DELETE /answers/{id}` does it, with the id without `chatcmpl-`.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_axum::tidings::Event;
use tidings_axum::tidings::error::EventError;

use crate::App;
use crate::answer::{Answer, AnswerId, End, Part};
use crate::question::{self, Message};
use crate::refused::{self, Refused};
use crate::stream;

const PREFIX: &str = "chatcmpl-";

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/v1/chat/completions", post(create))
        .route("/v1/chat/completions/{id}", get(retrieve))
        .layer(map_response(|response| refused::in_words_of(openai_error, response)))
}

/// A refusal in the words of OpenAI.
pub(crate) fn openai_error(refused: &Refused) -> Value {
    let kind = match refused {
        Refused::Invalid(_) | Refused::NotFound => "invalid_request_error",
        Refused::Busy => "rate_limit_exceeded",
        Refused::Failed(_) | Refused::Unavailable => "server_error",
    };
    json!({ "error": { "message": refused.to_string(), "type": kind, "param": null, "code": null } })
}

#[derive(Debug, Deserialize)]
struct Request {
    model: String,
    messages: Vec<Message>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StreamOptions {
    include_usage: bool,
}

async fn create(
    State(app): State<App>,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = request?;
    let id = app.answers.begin(&request.model, question::last(&request.messages)?).await?;
    if request.stream != Some(true) {
        return completion(&app.answers.whole(&id).await?);
    }
    let StreamOptions { include_usage } = request.stream_options.unwrap_or_default();
    let chunks = move |answer: &Answer, part: &Part| chunks(answer, part, include_usage);
    Ok(app.stream(&id, chunks).await?.into_response())
}

/// Answers when the completion is whole.
async fn retrieve(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Refused> {
    let id: AnswerId = id.strip_prefix(PREFIX).ok_or(Refused::NotFound)?.parse()?;
    completion(&app.answers.whole(&id).await?)
}

/// An answer that was stopped was not too long: clients ask a model to go on from there.
const FINISH_REASON: &str = "stop";

fn completion(answer: &Answer) -> Result<Response, Refused> {
    if let Some(End::Failed(message)) = &answer.end {
        return Err(Refused::Failed(message.clone()));
    }
    let message = json!({ "role": "assistant", "content": answer.text, "refusal": null });
    let choice =
        json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": FINISH_REASON });
    let mut completion = object(answer, "chat.completion", json!([choice]));
    completion["usage"] = usage(answer);
    Ok(Json(completion).into_response())
}

/// The chunks of a part: a delta, and after the last one the usage, if it is asked for.
fn chunks(answer: &Answer, part: &Part, include_usage: bool) -> Result<Vec<Event>, EventError> {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = object(answer, "chat.completion.chunk", choices);
        if include_usage {
            chunk["usage"] = usage;
        }
        Event::json_data(&chunk)
    };
    let delta = |delta: Value, reason: Option<&str>| {
        let choice =
            json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason });
        chunk(json!([choice]), Value::Null)
    };
    Ok(match part {
        Part::Begun(_) => vec![delta(json!({ "role": "assistant", "content": "" }), None)?],
        Part::Token(token) => vec![delta(json!({ "content": token }), None)?],
        Part::Ended(End::Failed(message)) => {
            vec![Event::json_data(&openai_error(&Refused::Failed(message.clone())))?]
        }
        Part::Ended(End::Done | End::Stopped) => {
            let mut chunks = vec![delta(json!({}), Some(FINISH_REASON))?];
            if include_usage {
                chunks.push(chunk(json!([]), usage(answer))?);
            }
            chunks.push(stream::done());
            chunks
        }
    })
}

fn object(answer: &Answer, object: &str, choices: Value) -> Value {
    let Answer { id, begun, .. } = answer;
    json!({
        "id": format!("{PREFIX}{id}"),
        "object": object,
        "created": begun.created,
        "model": begun.model,
        "choices": choices,
    })
}

fn usage(answer: &Answer) -> Value {
    let (question, answer) = (answer.begun.tokens(), answer.tokens);
    json!({ "prompt_tokens": question, "completion_tokens": answer, "total_tokens": question + answer })
}
