//! Clients of HTTP/2 that attack: they send frames by hand.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::time::Duration;

use site::Site;
use tidings::Hub;
use tidings_net::Limits;
use tidings_testkit::limit::eventually;
use tidings_testkit::wire::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,
    RST_STREAM, RawHttp2, SETTINGS, frame, get, head, window_of_streams, window_update,
};
use tidings_testkit::wire::{Connection, Ending, Http2};

/// More than any limit allows.
const FLOOD: usize = 5_000;

#[tokio::test]
async fn a_client_that_sends_no_settings_is_ended() {
    let short = Duration::from_millis(100);
    let site = Site::with(Hub::new(), Limits::default().handshake_timeout(short)).await;
    let mut connection = Connection::open(site.addr).await;
    connection.write(PREFACE).await;
    connection.ended().await;
    assert_eq!(site.hub.metrics().connections_timed_out, 1);
}

#[tokio::test]
async fn floods_of_control_frames_end() {
    let site = Site::new().await;
    let open_stream = frame(HEADERS, END_HEADERS, 1, &head("POST", "/echo/1"));
    let floods: [(&str, Vec<u8>); 7] = [
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("ping", frame(PING, 0, 0, &[7; 8])),
        ("priority", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("windows of the connection", window_update(0, 1)),
        ("windows of a stream", window_update(1, 1)),
        ("unknown", frame(77, 0, 1, &[])),
    ];
    for (what, flood) in floods {
        let frames = std::iter::once(open_stream.clone()).chain(std::iter::repeat_n(flood, FLOOD));
        let said = RawHttp2::open(site.addr).await.until_cut_off(frames).await;
        let answers = said.iter().filter(|frame| frame.kind == SETTINGS || frame.kind == PING);
        assert!(answers.count() <= 1_010, "{what}");
    }
}

#[tokio::test]
async fn a_connection_is_idle_after_a_tunnel() {
    let limits = Limits::default().idle_timeout(Duration::from_millis(200));
    let site = Site::with(Hub::new(), limits).await;
    let client = RawHttp2::open(site.addr).await;
    // RFC 8441, section 4.
    let protocol = [&[0, 9], &b":protocol"[..], &[9], b"websocket"].concat();
    let request = [head("CONNECT", "/text/1"), protocol].concat();
    let request = frame(HEADERS, END_HEADERS, 1, &request);
    let said = client.until_cut_off([request].into_iter()).await;
    // `:status: 200`, of the static table.
    assert!(said.iter().any(|frame| frame.kind == HEADERS && frame.payload[0] == 0x88), "{said:?}");
    assert_eq!(site.hub.metrics().connections_timed_out, 1);
}

#[tokio::test]
async fn a_silent_client_is_sent_a_ping() {
    let limits = Limits::default().keepalive(Duration::from_millis(100));
    let site = Site::with(Hub::new(), limits).await;
    let mut client = RawHttp2::open(site.addr).await;
    client.write(&get(1, "/events/a")).await;
    client.read_until("a ping", |frames| frames.iter().any(|frame| frame.kind == PING)).await;
}

/// hyper does not, and this application is no router.
#[tokio::test]
async fn a_response_to_head_has_no_body_whatever_the_application_answers() {
    let site = Site::new().await;
    let client = Http2::open(site.addr).await;
    for target in ["/events/a", "/text/1"] {
        let mut response = client.send("HEAD", target, &[]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), "");
    }
    assert_eq!(site.hub.clients().count(), 0);
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_its_connections() {
    let site = Site::new().await;
    let mut client = RawHttp2::open(site.addr).await;
    client.write(&get(1, "/events/a")).await;
    eventually("it is open", || site.hub.clients().count() == 1).await;
    site.server.abort();
    client.until_cut_off([]).await;
    eventually("no client is left", || site.hub.clients().count() == 0).await;
}

#[tokio::test]
async fn rapid_reset_ends() {
    let site = Site::new().await;
    let attacks = (0..FLOOD as u32).map(|n| {
        let stream = 2 * n + 1;
        [get(stream, "/events/a"), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    RawHttp2::open(site.addr).await.until_cut_off(attacks).await;
    eventually("no client is left", || site.hub.clients().count() == 0).await;
}

#[tokio::test]
async fn a_head_without_end_ends() {
    let site = Site::new().await;
    let open = frame(HEADERS, END_STREAM, 1, &head("GET", "/events/a"));
    let more = frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'x'].repeat(50));
    let frames = std::iter::once(open).chain(std::iter::repeat_n(more, FLOOD));
    RawHttp2::open(site.addr).await.until_cut_off(frames).await;
    assert_eq!(site.hub.clients().count(), 0);
}

#[tokio::test]
async fn a_head_that_unpacks_to_much_is_refused() {
    let site = Site::new().await;
    let mut attacker = RawHttp2::open(site.addr).await;
    // A field of 3,000 bytes goes into the table, and a byte names it again and again: 30 MB in all.
    let mut block = head("GET", "/events/a");
    block.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xb9, 0x16]);
    block.resize(block.len() + 3_000, b'x');
    block.resize(block.len() + 10_000, 0x80 | 62);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    attacker.write(&request).await;
    let is_answer = |frame: &Frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind);
    attacker.read_until("an answer", |frames| frames.iter().any(is_answer)).await;
    let answer = attacker.frames.iter().find(|frame| is_answer(frame)).unwrap();
    // 8 is the static table's `:status: 200`.
    assert!(answer.kind != HEADERS || answer.payload[0] != 0x80 | 8, "{answer:?}");
    assert_eq!(site.hub.clients().count(), 0);
}

