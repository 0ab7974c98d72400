//! Errors are responses.

use actix_web::App;
use actix_web::web::{Data, Path, get};
use tidings_actix_web::{Error, Event, Hub, Sse, SseRequest};
use tidings_testkit::adapter::Server;
use tidings_testkit::wire::{Connection, Ending, Request};

async fn subscribe(hub: Data<Hub>, topic: Path<String>, request: SseRequest) -> Result<Sse, Error> {
    Ok(request.subscribe(&hub, topic.as_str()).open()?.into())
}

async fn publish(hub: Data<Hub>, topic: Path<String>) -> Result<String, Error> {
    Ok(hub.publish(topic.as_str(), event(&topic)).await?.id().to_string())
}

async fn publish_as_asked(
    hub: Data<Hub>,
    topic: Path<String>,
    request: SseRequest,
) -> Result<String, Error> {
    let published = hub.publish(topic.as_str(), event(&topic)).await;
    Ok(published.map_err(|error| request.error(error))?.id().to_string())
}

#[tokio::test]
async fn a_handler_ends_with_a_question_mark() {
    let hub = hub();
    let served = hub.clone();
    let server = Server::start(async move |listener, begun| {
        let data = Data::new(served.clone());
        let app = move || {
            App::new()
                .app_data(data.clone())
                .route("/subscribe/{topic}", get().to(subscribe))
                .route("/publish/{topic}", get().to(publish))
                .route("/publish-as-asked/{topic}", get().to(publish_as_asked))
        };
        let serve = tidings_actix_web::serve(listener, app, &served);
        serve.workers(1).with_graceful_shutdown(begun).await
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
