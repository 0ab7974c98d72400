//! Floods of HTTP/2 frames. They are written by hand, because a client library would not send them.

use std::net::SocketAddr;
use std::time::Duration;

use tidings_testkit::limit::within;
use tidings_testkit::wire::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame, window_update,
};
pub(crate) use tidings_testkit::wire::frames::{PREFACE, window_of_streams as narrow_window};
use tidings_tests::on_every_framework;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::attacker::{ends, flood, open, rest};
use crate::target::{Honest, Target};

on_every_framework! { "hub";
    streams_that_are_reset_at_once_cost_nothing
    endless_continuation_is_ended
    a_small_block_that_becomes_large_headers_is_refused
    empty_data_is_ended
    tiny_data_costs_little
    more_streams_than_allowed_are_refused
    a_flood_of_settings_is_ended
    a_flood_of_pings_is_ended
    a_flood_of_windows_is_ended
    a_flood_whose_answers_are_not_read_is_ended
}

/// SETTINGS without a setting.
pub(crate) const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// PING.
pub(crate) const PING: &[u8] = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00attacker";

/// Settings and a frame that leave each stream and the connection a window as large as it may be.
pub(crate) fn wide_windows() -> Vec<u8> {
    const MOST: u32 = (1 << 31) - 1;

    // The connection has 65,535 already.
    [narrow_window(MOST), window_update(0, MOST - 65_535)].concat()
}

/// A text of HPACK (RFC 7541, section 5.2), without Huffman's code.
fn text(bytes: &[u8]) -> Vec<u8> {
    let mut coded = match bytes.len() {
        short @ ..127 => vec![short as u8],
        long => {
            let mut rest = long - 127;
            let mut coded = vec![127];
            while rest >= 128 {
                coded.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            coded.push(rest as u8);
            coded
        }
    };
    coded.extend_from_slice(bytes);
    coded
}

/// The header block of a request: its pseudo-headers are in the static table (RFC 7541, appendix A).
fn request(is_post: bool, target: &str) -> Vec<u8> {
    let method = if is_post { 0x83 } else { 0x82 };
    [&[method, 0x86, 0x04][..], &text(target.as_bytes()), &[0x01], &text(b"tidings.test")].concat()
}

/// A GET request on a stream.
pub(crate) fn get(stream: u32, target: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &request(false, target))
}

/// Requests whose streams are reset at once.
pub(crate) fn rapid_resets(count: u32) -> Vec<u8> {
    (0..count)
        .map(|n| 2 * n + 1)
        .flat_map(|stream| {
            [get(stream, "/events?topic=reset"), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
                .concat()
        })
        .collect()
}

/// A header that is not in the table.
fn literal() -> Vec<u8> {
    [&[0x10][..], &text(b"x"), &text(&[b'y'; 100])].concat()
}

/// The beginning of a header block that does not end.
pub(crate) fn endless_headers(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM, stream, &request(false, "/events?topic=a"))
}

pub(crate) fn continuation() -> Vec<u8> {
    frame(CONTINUATION, 0, 1, &literal().repeat(100))
}

/// Requests with one header of 4,000 bytes, which is put in the table and then named 12,000 times.
pub(crate) fn bombs(count: u32) -> Vec<u8> {
    let large = [&[0x40][..], &text(b"x"), &text(&[b'y'; 4_000])].concat();
    let bomb = |n| {
        // The last entry of the table.
        let block = [request(false, "/healthz"), large.clone(), vec![0x80 | 62; 12_000]].concat();
        frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &block)
    };
    (0..count).flat_map(bomb).collect()
}

/// The head of a request with a body.
pub(crate) fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &request(true, "/publish?topic=a"))
}

pub(crate) fn empty_data(stream: u32) -> Vec<u8> {
    frame(DATA, 0, stream, b"")
}

/// A request whose body comes byte by byte, as far as the windows allow, and that nobody reads; and a stream that goes on.
fn tiny_data() -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, 1, &request(true, "/nowhere"));
    [head, frame(DATA, 0, 1, b"x").repeat(60_000), get(3, "/events?topic=tiny")].concat()
}

/// Connects, and sends the preface and frames.
pub(crate) async fn open_h2(addr: SocketAddr, frames: &[u8]) -> TcpStream {
    // A server without HTTP/2 may end it at any byte.
    let mut socket = open(addr, PREFACE).await.expect("a connection");
    let _ = socket.write_all(&[SETTINGS, frames].concat()).await;
    socket
}

/// How much a hub may grow by what ends at once: what its allocator keeps.
const NOTHING: usize = 8 << 20;