#[tokio::test]
async fn a_connection_has_a_limited_number_of_streams() {
    let site = Site::with(Hub::new(), Limits::default().h2_streams(100)).await;
    let mut attacker = RawHttp2::open(site.addr).await;
    let requests = (0..1_000).flat_map(|n| get(2 * n + 1, "/events/a"));
    attacker.write(&requests.collect::<Vec<_>>()).await;
    let is_refusal = |frame: &&Frame| frame.kind == RST_STREAM;
    let is_end = |frame: &Frame| frame.kind == GOAWAY;
    let are_answers = |frames: &[Frame]| {
        frames.iter().filter(is_refusal).count() == 900 || frames.iter().any(is_end)
    };
    attacker.read_until("the answers", are_answers).await;
    for Frame { stream, payload, .. } in attacker.frames.iter().filter(is_refusal) {
        assert_eq!(payload, &[0, 0, 0, 7], "stream {stream} is refused, and may be tried again");
    }
    assert!(site.hub.clients().count() <= 100);
}

#[tokio::test]
async fn a_stream_whose_window_opens_slowly_goes_on() {
    let limit = Duration::from_millis(400);
    let site = Site::with(Hub::new(), Limits::default().write_timeout(limit)).await;
    let mut client = RawHttp2::open(site.addr).await;
    // An event of 60,000 bytes, and a window of 500.
    client.write(&[window_of_streams(500), get(1, "/events/a")].concat()).await;
    eventually("it is open", || site.hub.clients().count() == 1).await;
    site.publish("a", &"x".repeat(60_000));
    for _ in 0..12 {
        tokio::time::sleep(limit / 4).await;
        assert_eq!(site.hub.clients().count(), 1);
        client.write(&window_update(1, 100)).await;
    }
    client.read_until_reset(&[1]).await;
    eventually("it is gone", || site.hub.clients().count() == 0).await;
}

#[tokio::test]
async fn a_client_may_open_windows_for_each_kib_that_it_reads() {
    const EVENT: usize = 60_000;

    // So few that any frame of these would end it.
    let site = Site::with(Hub::new(), Limits::default().h2_control_frames(1)).await;
    let mut client = RawHttp2::open(site.addr).await;
    client.write(&get(1, "/events/a")).await;
    eventually("it is open", || site.hub.clients().count() == 1).await;
    for number in 1..=5 {
        site.publish("a", &"x".repeat(EVENT));
        let what = format!("event {number}");
        let mut received = 0;
        while received < EVENT {
            client.read_until(&what, |frames| !frames.is_empty()).await;
            let frames = std::mem::take(&mut client.frames);
            for frame in frames.iter().filter(|frame| frame.kind == DATA) {
                received += frame.payload.len();
                for piece in frame.payload.chunks(1024) {
                    let length = piece.len() as u32;
                    let updates = [window_update(1, length), window_update(0, length)];
                    client.write(&updates.concat()).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_ends_beside_an_open_stream() {
    let short = Duration::from_millis(100);
    let site = Site::with(Hub::new(), Limits::default().head_timeout(short)).await;
    let whole = get(3, "/events/a");
    let without_end = frame(HEADERS, END_STREAM, 3, &head("GET", "/events/a"));
    for half in [&without_end[..], &whole[..whole.len() - 1]] {
        let first = get(1, "/events/a");
        RawHttp2::open(site.addr).await.until_cut_off([first, half.to_vec()]).await;
    }
    assert_eq!(site.hub.metrics().connections_timed_out, 2);
}
