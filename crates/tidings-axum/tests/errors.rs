//! Errors are responses.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use tidings_axum::{Error, Hub, Sse, SseRequest};
use tidings_testkit::adapter::Server;
use tidings_testkit::adapter::errors::{assert_errors_are_responses, event, hub};

async fn subscribe(
    State(hub): State<Hub>,
    Path(topic): Path<String>,
    request: SseRequest,
) -> Result<Sse, Error> {
    Ok(request.subscribe(&hub, topic).open()?.into())
}

async fn publish(State(hub): State<Hub>, Path(topic): Path<String>) -> Result<String, Error> {
    let event = event(&topic);
    Ok(hub.publish(topic, event).await?.id().to_string())
}

async fn publish_as_asked(
    State(hub): State<Hub>,
    Path(topic): Path<String>,
    request: SseRequest,
) -> Result<String, Error> {
    let event = event(&topic);
    let published = hub.publish(topic, event).await.map_err(|error| request.error(error))?;
    Ok(published.id().to_string())
}

#[tokio::test]
async fn a_handler_ends_with_a_question_mark() {
    let hub = hub();
    let app = Router::new()
        .route("/subscribe/{topic}", get(subscribe))
        .route("/publish/{topic}", get(publish))
        .route("/publish-as-asked/{topic}", get(publish_as_asked))
        .with_state(hub.clone());
    let served = hub.clone();
    let server = Server::start(async move |listener, begun| {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tidings_axum::serve(listener, app, &served).with_graceful_shutdown(begun).await
    });
    assert_errors_are_responses(&server, &hub).await;
}
