use axum::extract::{Path, State};
use futures_util::{TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use tidings_axum::{Error, Event, History, Hub, Sse};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Part {
    Token(String),
    Done,
    Stopped,
}

/// `GET /answers/{id}/chunks`: an answer from its first token on, in a format of somebody else.
async fn chunks(State(hub): State<Hub>, Path(id): Path<String>) -> Result<Sse, Error> {
    let parts = hub.subscribe(format!("answer:{id}")).history(History::All).status(false);
    let chunks = stream::try_unfold(Some(parts.open()?.into_messages()), async |messages| {
        let Some(mut messages) = messages else { return Ok(None) };
        // An end without a last part is an error, or clients take half an answer for whole.
        let part = messages.try_next().await?.ok_or("the hub is closed")?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Some(match part.typed()? {
            Part::Token(token) => (Event::json_data(&json!({ "delta": token }))?, Some(messages)),
            Part::Done | Part::Stopped => (Event::new("[DONE]"), None),
        }))
    });
    Ok(Sse::new(chunks))
}
