//! Requests that are refused.

use super::Adapter;
use super::site::Site;
use crate::wire::{Connection, Ending, Request};

pub async fn a_subscription_that_cannot_be_opened_is_400_with_a_sentence<A: Adapter>() {
    let site = Site::open::<A>();
    for (query, sentence) in [
        ("", "topic is missing"),
        ("?topic=", "topic is empty"),
        ("?topic=two+words", "topic contains ' ' at byte 3"),
        ("?topic=good&topic=price:*", "topic contains '*' at byte 6"),
        ("?topic=%00", "topic contains '\\0' at byte 0"),
    ] {
        let mut response = site.get(&format!("/events{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), sentence);
    }
    assert_eq!(site.hub.clients().count(), 0);
    assert!(site.hub.clients().topics().is_empty(), "a refused request leaves no topic");
}

pub async fn a_refusal_has_the_form_that_accept_prefers<A: Adapter>() {
    let site = Site::open::<A>();
    for (accept, content_type, body) in [
        ("text/event-stream", "text/plain; charset=utf-8", "topic is empty"),
        (
            "application/problem+json, text/plain;q=0.5",
            "application/problem+json",
            r#"{"title":"Bad Request","status":400,"detail":"topic is empty"}"#,
        ),
    ] {
        let request = Request::get("/events?topic=").header("accept", accept);
        let mut response = Connection::open(site.addr()).await.send(&request).await;
        assert_eq!(response.status(), 400);
        assert_eq!(response.header("content-type"), Some(content_type));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), body);
    }
}

pub async fn a_connection_serves_requests_after_a_refusal<A: Adapter>() {
    let site = Site::open::<A>();
    let mut connection = Connection::open(site.addr()).await;
    for _ in 0..3 {
        let mut refused = connection.send(&Request::get("/events")).await;
        assert_eq!(refused.status(), 400);
        assert_eq!(refused.read_to_end().await, Ending::Whole);
        connection = refused.into_connection();
    }
    let mut response = connection.send(&Request::get("/events?topic=a")).await;
    response.next_message().await;
    site.publish("a", "one");
    assert_eq!(response.next_message().await.data(), "one");
}

pub async fn pipelined_requests_are_answered_in_order<A: Adapter>() {
    let site = Site::open::<A>();
    let requests = ["/events", "/stream", "/nothing", "/events?topic=a"].map(Request::get);
    let mut connection = Connection::open(site.addr()).await;
    connection.write(&requests.map(|request| request.bytes()).concat()).await;
    for (status, body) in
        [(400, "topic is missing"), (200, "data: Hel\n\ndata: lo\n\ndata: [DONE]\n\n"), (404, "")]
    {
        let mut response = connection.response().await;
        assert_eq!(response.status(), status);
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), body);
        connection = response.into_connection();
    }
    let mut response = connection.response().await;
    response.next_message().await;
    site.publish("a", "one");
    assert_eq!(response.next_message().await.data(), "one");
}
