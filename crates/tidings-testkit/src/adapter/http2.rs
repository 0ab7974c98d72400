//! HTTP/2, with prior knowledge.

use tidings::response::HEADERS;
use tidings::{END_EVENT, STATUS_EVENT};

use super::Adapter;
use super::delivery::without_client;
use super::response::WITHOUT_CONTENT;
use super::site::{Site, events_of};
use crate::limit::eventually;
use crate::wire::{Ending, Http2, Http2Response, Request};

/// All headers but `date`, which varies.
#[track_caller]
fn headers(response: &Http2Response) -> Vec<(&str, &str)> {
    let mut headers = response.headers();
    headers.retain(|(name, _)| *name != "date");
    headers.sort_unstable();
    headers
}

/// The headers of the contract, without those by which HTTP/1.1 frames a body or keeps a connection.
fn contract() -> Vec<(&'static str, &'static str)> {
    let mut headers = HEADERS.to_vec();
    headers.sort_unstable();
    headers
}

fn length(response: &Http2Response) -> Option<&str> {
    let mut headers = response.headers().into_iter();
    headers.find(|(name, _)| *name == "content-length").map(|(_, length)| length)
}

/// Opens a stream and reads its status event.
async fn follow(client: &Http2, target: &str) -> Http2Response {
    let mut response = client.get(target).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.next_message().await.event(), STATUS_EVENT);
    response
}

pub async fn the_response_has_exactly_the_headers_of_the_contract<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    for target in ["/events?topic=a", "/bare?topic=a", "/stream", "/stream/fed"] {
        let response = client.get(target).await;
        assert_eq!(response.status(), 200);
        assert_eq!(headers(&response), contract(), "{target}");
    }
    let refused = client.get("/events").await;
    assert_eq!(refused.status(), 400);
}

pub async fn a_head_request_gets_the_same_headers_and_no_body<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    for headers in [&[][..], &[("if-none-match", "*")], &[("range", "bytes=0-10")]] {
        let mut response = client.send("HEAD", "/events?topic=a", headers).await;
        assert_eq!(response.status(), 200);
        assert_eq!(self::headers(&response), contract());
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), "");
    }
    eventually("no client is left", || site.hub.clients().count() == 0).await;
}

pub async fn a_response_without_content_has_neither_a_body_nor_its_length<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    for (target, status) in WITHOUT_CONTENT {
        let mut response = client.get(target).await;
        assert_eq!(response.status(), status, "{target}");
        assert_eq!(length(&response), None, "{target}");
        assert_eq!(response.read_to_end().await, Ending::Whole, "{target}");
        assert_eq!(response.text(), "", "{target}");
    }
}

pub async fn a_304_or_an_answer_to_head_keeps_the_length_that_the_application_says<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    for (method, target) in [
        ("GET", "/plain?status=304&length=1234"),
        ("GET", "/plain?status=304&length=1234&text=same"),
        ("HEAD", "/plain?status=200&length=1234"),
    ] {
        let mut response = client.send(method, target, &[]).await;
        assert_eq!(length(&response), Some("1234"), "{method} {target}");
        assert_eq!(response.read_to_end().await, Ending::Whole, "{method} {target}");
        assert_eq!(response.text(), "", "{method} {target}");
    }
}

pub async fn a_response_after_which_another_would_come_is_500<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    for target in ["/plain?status=101", "/plain?status=103", "/plain?status=103&text=hints"] {
        let mut response = client.get(target).await;
        assert_eq!(response.status(), 500, "{target}");
        assert_eq!(response.read_to_end().await, Ending::Whole, "{target}");
        assert_eq!(response.text(), "", "{target}");
    }
}

pub async fn a_target_that_is_not_escaped_is_answered<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let response = client.get("/stream?ü").await;
    // Some frameworks do not take it.
    assert!(matches!(response.status(), 200 | 400), "{}", response.status());
    assert_eq!(client.get("/stream").await.status(), 200);
}

pub async fn the_body_is_the_same_as_over_http_1_1<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let topics = ["a", "b", "other"];
    let ids: Vec<_> = (0..20)
        .map(|n| site.publish(topics[n % 3], &format!("line {n}\r\n next\u{2028}\n")))
        .collect();
    let mut pairs = Vec::new();
    for (target, claimed) in [
        ("/events?topic=a", None),
        ("/events?topic=b&topic=a&history=all", None),
        ("/events?topic=a&topic=b", Some(ids[10].as_str())),
        ("/events?topic=b", Some("another-7")),
        ("/bare?topic=a&history=all", None),
        ("/bare?topic=b", Some(ids[4].as_str())),
        ("/stream", None),
    ] {
        let request = Request::get(target).header("range", "bytes=0-10");
        let mut headers = vec![("range", "bytes=0-10")];
        let request = match claimed {
            Some(id) => {
                headers.push(("last-event-id", id));
                request.header("last-event-id", id)
            }
            None => request,
        };
        pairs.push((client.send("GET", target, &headers).await, site.send(request).await));
    }
    for n in 0..20 {
        site.publish(topics[n % 3], &format!("live {n} {}", "x".repeat(n * 1000)));
    }
    site.hub.close();
    for (mut two, mut one) in pairs {
        assert_eq!((two.status(), one.status()), (200, 200));
        assert_eq!(two.read_to_end().await, Ending::Whole);
        assert_eq!(one.read_to_end().await, Ending::Whole);
        assert!(!one.messages().is_empty());
        assert_eq!(without_client(two.text()), without_client(one.text()));
    }
}

