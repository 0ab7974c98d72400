use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tidings_axum::tidings::EventId;
use tidings_axum::{Error, Event, History, Hub, Sse, SseRequest};

#[derive(Clone, Default)]
struct App {
    hub: Hub,
    /// The id of each import's last event.
    ended: std::sync::Arc<std::sync::Mutex<std::collections::HashMap<String, EventId>>>,
}

async fn end(app: &App, import: &str) -> Result<(), Error> {
    let last = app.hub.publish(format!("import:{import}"), Event::named("done", "")?).await?;
    app.ended.lock().unwrap().insert(import.to_owned(), last.id());
    Ok(())
}

async fn events(
    State(app): State<App>,
    Path(import): Path<String>,
    request: SseRequest,
) -> Result<Response, Error> {
    let topic = format!("import:{import}");
    let ended = app.ended.lock().unwrap().get(&import).cloned();
    if let Some(last) = ended {
        let has_seen_it = request.last_event_id().is_some_and(|seen| *seen == last);
        if has_seen_it || app.hub.history(&topic, History::Last(1)).await?.events.is_empty() {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    Ok(Sse::from(request.subscribe(&app.hub, topic).history(History::All)).into_response())
}
