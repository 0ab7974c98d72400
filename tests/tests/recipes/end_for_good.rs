use axum::extract::{Path, State};
use tidings_axum::{Error, Event, History, Hub, Sse, SseRequest};

async fn end(hub: &Hub, import: &str) -> Result<(), Error> {
    hub.finish(format!("import:{import}"), Event::named("done", "")?).await?;
    Ok(())
}

async fn events(State(hub): State<Hub>, Path(import): Path<String>, request: SseRequest) -> Sse {
    request.subscribe(&hub, format!("import:{import}")).history(History::All).into()
}
