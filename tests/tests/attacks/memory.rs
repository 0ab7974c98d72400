//! Readers that stall, one after the other, each on an event that its topic no longer retains.

use std::time::Duration;

use tidings_testkit::limit::within;
use tidings_testkit::wire::{Connection, Request};
use tidings_tests::on_every_framework;
use tokio::io::AsyncWriteExt;

use crate::attacker::{open_narrow, rest};
use crate::http2::{PREFACE, get, narrow_window, open_h2, wide_windows};
use crate::target::{Honest, Target, transports};

on_every_framework! { "hub";
    waves_of_stalled_readers_hold_no_more_than_the_budget
    streams_of_http2_with_a_small_window_hold_no_more_than_the_budget
    streams_of_http2_with_large_windows_that_are_not_read_hold_some_pieces_each
}

const WAVES: u64 = 200;

/// The budget of 64 MiB, and half of it for the event that is published, its request, and the connections.
const MOST: usize = 96 << 20;

/// An event of almost 1 MiB, which its topic retains alone.
fn large() -> Vec<u8> {
    vec![b'x'; 1_000_000]
}

async fn waves_of_stalled_readers_hold_no_more_than_the_budget(package: &str) {
    for transport in transports(package) {
        waves_hold_no_more(Target::start_on(package, transport).await).await;
    }
}

async fn waves_hold_no_more(target: Target) {
    let honest = Honest::start(&target).await;
    let mut stalled = Vec::new();
    for _ in 0..WAVES {
        let connection = Connection::open_narrow(target.addr(), 4096).await;
        stalled.push(connection.send(&Request::get("/events?topic=large")).await);
        target.publish("large", large()).await;
    }
    target.grew_at_most(MOST);
    honest.noticed_nothing().await;
    drop(stalled);
    target.let_go(0).await;
}

async fn streams_of_http2_with_a_small_window_hold_no_more_than_the_budget(package: &str) {
    let target = Target::start(package).await;
    let honest = Honest::start(&target).await;
    let socket = open_h2(target.addr(), &narrow_window(200)).await.into_std().expect("a socket");
    let reader = tokio::net::TcpStream::from_std(socket.try_clone().expect("a socket"));
    let reader = tokio::spawn(rest(reader.expect("a socket")));
    let mut socket = tokio::net::TcpStream::from_std(socket).expect("a socket");
    for n in 0..WAVES {
        let stream = u32::try_from(2 * n + 1).expect("a small number");
        if socket.write_all(&get(stream, "/events?topic=large")).await.is_err() {
            break;
        }
        target.publish("large", large()).await;
    }
    target.grew_at_most(MOST);
    honest.noticed_nothing().await;
    drop(socket);
    reader.abort();
    // Nobody waits for a window for ever.
    within("the end of stalled streams", async { while target.clients().await > 0 {} }).await;
}

async fn streams_of_http2_with_large_windows_that_are_not_read_hold_some_pieces_each(
    package: &str,
) {
    const STREAMS: u32 = 250;
    /// Twelve KiB for each, and as much again for the stream and its allocations; and the event twice.
    const MOST: usize = 8 << 20;

    // The limit of writes would end it.
    let target = Target::start_limited(package, "handshake_timeout=1000").await;
    let honest = Honest::start(&target).await;
    target.publish("large", large()).await;
    let streams =
        (0..STREAMS).flat_map(|n| get(2 * n + 1, "/events?topic=large&history=all")).collect();
    let frames = [PREFACE.to_vec(), wide_windows(), streams].concat();
    let socket = open_narrow(target.addr(), &frames).await.expect("a connection");
    let all = u64::from(STREAMS) + Honest::CLIENTS as u64;
    within("all streams", async { while target.clients().await < all {} }).await;
    within("the end of growth", async {
        let (mut most, mut since) = (0, tokio::time::Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            // The honest events are retained, too.
            if target.growth() > most + (256 << 10) {
                (most, since) = (target.growth(), tokio::time::Instant::now());
            }
        }
    })
    .await;
    target.grew_at_most(MOST);
    honest.noticed_nothing().await;
    drop(socket);
    target.let_go(0).await;
}
