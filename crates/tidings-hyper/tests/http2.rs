//! Clients of HTTP/2 that attack: they send frames by hand.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::time::Duration;

use site::Site;
use tidings::Hub;
use tidings_net::Limits;
use tidings_testkit::limit::{eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More than any limit allows.
const FLOOD: usize = 5_000;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `:scheme: http`, the method, and the path, without Huffman's code.
fn head(method: &str, path: &str) -> Vec<u8> {
    let field = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
    [vec![0x86], field(2, method), field(4, path), field(1, "tidings.test")].concat()
}

struct Attacker(TcpStream);

impl Attacker {
    async fn connect(site: &Site) -> Self {
        let mut socket = TcpStream::connect(site.addr).await.unwrap();
        socket.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
        Self(socket)
    }

    /// Sends all frames, and reads until the server ends the connection. Returns what it said.
    async fn until_cut_off(mut self, frames: impl Iterator<Item = Vec<u8>>) -> Vec<Frame> {
        let frames = frames.collect::<Vec<_>>().concat();
        let (mut reads, mut writes) = self.0.split();
        let mut all = Vec::new();
        within("the end of the connection", async {
            let writing = async {
                let _ = writes.write_all(&frames).await;
            };
            let reading = async {
                let _ = reads.read_to_end(&mut all).await;
            };
            tokio::join!(writing, reading)
        })
        .await;
        Frame::all(&all)
    }

    /// Reads until these streams have been reset for their stall, and no other.
    async fn read_until_reset(&mut self, all: &mut Vec<u8>, expected: &[u32]) {
        within("the reset of the stalled streams", async {
            loop {
                let frames = Frame::all(all);
                let resets = frames.iter().filter(|frame| frame.kind == RST_STREAM);
                let mut streams: Vec<_> = resets.clone().map(|frame| frame.stream).collect();
                streams.sort_unstable();
                // `CANCEL`.
                assert!(resets.clone().all(|frame| frame.payload == [0, 0, 0, 8]), "{frames:?}");
                if streams == expected {
                    break;
                }
                assert_ne!(self.0.read_buf(all).await.unwrap(), 0, "{streams:?} of {expected:?}");
            }
        })
        .await;
    }
}

/// A frame of the server.
#[derive(Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn all(mut bytes: &[u8]) -> Vec<Self> {
        let mut frames = Vec::new();
        while bytes.len() >= 9 {
            let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
            let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
            if bytes.len() < 9 + length {
                break;
            }
            frames.push(Self { kind: bytes[3], stream, payload: bytes[9..9 + length].to_vec() });
            bytes = &bytes[9 + length..];
        }
        frames
    }
}

#[tokio::test]
async fn a_client_that_sends_no_settings_until_cut_off() {
    let short = Duration::from_millis(100);
    let site = Site::with(Hub::new(), Limits::default().handshake_timeout(short)).await;
    let mut socket = TcpStream::connect(site.addr).await.unwrap();
    socket.write_all(PREFACE).await.unwrap();
    Attacker(socket).until_cut_off(std::iter::empty()).await;
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
        let said = Attacker::connect(&site).await.until_cut_off(frames).await;
        let answers = said.iter().filter(|frame| frame.kind == SETTINGS || frame.kind == PING);
        assert!(answers.count() <= 1_010, "{what}");
    }
}