/// A connection that begins with these frames and goes on with the others is ended, and honest clients do not notice. Returns
/// how many such connections were counted.
async fn flood_is_ended(package: &str, first: &[u8], then: &[u8]) -> f64 {
    // The limits of idle connections, of heads and of bodies would end it, too.
    let target = Target::start_limited(package, "handshake_timeout=1000").await;
    let honest = Honest::start(&target).await;
    let socket = open_h2(target.addr(), first).await;
    let then = then.repeat(1 + 10_000 / then.len());
    let (sent, _) = within("the end of the flood", flood(socket, &then, usize::MAX)).await;
    println!("{package}: ended after {} bytes", sent * then.len());
    target.grew_at_most(NOTHING);
    target.closed_all_but(Honest::CLIENTS).await;
    honest.noticed_nothing().await;
    target.metric("tidings_connections_ended_total{reason=\"flood\"}").await
}

async fn streams_that_are_reset_at_once_cost_nothing(package: &str) {
    // The limit of idle connections would end it, too.
    let target = Target::start_limited(package, "head_timeout=1000").await;
    let honest = Honest::start(&target).await;
    let mut socket = open_h2(target.addr(), &[]).await;
    // It fails if the server has ended the connection meanwhile.
    let _ = within("the flood", socket.write_all(&rapid_resets(20_000))).await;
    within("the end of the connection", rest(socket)).await;
    target.let_go(Honest::CLIENTS as u64).await;
    target.grew_at_most(NOTHING);
    target.closed_all_but(Honest::CLIENTS).await;
    honest.noticed_nothing().await;
}

async fn endless_continuation_is_ended(package: &str) {
    flood_is_ended(package, &endless_headers(1), &continuation()).await;
}

async fn a_small_block_that_becomes_large_headers_is_refused(package: &str) {
    let target = Target::start(package).await;
    let honest = Honest::start(&target).await;
    let socket = open_h2(target.addr(), &[]).await;
    // One of them would be 48 MB.
    within("the bombs", flood(socket, &bombs(50), 1)).await;
    target.closed_all_but(Honest::CLIENTS).await;
    target.grew_at_most(NOTHING);
    honest.noticed_nothing().await;
}

async fn empty_data_is_ended(package: &str) {
    flood_is_ended(package, &post(1), &empty_data(1)).await;
}

async fn tiny_data_costs_little(package: &str) {
    let target = Target::start_limited(package, "handshake_timeout=1000").await;
    let honest = Honest::start(&target).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(open_h2(target.addr(), &tiny_data()).await);
    }
    within("the end of the connections", ends(sockets)).await;
    target.grew_at_most(NOTHING);
    target.closed_all_but(Honest::CLIENTS).await;
    honest.noticed_nothing().await;
}

async fn more_streams_than_allowed_are_refused(package: &str) {
    let target = Target::start(package).await;
    let honest = Honest::start(&target).await;
    let streams: Vec<u8> = (0..1_000).flat_map(|n| get(2 * n + 1, "/events?topic=many")).collect();
    let socket = open_h2(target.addr(), &streams).await;
    let allowed = 250 + Honest::CLIENTS as u64;
    within("the first streams", async { while target.clients().await < allowed {} }).await;
    // The others are refused.
    assert_eq!(target.clients().await, allowed, "streams of one connection, and honest ones");
    target.grew_at_most(NOTHING);
    drop(socket);
    target.let_go(Honest::CLIENTS as u64).await;
    honest.noticed_nothing().await;
}

async fn a_flood_of_settings_is_ended(package: &str) {
    assert_eq!(flood_is_ended(package, b"", SETTINGS).await, 1.0);
}

async fn a_flood_of_pings_is_ended(package: &str) {
    assert_eq!(flood_is_ended(package, b"", PING).await, 1.0);
}

async fn a_flood_of_windows_is_ended(package: &str) {
    let window = window_update(0, 1);
    assert_eq!(flood_is_ended(package, b"", &window).await, 1.0);
}

async fn a_flood_whose_answers_are_not_read_is_ended(package: &str) {
    for frame in [SETTINGS, PING] {
        // The limit of writes would end it, too.
        let target = Target::start_limited(package, "head_timeout=1000").await;
        let honest = Honest::start(&target).await;
        let mut socket = open_h2(target.addr(), &[]).await;
        let frames = frame.repeat(10_000);
        let sending = async { while socket.write_all(&frames).await.is_ok() {} };
        within("the end of the flood", sending).await;
        target.grew_at_most(NOTHING);
        drop(socket);
        target.closed_all_but(Honest::CLIENTS).await;
        honest.noticed_nothing().await;
    }
}

/// For attacks at random: sends frames again and again for some time.
pub(crate) async fn rage(addr: SocketAddr, first: &[u8], then: &[u8], pause: Duration) {
    let Ok(mut socket) = open(addr, &[PREFACE, SETTINGS, first].concat()).await else { return };
    while socket.write_all(then).await.is_ok() {
        let _ = tokio::time::timeout(pause, crate::attacker::read_on(&mut socket)).await;
    }
}