pub async fn many_streams_share_a_connection<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut streams = Vec::new();
    for n in 0..50 {
        streams.push(follow(&client, &format!("/events?topic=all&topic=t{n}")).await);
    }
    assert_eq!(site.hub.clients().count(), 50);
    for client_info in site.hub.clients().list() {
        assert_eq!(client_info.remote_addr, Some(client.local_addr()));
    }
    site.publish("t7", "for one");
    site.publish("all", "for all");
    for (n, stream) in streams.iter_mut().enumerate() {
        if n == 7 {
            assert_eq!(stream.next_message().await.data(), "for one");
        }
        assert_eq!(stream.next_message().await.data(), "for all");
    }
}

pub async fn a_stream_that_is_not_read_stalls_no_other<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut slow = follow(&client, "/events?topic=a").await;
    let mut quick = follow(&client, "/events?topic=a").await;
    // Many times the window of a stream that is not read.
    for n in 0..100 {
        let data = format!("{n} {}", "x".repeat(Http2::WINDOW as usize / 4));
        site.publish("a", &data);
        assert!(quick.next_message().await.data() == data, "event {n}");
    }
    // The slow stream goes on once it is read: with what it missed, or a reset.
    let last = quick.messages().last().expect("events").last_event_id();
    while slow.next_message().await.last_event_id() != last {}
}

/// A stream that is silent for longer than a test may take, so that no heartbeat reveals a client that has left.
const SILENT: &str = "/events?topic=a";

pub async fn a_stream_that_is_cancelled_leaves_the_registry<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut stays = follow(&client, "/events?topic=b").await;
    for n in 0..20 {
        let mut response = client.get(SILENT).await;
        if n % 2 == 0 {
            response.next_message().await;
        }
        response.reset();
    }
    eventually("the others are gone", || site.hub.clients().count() == 1).await;
    site.publish("b", "one");
    assert_eq!(stays.next_message().await.data(), "one");
}

pub async fn a_connection_that_ends_ends_its_streams<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(follow(&client, SILENT).await);
    }
    drop((streams, client));
    eventually("no client is left", || site.hub.clients().count() == 0).await;
}

pub async fn a_stalled_stream_that_is_cancelled_leaves_the_registry<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let slow = follow(&client, "/events?topic=a").await;
    for _ in 0..10 {
        site.publish("a", &"x".repeat(Http2::WINDOW as usize));
    }
    slow.reset();
    eventually("it is gone", || site.hub.clients().count() == 0).await;
    let mut next = client.get("/stream").await;
    assert_eq!(next.read_to_end().await, Ending::Whole);
}

pub async fn the_end_of_the_hub_ends_all_streams_and_not_the_connection<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(follow(&client, "/events?topic=a").await);
    }
    site.publish("a", "the end");
    site.hub.close();
    for stream in &mut streams {
        assert_eq!(stream.read_to_end().await, Ending::Whole);
        assert_eq!(stream.messages().last().map(|message| message.data()), Some("the end"));
    }
    let mut next = client.get("/stream").await;
    assert_eq!(next.read_to_end().await, Ending::Whole);
    assert_eq!(next.messages().len(), 3);
}

pub async fn an_error_resets_its_stream_after_the_last_whole_event<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut other = follow(&client, "/events?topic=a").await;
    // A reset may overtake what was sent before it. Then no event arrives.
    let body = client.get_reset("/stream/error").await;
    assert!(body.is_empty() || body.ends_with("\n\n"), "{body:?}");
    site.publish("a", "one");
    assert_eq!(other.next_message().await.data(), "one");
}

pub async fn a_shutdown_ends_all_streams_of_a_connection<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut streams =
        [follow(&client, "/events?topic=a").await, follow(&client, "/events?topic=b").await];
    site.publish("a", "the end");
    let hub = site.hub.clone();
    let reading = async {
        for stream in &mut streams {
            assert_eq!(stream.read_to_end().await, Ending::Whole);
        }
        assert_eq!(events_of(streams[0].messages()), [STATUS_EVENT, "message", END_EVENT]);
        drop(client);
    };
    tokio::join!(reading, site.server.shutdown());
    eventually("no client is left", || hub.clients().count() == 0).await;
}

pub async fn streams_that_end_by_reset_are_reset<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    site.hub.end_streams_by_reset(true);
    let client = Http2::open(site.addr()).await;
    let mut stream = follow(&client, "/events?topic=a").await;
    site.hub.close();
    assert_eq!(stream.read_to_end().await, Ending::Reset);
    let mut next = client.get("/stream").await;
    assert_eq!(next.read_to_end().await, Ending::Whole);
}