#[tokio::test]
async fn a_connection_is_idle_after_a_tunnel() {
    let limits = Limits::default().idle_timeout(Duration::from_millis(200));
    let site = Site::with(Hub::new(), limits).await;
    let client = Attacker::connect(&site).await;
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
    let mut client = Attacker::connect(&site).await.0;
    let open = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/events/a"));
    client.write_all(&open).await.unwrap();
    let mut said = Vec::new();
    within("a ping", async {
        while !Frame::all(&said).iter().any(|frame| frame.kind == PING) {
            assert_ne!(client.read_buf(&mut said).await.unwrap(), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn rapid_reset_ends() {
    let site = Site::new().await;
    let attacks = (0..FLOOD as u32).map(|n| {
        let stream = 2 * n + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", "/events/a"));
        [open, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    });
    Attacker::connect(&site).await.until_cut_off(attacks).await;
    eventually("no client is left", || site.hub.clients().count() == 0).await;
}

#[tokio::test]
async fn a_head_without_end_ends() {
    let site = Site::new().await;
    let open = frame(HEADERS, END_STREAM, 1, &head("GET", "/events/a"));
    let more = frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'x'].repeat(50));
    Attacker::connect(&site)
        .await
        .until_cut_off(std::iter::once(open).chain(std::iter::repeat_n(more, FLOOD)))
        .await;
    assert_eq!(site.hub.clients().count(), 0);
}

#[tokio::test]
async fn a_head_that_unpacks_to_much_is_refused() {
    let site = Site::new().await;
    let mut attacker = Attacker::connect(&site).await;
    // A field of 3,000 bytes goes into the table, and a byte names it again and again: 30 MB in all.
    let mut block = head("GET", "/events/a");
    block.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xb9, 0x16]);
    block.resize(block.len() + 3_000, b'x');
    block.resize(block.len() + 10_000, 0x80 | 62);
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    attacker.0.write_all(&request).await.unwrap();
    let answer = within("an answer", async {
        let mut all = Vec::new();
        loop {
            let length = attacker.0.read_buf(&mut all).await.unwrap();
            let mut answers = Frame::all(&all).into_iter();
            let is_answer = |frame: &Frame| [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind);
            match answers.find(is_answer) {
                Some(answer) => break answer,
                None => assert!(length > 0, "the connection ends without a word"),
            }
        }
    })
    .await;
    // 8 is the static table's `:status: 200`.
    assert!(answer.kind != HEADERS || answer.payload[0] != 0x80 | 8, "{answer:?}");
    assert_eq!(site.hub.clients().count(), 0);
}

#[tokio::test]
async fn a_connection_has_a_limited_number_of_streams() {
    let site = Site::with(Hub::new(), Limits::default().h2_streams(100)).await;
    let mut attacker = Attacker::connect(&site).await;
    let requests = (0..1_000)
        .map(|n| frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &head("GET", "/events/a")));
    attacker.0.write_all(&requests.collect::<Vec<_>>().concat()).await.unwrap();
    let mut all = Vec::new();
    let refused = within("the answers", async {
        loop {
            let frames = Frame::all(&all);
            let refused = frames.iter().filter(|frame| frame.kind == RST_STREAM);
            let refused = refused.map(|frame| (frame.stream, frame.payload.clone()));
            let refused: Vec<_> = refused.collect();
            if refused.len() == 900 || frames.iter().any(|frame| frame.kind == GOAWAY) {
                break refused;
            }
            assert!(attacker.0.read_buf(&mut all).await.unwrap() > 0);
        }
    })
    .await;
    for (stream, reason) in refused {
        assert_eq!(reason, [0, 0, 0, 7], "stream {stream} is refused, and may be tried again");
    }
    assert!(site.hub.clients().count() <= 100);
}

/// For a request without a body.
fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path))
}

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
fn window_of_streams(bytes: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 4], &bytes.to_be_bytes()[..]].concat())
}

fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

#[tokio::test]
async fn a_stream_without_a_window_is_reset_and_no_other() {
    let limit = Duration::from_millis(200);
    let site = Site::with(Hub::new(), Limits::default().write_timeout(limit)).await;
    let mut client = Attacker::connect(&site).await;
    // The first has a window, and nothing to send.
    let frames = [
        window_of_streams(0),
        get(1, "/events/a"),
        window_update(1, 1 << 16),
        get(3, "/events/a"),
        get(5, "/events/b"),
    ];
    client.0.write_all(&frames.concat()).await.unwrap();
    let mut all = Vec::new();
    client.read_until_reset(&mut all, &[3, 5]).await;
    eventually("only that one is left", || site.hub.clients().count() == 1).await;
    tokio::time::sleep(limit * 3).await;
    site.publish("a", "hello");
    within("an event", async {
        while !String::from_utf8_lossy(&all).contains("data: hello\n") {
            assert_ne!(client.0.read_buf(&mut all).await.unwrap(), 0);
        }
    })
    .await;
    assert_eq!(site.hub.metrics().connections_timed_out, 0);
}

