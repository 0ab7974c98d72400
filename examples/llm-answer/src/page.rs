//! A page that asks, shows answers as they come, and stops them: `/answers`, in Tidings' own format.

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tidings_axum::{History, Sse, SseRequest};

use crate::App;
use crate::answer::AnswerId;
use crate::refused::Refused;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .route("/tidings.js", get(script))
        .route("/answers", post(ask))
        .route("/answers/{id}", get(events).delete(stop))
}

#[derive(Debug, Deserialize)]
struct Question {
    question: String,
}

#[derive(Debug, Serialize)]
struct Asked {
    id: AnswerId,
}

async fn ask(
    State(app): State<App>,
    question: Result<Json<Question>, JsonRejection>,
) -> Result<Json<Asked>, Refused> {
    let Json(Question { question }) = question?;
    Ok(Json(Asked { id: app.answers.begin("fake", question).await? }))
}

/// The whole answer so far, then the rest as it comes. Who has all of it is answered with 204.
async fn events(
    State(app): State<App>,
    Path(id): Path<String>,
    request: SseRequest,
) -> Result<Sse, Refused> {
    let id: AnswerId = id.parse()?;
    app.answers.find(&id).await?;
    Ok(request.subscribe(&app.answers.hub, id.topic()).history(History::All).into())
}

async fn stop(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Refused> {
    app.answers.stop(&id.parse()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn script(headers: HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let headers = [
        (header::CONTENT_TYPE, tidings_client::CONTENT_TYPE),
        (header::ETAG, tidings_client::ETAG),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    match known.is_some_and(tidings_client::is_current) {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, tidings_client::JS).into_response(),
    }
}
