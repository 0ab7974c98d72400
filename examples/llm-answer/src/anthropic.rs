//! Anthropic's Messages: `POST /v1/messages`.
//!
//! These streams can neither be resumed nor stopped. The answer goes on, and `/answers/{id}` has and stops it, with the id
//! without `msg_`.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_axum::tidings::Event;
use tidings_axum::tidings::error::EventError;

use crate::App;
use crate::answer::{Answer, End, Part};
use crate::question::{self, Message};
use crate::refused::{self, Refused};
use crate::stream::named;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/v1/messages", post(create))
        .layer(map_response(|response| refused::in_words_of(error, response)))
}

fn error(refused: &Refused) -> Value {
    let kind = match refused {
        Refused::Invalid(_) => "invalid_request_error",
        Refused::NotFound => "not_found_error",
        Refused::Busy => "rate_limit_error",
        Refused::Failed(_) => "api_error",
        Refused::Unavailable => "overloaded_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": refused.to_string() } })
}

#[derive(Debug, Deserialize)]
struct Request {
    model: String,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
}

async fn create(
    State(app): State<App>,
    request: Result<Json<Request>, JsonRejection>,
) -> Result<Response, Refused> {
    let Json(request) = request?;
    let id = app.answers.begin(&request.model, question::last(&request.messages)?).await?;
    if request.stream {
        return Ok(app.stream(&id, events).await?.into_response());
    }
    let answer = app.answers.whole(&id).await?;
    match &answer.end {
        Some(End::Failed(message)) => Err(Refused::Failed(message.clone())),
        _ => Ok(Json(message(&answer)).into_response()),
    }
}

fn events(answer: &Answer, part: &Part) -> Result<Vec<Event>, EventError> {
    match part {
        Part::Begun(_) => vec![
            named("message_start", json!({ "message": message(answer) })),
            named("content_block_start", json!({ "index": 0, "content_block": text("") })),
            named("ping", json!({})),
        ],
        Part::Token(token) => {
            let delta = json!({ "type": "text_delta", "text": token });
            vec![named("content_block_delta", json!({ "index": 0, "delta": delta }))]
        }
        Part::Ended(End::Failed(message)) => {
            vec![named("error", error(&Refused::Failed(message.clone())))]
        }
        Part::Ended(End::Done | End::Stopped) => {
            let delta = json!({ "stop_reason": stop_reason(answer), "stop_sequence": null });
            let usage = json!({ "output_tokens": answer.tokens });
            vec![
                named("content_block_stop", json!({ "index": 0 })),
                named("message_delta", json!({ "delta": delta, "usage": usage })),
                named("message_stop", json!({})),
            ]
        }
    }
    .into_iter()
    .collect()
}

fn message(answer: &Answer) -> Value {
    let content = if answer.end.is_some() { json!([text(&answer.text)]) } else { json!([]) };
    json!({
        "id": format!("msg_{}", answer.id),
        "type": "message",
        "role": "assistant",
        "model": answer.begun.model,
        "content": content,
        "stop_reason": stop_reason(answer),
        "stop_sequence": null,
        "usage": { "input_tokens": answer.begun.tokens(), "output_tokens": answer.tokens },
    })
}

/// An answer that was stopped was not too long: clients ask a model to go on from there.
fn stop_reason(answer: &Answer) -> Option<&'static str> {
    answer.end.as_ref().map(|_| "end_turn")
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}
