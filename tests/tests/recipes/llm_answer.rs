use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use tidings_axum::{Error, Event, History, Hub, Sse, SseRequest};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Part {
    Token(String),
    Done,
    Stopped,
}

/// `POST /answers`: begins an answer, and says which.
async fn ask(State(hub): State<Hub>, Json(question): Json<String>) -> Json<String> {
    // 128 random bits, so that nobody can guess it. As text: numbers of JSON are exact up to 2^53.
    let id = "17".to_owned();
    tokio::spawn({
        let id = id.clone();
        async move {
            if let Err(error) = answer(&hub, &id, &question).await {
                eprintln!("answer {id} does not go on: {error}");
            }
        }
    });
    Json(id)
}

async fn answer(hub: &Hub, id: &str, question: &str) -> Result<(), Error> {
    let topic = format!("answer:{id}");
    let mut tokens = stream::iter(question.split_inclusive(' ')); // the model's
    while let Some(token) = tokens.next().await {
        hub.publish(&topic, Event::typed(&Part::Token(token.to_owned()))?).await?;
    }
    hub.finish(&topic, Event::typed(&Part::Done)?).await?;
    Ok(())
}

/// `GET /answers/{id}`: the whole answer so far, then the rest as it comes.
async fn events(State(hub): State<Hub>, Path(id): Path<String>, request: SseRequest) -> Sse {
    request.subscribe(&hub, format!("answer:{id}")).history(History::All).into()
}

/// `POST /answers/{id}/stop` (in the example, `DELETE /answers/{id}`): nothing follows a last event, so the next token is refused.
async fn stop(State(hub): State<Hub>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    hub.finish(format!("answer:{id}"), Event::typed(&Part::Stopped)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
