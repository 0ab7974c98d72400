//! Streams of HTTP/2 that are stalled: their clients open no windows.

use std::time::Duration;

use tidings::STATUS_EVENT;
use tidings_net::Limits;

use super::Serving;
use super::site::Site;
use crate::limit::eventually;
use crate::wire::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, RawHttp2, frame, get, head, text, window_of_streams,
    window_update,
};

/// Short for a test: the default is 30 seconds.
const WRITE_TIMEOUT: Duration = Duration::from_millis(200);

fn open<A: Serving>() -> Site {
    let limits = Limits::default().write_timeout(WRITE_TIMEOUT);
    Site::open::<A>(move |_, serve| serve.limits(limits))
}

pub async fn a_stream_without_a_window_is_reset_and_no_other<A: Serving>() {
    let site = open::<A>();
    let hub = site.app.hub();
    let mut client = RawHttp2::open(site.addr()).await;
    // The first has a window, and nothing to send.
    let requests = [
        window_of_streams(0),
        get(1, "/events?topic=a"),
        window_update(1, 1 << 16),
        get(3, "/events?topic=a"),
        get(5, "/events?topic=b"),
    ];
    client.write(&requests.concat()).await;
    client.read_until_reset(&[3, 5]).await;
    eventually("only that one is left", || hub.clients().count() == 1).await;
    tokio::time::sleep(WRITE_TIMEOUT * 3).await;
    site.publish("a", "hello").await;
    client.read_until("an event", |frames| text(frames).contains("data: hello\n")).await;
    let metrics = hub.metrics();
    assert_eq!((metrics.streams_stalled, metrics.connections_timed_out), (2, 0));
}

pub async fn a_stream_that_waits_for_the_window_of_the_connection_is_reset<A: Serving>() {
    let site = open::<A>();
    let hub = site.app.hub();
    let mut client = RawHttp2::open(site.addr()).await;
    // Of which the connection has 65,535 bytes.
    let window = window_of_streams(1 << 20);
    let requests = [window, get(1, "/events?topic=a"), get(3, "/events?topic=b")];
    client.write(&requests.concat()).await;
    let are_open = "both are open, and have nothing to send";
    client.read_until(are_open, |frames| text(frames).matches(STATUS_EVENT).count() == 2).await;
    site.publish("a", &"x".repeat(100_000)).await;
    client.read_until_reset(&[1]).await;
    eventually("only the other is left", || hub.clients().count() == 1).await;
}

pub async fn a_response_whose_end_waits_for_a_window_is_reset<A: Serving>() {
    let site = open::<A>();
    let mut client = RawHttp2::open(site.addr()).await;
    let request = [
        window_of_streams(100),
        frame(HEADERS, END_HEADERS, 1, &head("POST", "/echo")),
        frame(DATA, END_STREAM, 1, &[b'x'; 10_000]),
    ];
    client.write(&request.concat()).await;
    client.read_until_reset(&[1]).await;
}
