//! Bytes that nobody asked for, after a request.

use std::time::Duration;

use tidings_testkit::limit::within;
use tidings_testkit::wire::{Connection, Request, Response};
use tidings_tests::on_every_framework;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::attacker::{flood, open};
use crate::target::{Honest, Target, transports};

on_every_framework! { "hub";
    junk_on_an_open_stream_ends_it
    a_close_after_pipelined_bytes_is_noticed_at_once
    pipelined_bytes_do_not_keep_the_buffer_of_the_head
    an_upgrade_to_a_websocket_is_framed_as_its_head_says
}

pub(crate) const STREAM: &[u8] = b"GET /events?topic=junk HTTP/1.1\r\nhost: tidings.test\r\n\r\n";

async fn junk_on_an_open_stream_ends_it(package: &str) {
    for transport in transports(package) {
        junk_ends_a_stream(Target::start_on(package, transport).await).await;
    }
}

async fn junk_ends_a_stream(target: Target) {
    const PIECE: usize = 16 * 1024;
    let honest = Honest::start(&target).await;
    for junk in [b"x", b"\0", b"\n"] {
        let socket = open(target.addr(), STREAM).await.unwrap();
        let junk = junk.repeat(PIECE);
        let (sent, ended) = within("the end", flood(socket, &junk, usize::MAX)).await;
        println!("ended after {} bytes", sent * PIECE);
        assert!(ended);
        // Most of it is in buffers of the system.
        assert!(sent * PIECE < 16 << 20, "{} bytes were taken", sent * PIECE);
        target.let_go(Honest::CLIENTS as u64).await;
    }
    honest.noticed_nothing().await;
}

async fn a_close_after_pipelined_bytes_is_noticed_at_once(package: &str) {
    for transport in transports(package) {
        a_close_is_noticed(Target::start_on(package, transport).await).await;
    }
}

async fn a_close_is_noticed(target: Target) {
    for bytes in [&b"GET /healthz HTTP/1.1\r\nhost: tidings.test\r\n\r\n"[..], b"G", &[b'x'; 1_000]]
    {
        let mut socket = open(target.addr(), STREAM).await.unwrap();
        within("the stream", async { while target.clients().await == 0 {} }).await;
        socket.write_all(bytes).await.unwrap();
        drop(socket);
        // Less than any time limit. The listing itself takes some time.
        let gone = async { while target.clients().await > 0 {} };
        let gone = tokio::time::timeout(Duration::from_millis(900), gone).await;
        assert!(gone.is_ok(), "the client is still listed");
    }
}

async fn pipelined_bytes_do_not_keep_the_buffer_of_the_head(package: &str) {
    for transport in transports(package) {
        // A framework's own buffer has at most a head.
        let kept = if *transport == "auto" { 24 * 1024 } else { 80 * 1024 };
        a_buffer_is_not_kept(Target::start_on(package, transport).await, kept).await;
    }
}

async fn a_buffer_is_not_kept(target: Target, kept: usize) {
    const COUNT: usize = 300;
    let request = Request::get("/events?topic=a").header("x", "y".repeat(60_000)).bytes();
    let mut sockets = Vec::new();
    for _ in 0..COUNT {
        // One after the other: the allocator keeps what many need at the same time.
        let mut socket = open(target.addr(), &[&request[..], b"G"].concat()).await.unwrap();
        within("the stream", socket.read_u8()).await.unwrap();
        sockets.push(socket);
    }
    target.grew_at_most(COUNT * kept + (3 << 20));
}

async fn an_upgrade_to_a_websocket_is_framed_as_its_head_says(package: &str) {
    for transport in transports(package) {
        an_upgrade_is_framed(Target::start_on(package, transport).await).await;
    }
}

async fn an_upgrade_is_framed(target: Target) {
    let request = Request::get("/events?topic=a")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut response = Response::to(target.addr(), request).await;
    match response.status() {
        200 => {
            // The client panics when the body is not framed as the head says.
            response.next_message().await;
            target.publish("a", "one").await;
            assert_eq!(response.next_message().await.data(), "one");
        }
        refused => assert!((400..500).contains(&refused), "{refused}"),
    }
    // The connection does not become anything else.
    let connection = Connection::open(target.addr()).await;
    assert_eq!(connection.send(&Request::get("/healthz")).await.status(), 200);
}
