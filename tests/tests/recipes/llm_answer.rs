use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tidings_axum::{Event, History, Hub, Sse, SseRequest};
use tokio::sync::oneshot;

#[derive(Clone, Default)]
struct App {
    hub: Hub,
    /// An answer stops when its sender is dropped.
    running: Arc<Mutex<HashMap<u64, oneshot::Sender<()>>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Token(String),
    Done,
}

/// `POST /answers`: begins an answer, and says which.
async fn ask(State(app): State<App>, Json(question): Json<String>) -> Json<u64> {
    let id = 17; // a random number, so that nobody can guess it; or check who asks, in `events`
    let (stop, stopped) = oneshot::channel();
    app.running.lock().unwrap().insert(id, stop);
    tokio::spawn(async move {
        if let Err(error) = answer(&app.hub, id, &question, stopped).await {
            eprintln!("answer {id} could not go on: {error}");
        }
        app.running.lock().unwrap().remove(&id);
    });
    Json(id)
}

async fn answer(
    hub: &Hub,
    id: u64,
    question: &str,
    stopped: oneshot::Receiver<()>,
) -> Result<(), tidings_axum::Error> {
    let topic = format!("answer:{id}");
    let tokens = stream::iter(question.split_inclusive(' ')); // the model's
    let mut tokens = pin!(tokens.take_until(stopped));
    while let Some(token) = tokens.next().await {
        hub.publish(&topic, Event::typed(&Answer::Token(token.to_owned()))?).await?;
    }
    hub.finish(&topic, Event::typed(&Answer::Done)?).await?;
    Ok(())
}

/// `GET /answers/{id}`: the whole answer so far, then the rest as it comes.
async fn events(State(app): State<App>, Path(id): Path<u64>, request: SseRequest) -> Sse {
    request.subscribe(&app.hub, format!("answer:{id}")).history(History::All).into()
}

/// `POST /answers/{id}/stop`. The answer itself says `done`, after its last token.
async fn stop(State(app): State<App>, Path(id): Path<u64>) -> StatusCode {
    app.running.lock().unwrap().remove(&id);
    StatusCode::NO_CONTENT
}
