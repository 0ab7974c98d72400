//! Errors are responses.

use tidings_testkit::adapter::Server;
use tidings_testkit::wire::{Connection, Ending, Request};
use tidings_warp::{Error, Event, Hub, Sse, SseRequest};
use warp::Filter;
use warp::reject::{Rejection, custom};

#[tokio::test]
async fn a_handler_ends_with_a_question_mark() {
    let hub = hub();
    let with_hub = || {
        let hub = hub.clone();
        warp::any().map(move || hub.clone())
    };
    let subscribe = warp::path!("subscribe" / String)
        .and(with_hub())
        .and(tidings_warp::request())
        .map(|topic: String, hub: Hub, request: SseRequest| -> Result<Sse, Error> {
            Ok(request.subscribe(&hub, topic).open()?.into())
        });
    // As a rejection.
    let publish = warp::path!("publish" / String)
        .and(with_hub())
        .and_then(async |topic: String, hub: Hub| -> Result<String, Rejection> {
            let published = hub.publish(&*topic, event(&topic)).await.map_err(Error::from);
            Ok(published.map_err(custom)?.id().to_string())
        })
        .recover(tidings_warp::recover);
    let publish_as_asked = warp::path!("publish-as-asked" / String)
        .and(with_hub())
        .and(tidings_warp::request())
        .then(async |topic: String, hub: Hub, request: SseRequest| -> Result<String, Error> {
            let published = hub.publish(&*topic, event(&topic)).await;
            Ok(published.map_err(|error| request.error(error))?.id().to_string())
        });
    let served = hub.clone();
    let routes = subscribe.or(publish).or(publish_as_asked);
    let server = Server::start(async move |listener, begun| {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tidings_warp::serve(listener, routes, &served).with_graceful_shutdown(begun).await
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
