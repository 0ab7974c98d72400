//! The head of the response, and how its body is framed.

use tidings::response::HEADERS;

use super::Adapter;
use super::site::Site;
use crate::limit::eventually;
use crate::wire::{Ending, Request, Response};

/// All headers but `date`, which varies.
#[track_caller]
fn headers(response: &Response) -> Vec<(&str, &str)> {
    let mut headers: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).expect("text")))
        .filter(|(name, _)| *name != "date")
        .collect();
    headers.sort_unstable();
    headers
}

/// The headers of the contract, and how HTTP/1.1 frames a body of unknown length.
fn contract() -> Vec<(&'static str, &'static str)> {
    let mut headers = HEADERS.to_vec();
    headers.push(("transfer-encoding", "chunked"));
    headers.sort_unstable();
    headers
}

pub async fn the_response_is_200_with_exactly_the_headers_of_the_contract<A: Adapter>() {
    let site = Site::open::<A>();
    let response = site.get("/events?topic=a").await;
    assert_eq!((response.status(), response.version()), (200, 1));
    assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(headers(&response), contract());
}

/// Browsers give up on a connection that ends before it has arrived.
pub async fn the_content_type_is_the_first_header_where_the_framework_keeps_their_order<
    A: Adapter,
>() {
    let site = Site::open::<A>();
    for target in ["/events?topic=a", "/bare?topic=a", "/stream", "/stream/fed"] {
        let response = site.get(target).await;
        let first = response.headers().first().map(|(name, _)| name.as_str());
        assert!(first == Some("content-type") || !A::HEADERS_IN_ORDER, "{:?}", response.headers());
    }
}

pub async fn a_stream_without_a_hub_has_the_same_headers<A: Adapter>() {
    let site = Site::open::<A>();
    for target in ["/stream", "/stream/fed"] {
        let response = site.get(target).await;
        assert_eq!(response.status(), 200);
        assert_eq!(headers(&response), contract());
    }
}

pub async fn the_first_bytes_leave_at_once_when_there_is_no_event<A: Adapter>() {
    let site = Site::open::<A>();
    // No test waits long enough for a heartbeat.
    for (target, expected) in [
        ("/events?topic=a", "event: tidings:status\ndata: {\"status\":\"fresh\""),
        ("/bare?topic=a", ":\n\n"),
        ("/stream/fed", ":\n\n"),
    ] {
        let mut response = site.get(target).await;
        response.read_exactly(expected.len()).await;
        assert_eq!(response.text(), expected);
    }
}

pub async fn a_head_request_gets_the_headers_and_leaves_no_client<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.send(Request::new("HEAD", "/events?topic=a")).await;
    assert_eq!(response.status(), 200);
    let expected = |header: &(&str, &str)| header.0 != "transfer-encoding";
    let received = headers(&response).into_iter().filter(expected).collect::<Vec<_>>();
    assert_eq!(received, contract().into_iter().filter(expected).collect::<Vec<_>>());
    assert_eq!(response.read_to_end().await, Ending::Whole);
    eventually("no client is left", || site.hub.clients().count() == 0).await;
    // Nothing came after the head that a client could mistake for the next response.
    let next = response.into_connection().send(&Request::get("/events?topic=a")).await;
    assert_eq!(next.status(), 200);
}

/// What a client or a cache may ask for that makes no sense for a stream.
const PARTIAL: [&[(&str, &str)]; 5] = [
    &[("if-none-match", "*")],
    &[("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")],
    &[("range", "bytes=0-10")],
    &[("range", "bytes=0-10"), ("if-range", "\"tag\"")],
    &[("range", "bytes=5-"), ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
];

pub async fn a_conditional_or_range_request_gets_the_whole_stream<A: Adapter>() {
    let site = Site::open::<A>();
    let id = site.publish("a", "one");
    for headers in PARTIAL {
        let request = |method| {
            headers
                .iter()
                .fold(Request::new(method, "/bare?topic=a&history=all"), |r, (name, value)| {
                    r.header(name, value)
                })
        };
        let mut response = site.send(request("GET")).await;
        assert_eq!(response.status(), 200, "{headers:?}");
        assert_eq!(self::headers(&response), contract(), "{headers:?}");
        response.read_messages(1).await;
        assert_eq!(response.text(), format!(":\n\ndata: one\nid: {id}\n\n"), "{headers:?}");
        let mut response = site.send(request("HEAD")).await;
        assert_eq!(response.status(), 200, "HEAD {headers:?}");
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert!(response.body().is_empty());
    }
}

/// Responses of a status that has no content, whatever the application or its framework makes of them.
pub(super) const WITHOUT_CONTENT: [(&str, u16); 5] = [
    ("/plain?status=204", 204),
    ("/plain?status=204&text=deleted", 204),
    ("/plain?status=204&length=7&text=deleted", 204),
    ("/plain?status=304", 304),
    ("/plain?status=304&text=same", 304),
];

pub async fn a_response_without_content_has_neither_a_body_nor_its_length<A: Adapter>() {
    let site = Site::open::<A>();
    for (target, status) in WITHOUT_CONTENT {
        let mut response = site.get(target).await;
        assert_eq!(response.status(), status, "{target}");
        assert_eq!(response.header("content-length"), None, "{target}");
        assert_eq!(response.read_to_end().await, Ending::Whole, "{target}");
        // Nothing came after the head that a client could mistake for the next response.
        let next = response.into_connection().send(&Request::get("/stream")).await;
        assert_eq!(next.status(), 200, "after {target}");
    }
}

pub async fn an_http_1_0_client_gets_a_body_without_chunks<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.send(Request::get("/bare?topic=a").http_1_0()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let id = site.publish("a", "one");
    response.read_messages(1).await;
    site.hub.close();
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.text(), format!(":\n\ndata: one\nid: {id}\n\n"));
}