#[tokio::test]
async fn a_stream_that_waits_for_the_window_of_the_connection_is_reset() {
    let limit = Duration::from_millis(200);
    let site = Site::with(Hub::new(), Limits::default().write_timeout(limit)).await;
    let mut client = Attacker::connect(&site).await;
    // Of which the connection has 65,535 bytes.
    let frames = [window_of_streams(1 << 20), get(1, "/events/a"), get(3, "/events/b")];
    client.0.write_all(&frames.concat()).await.unwrap();
    eventually("they are open", || site.hub.clients().count() == 2).await;
    site.publish("a", &"x".repeat(100_000));
    client.read_until_reset(&mut Vec::new(), &[1]).await;
    eventually("only the other is left", || site.hub.clients().count() == 1).await;
}

#[tokio::test]
async fn a_response_whose_end_waits_for_a_window_is_reset() {
    let limit = Duration::from_millis(200);
    let site = Site::with(Hub::new(), Limits::default().write_timeout(limit)).await;
    let mut client = Attacker::connect(&site).await;
    let frames = [
        window_of_streams(100),
        frame(HEADERS, END_HEADERS, 1, &head("POST", "/echo/1")),
        frame(DATA, END_STREAM, 1, &[b'x'; 10_000]),
    ];
    client.0.write_all(&frames.concat()).await.unwrap();
    client.read_until_reset(&mut Vec::new(), &[1]).await;
}

#[tokio::test]
async fn a_stream_whose_window_opens_slowly_goes_on() {
    let limit = Duration::from_millis(400);
    let site = Site::with(Hub::new(), Limits::default().write_timeout(limit)).await;
    let mut client = Attacker::connect(&site).await;
    // An event of 60,000 bytes, and a window of 500.
    client.0.write_all(&[window_of_streams(500), get(1, "/events/a")].concat()).await.unwrap();
    eventually("it is open", || site.hub.clients().count() == 1).await;
    site.publish("a", &"x".repeat(60_000));
    for _ in 0..12 {
        tokio::time::sleep(limit / 4).await;
        assert_eq!(site.hub.clients().count(), 1);
        client.0.write_all(&window_update(1, 100)).await.unwrap();
    }
    client.read_until_reset(&mut Vec::new(), &[1]).await;
    eventually("it is gone", || site.hub.clients().count() == 0).await;
}

#[tokio::test]
async fn a_client_may_open_windows_for_each_kib_that_it_reads() {
    const EVENT: usize = 60_000;

    // So few that any frame of these would end it.
    let site = Site::with(Hub::new(), Limits::default().h2_control_frames(1)).await;
    let mut client = Attacker::connect(&site).await;
    client.0.write_all(&get(1, "/events/a")).await.unwrap();
    eventually("it is open", || site.hub.clients().count() == 1).await;
    let mut all = Vec::new();
    for number in 1..=5 {
        site.publish("a", &"x".repeat(EVENT));
        let mut received = 0;
        within("an event", async {
            while received < EVENT {
                assert_ne!(client.0.read_buf(&mut all).await.unwrap(), 0, "at event {number}");
                let frames = Frame::all(&all);
                all.drain(..frames.iter().map(|frame| 9 + frame.payload.len()).sum::<usize>());
                for frame in frames.iter().filter(|frame| frame.kind == DATA) {
                    received += frame.payload.len();
                    for piece in frame.payload.chunks(1024) {
                        let length = piece.len() as u32;
                        let updates = [window_update(1, length), window_update(0, length)];
                        client.0.write_all(&updates.concat()).await.unwrap();
                    }
                }
            }
        })
        .await;
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
        Attacker::connect(&site).await.until_cut_off([first, half.to_vec()].into_iter()).await;
    }
    assert_eq!(site.hub.metrics().connections_timed_out, 2);
}
