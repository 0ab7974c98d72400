//! Streams of events without a hub, such as the answer of a language model.

use super::Adapter;
use super::site::Site;
use crate::limit::eventually;
use crate::wire::{Ending, Request};

pub async fn a_stream_is_sent_to_its_end<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.get("/stream").await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.text(), "data: Hel\n\ndata: lo\n\ndata: [DONE]\n\n");
}

pub async fn a_stream_goes_on_where_its_client_left_off<A: Adapter>() {
    let site = Site::open::<A>();
    let request = || Request::get("/stream/numbered");
    let by_query = Request::get("/stream/numbered?lastEventId=1");
    for (request, words) in [
        (request(), 4),
        (request().header("Last-Event-ID", "1"), 2),
        (by_query, 2),
        (request().header("Last-Event-ID", "3"), 0),
        (request().header("Last-Event-ID", "not one of its ids"), 4),
        (request().header("Last-Event-ID", b"\xff"), 4),
    ] {
        let mut response = site.send(request).await;
        assert_eq!(response.read_to_end().await, Ending::Whole);
        let expected = (4 - words..4).map(|n| format!("data: word {n}\nid: {n}\n\n"));
        assert_eq!(response.text(), expected.collect::<String>());
    }
}

pub async fn events_of_a_stream_are_sent_one_by_one<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.get("/stream/fed").await;
    for n in 0..50 {
        let data = n.to_string();
        assert!(site.app.feed(&data));
        assert_eq!(response.next_message().await.data(), data);
    }
}

pub async fn a_connection_serves_requests_after_a_stream<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.get("/stream").await;
    for _ in 0..3 {
        assert_eq!(response.read_to_end().await, Ending::Whole);
        response = response.into_connection().send(&Request::get("/stream")).await;
        assert_eq!(response.status(), 200);
    }
}

pub async fn an_error_cuts_the_response_after_the_last_whole_event<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.get("/stream/error").await;
    assert_eq!(response.status(), 200);
    assert_ne!(response.read_to_end().await, Ending::Whole, "a client must see the difference");
    assert_eq!(response.text(), "data: one\n\ndata: two\n\n");
}

pub async fn a_panic_cuts_its_response_and_no_other<A: Adapter>() {
    let site = Site::open::<A>();
    let mut other = site.follow("/events?topic=a").await;
    let mut response = site.get("/stream/panic").await;
    assert_ne!(response.read_to_end().await, Ending::Whole, "a client must see the difference");
    assert_eq!(response.text(), "data: one\n\ndata: two\n\n");
    site.publish("a", "one");
    assert_eq!(other.read_messages(2).await[1].data(), "one");
    site.follow("/events?topic=a").await;
}

pub async fn a_stream_is_dropped_when_its_client_leaves<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.get("/stream/fed").await;
    assert!(site.app.feed("one"));
    response.next_message().await;
    response.reset();
    // The server may notice only when it writes another event.
    eventually("the stream is dropped", || !site.app.feed("two")).await;
}
