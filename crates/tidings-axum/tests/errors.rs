//! Errors are responses.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use tidings_axum::{Error, Event, Hub, Sse, SseRequest};
use tidings_testkit::adapter::Server;
use tidings_testkit::wire::{Connection, Ending, Request};

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

/// Each request is answered by a handler that ends with `?`.
async fn assert_errors_are_responses(server: &Server, hub: &Hub) {
    let ask = async |target: &str, accept: &str| {
        let request = Request::get(target).header("accept", accept);
        let mut response = Connection::open(server.addr()).await.send(&request).await;
        assert_eq!(response.read_to_end().await, Ending::Whole);
        let content_type = response.header("content-type").unwrap_or_default().to_owned();
        (response.status(), content_type, response.text().to_owned())
    };
    const TEXT: &str = "text/plain; charset=utf-8";
    const PROBLEM: &str = "application/problem+json";
    for (target, accept, status, content_type, part) in [
        ("/subscribe/*", "*/*", 400, TEXT, "topic contains '*' at byte 0"),
        ("/subscribe/*", PROBLEM, 400, PROBLEM, r#""detail":"topic contains '*' at byte 0""#),
        ("/publish/*", PROBLEM, 400, TEXT, "topic contains '*' at byte 0"),
        ("/publish-as-asked/*", PROBLEM, 400, PROBLEM, r#""status":400"#),
        ("/publish/large", "*/*", 413, TEXT, "over the limit of 100 bytes"),
        ("/publish/closed", "*/*", 503, TEXT, "try again later"),
    ] {
        if target == "/publish/closed" {
            hub.close();
        }
        let (told, in_form, text) = ask(target, accept).await;
        assert_eq!((told, &*in_form), (status, content_type), "{target} {accept}: {text}");
        assert!(text.contains(part), "{target} {accept}: {text}");
    }
}

fn event(topic: &str) -> Event {
    Event::new("x".repeat(if topic == "large" { 200 } else { 1 }))
}

fn hub() -> Hub {
    Hub::builder().max_event_bytes(100).build()
}
