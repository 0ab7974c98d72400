//! The errors of an application's handlers are responses.

use tidings::{Event, Hub};

use super::Server;
use crate::wire::{Connection, Ending, Request};

/// A hub that refuses events of 200 bytes.
pub fn hub() -> Hub {
    Hub::builder().max_event_bytes(100).build()
}

/// What handlers publish to a topic.
pub fn event(topic: &str) -> Event {
    Event::new("x".repeat(if topic == "large" { 200 } else { 1 }))
}

/// Asserts that a server answers with its errors. For each topic, it must have the handlers `/subscribe/{topic}`,
/// `/publish/{topic}` and `/publish-as-asked/{topic}`, which end with `?`.
pub async fn assert_errors_are_responses(server: &Server, hub: &Hub) {
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
