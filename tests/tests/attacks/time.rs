//! Connections that send too little, or nothing.

use std::time::{Duration, Instant};

use tidings_testkit::limit::within;
use tidings_tests::on_every_framework;

use crate::attacker::{crowd, drip, ends, open, rest};
use crate::http2::{PREFACE, SETTINGS, endless_headers, get};
use crate::target::{Honest, SOON, Target};

on_every_framework! { "hub";
    silent_connections_are_ended_and_cost_little
    half_a_head_is_ended
    a_head_of_one_byte_now_and_then_is_ended
    half_a_preface_of_http2_is_ended
    a_preface_of_http2_and_nothing_more_is_ended
    an_idle_connection_of_http2_is_ended
    half_a_head_of_http2_is_ended
    an_idle_connection_is_ended_after_its_request
    a_body_that_stops_is_ended
    a_head_of_350_kib_is_refused_and_costs_little
    unfinished_bodies_are_ended
}

pub(crate) const HALF_HEAD: &[u8] = b"GET /events?topic=a HTTP/1.1\r\nhost: tidings.test\r\nx: ";
pub(crate) const IDLE: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: tidings.test\r\n\r\n";
pub(crate) const STOPPED_BODY: &[u8] =
    b"POST /publish?topic=a HTTP/1.1\r\nhost: tidings.test\r\ncontent-length: 100000\r\n\r\nabc";

/// Connections that send this are ended by this limit of [`SOON`]. Honest clients do not notice.
async fn is_ended_soon(package: &str, bytes: &[u8], limit: &str) {
    let target = Target::start_limited(package, &format!("{limit}={}", SOON.as_millis())).await;
    let honest = Honest::start(&target).await;
    let began = Instant::now();
    let sockets = crowd(target.addr(), 200, bytes).await;
    assert_eq!(sockets.len(), 200);
    within("the ends of the connections", ends(sockets)).await;
    println!("{package}: all have ended after {:?}", began.elapsed());
    target.closed_all_but(Honest::CLIENTS).await;
    honest.noticed_nothing().await;
}

async fn silent_connections_are_ended_and_cost_little(package: &str) {
    const COUNT: usize = 3_000;
    let target = Target::start(package).await;
    let honest = Honest::start(&target).await;
    let began = Instant::now();
    let sockets = crowd(target.addr(), COUNT, b"").await;
    assert_eq!(sockets.len(), COUNT);
    // They cost the same once they were accepted. The limit may end the first ones meanwhile.
    target.grew_at_most(COUNT * 2 * 1024 + (3 << 20));
    within("the ends of the connections", ends(sockets)).await;
    assert!(began.elapsed() >= SOON / 2, "they may be about to send something");
    target.closed_all_but(Honest::CLIENTS).await;
    honest.noticed_nothing().await;
}

async fn half_a_head_is_ended(package: &str) {
    is_ended_soon(package, HALF_HEAD, "head_timeout").await;
}

async fn a_head_of_one_byte_now_and_then_is_ended(package: &str) {
    let target = Target::start_limited(package, "head_timeout=1000").await;
    let honest = Honest::start(&target).await;
    let socket = open(target.addr(), HALF_HEAD).await.unwrap();
    within("the end of the connection", drip(socket, b'x', SOON / 5)).await;
    // Before its first request, and after one.
    let socket = open(target.addr(), &[IDLE, HALF_HEAD].concat()).await.unwrap();
    within("the end of the connection", drip(socket, b'x', SOON / 5)).await;
    honest.noticed_nothing().await;
}

async fn half_a_preface_of_http2_is_ended(package: &str) {
    is_ended_soon(package, b"PRI * HT", "head_timeout").await;
}

async fn a_preface_of_http2_and_nothing_more_is_ended(package: &str) {
    is_ended_soon(package, PREFACE, "handshake_timeout").await;
}

async fn an_idle_connection_of_http2_is_ended(package: &str) {
    is_ended_soon(package, &[PREFACE, SETTINGS].concat(), "idle_timeout").await;
}

/// Beside a stream, so that the connection is not idle.
async fn half_a_head_of_http2_is_ended(package: &str) {
    let stream = get(1, "/events?topic=quiet");
    let head = [PREFACE, SETTINGS, &stream, &endless_headers(3)].concat();
    is_ended_soon(package, &head, "head_timeout").await;
}

async fn an_idle_connection_is_ended_after_its_request(package: &str) {
    is_ended_soon(package, IDLE, "idle_timeout").await;
}

async fn a_body_that_stops_is_ended(package: &str) {
    is_ended_soon(package, STOPPED_BODY, "body_timeout").await;
}

async fn a_head_of_350_kib_is_refused_and_costs_little(package: &str) {
    const COUNT: usize = 200;
    let target = Target::start(package).await;
    let honest = Honest::start(&target).await;
    let head = [HALF_HEAD, &[b'x'; 350 * 1024], b"\r\n\r\n"].concat();
    let socket = open(target.addr(), &head).await;
    if let Ok(socket) = socket {
        let answer = within("the end of the connection", rest(socket)).await;
        let answer = String::from_utf8_lossy(&answer);
        // The answer is lost if the connection is reset before it was read.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    // Unfinished: a server that has no limit keeps all of it.
    let unfinished = &head[..head.len() - 4];
    let mut sockets = Vec::new();
    for _ in 0..COUNT {
        let sending =
            tokio::time::timeout(Duration::from_millis(50), open(target.addr(), unfinished));
        // The server takes no more than its limit.
        sockets.extend(sending.await.into_iter().flatten());
    }
    target.grew_at_most(COUNT * 64 * 1024 + (4 << 20));
    within("the ends of the connections", ends(sockets)).await;
    honest.noticed_nothing().await;
}

async fn unfinished_bodies_are_ended(package: &str) {
    const COUNT: usize = 50;
    let target = Target::start(package).await;
    let honest = Honest::start(&target).await;
    let head =
        b"POST /publish?topic=a HTTP/1.1\r\nhost: tidings.test\r\ncontent-length: 2000000\r\n\r\n";
    let body = [&head[..], &[b'x'; 1_900_000]].concat();
    let sockets = crowd(target.addr(), COUNT, &body).await;
    within("the ends of the connections", ends(sockets)).await;
    target.closed_all_but(Honest::CLIENTS).await;
    honest.noticed_nothing().await;
}
