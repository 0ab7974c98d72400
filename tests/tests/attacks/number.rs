//! More connections than a hub can have, or than can wait.

use std::net::TcpListener;
use std::time::Duration;

use tidings_testkit::limit::within;
use tidings_testkit::wire::{Connection, Request};
use tidings_tests::on_every_framework;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::attacker::{burst, crowd, drip, open, rest};
use crate::http2::{PREFACE, SETTINGS};
use crate::target::{Honest, Target};
use crate::time::{HALF_HEAD, IDLE};

on_every_framework! { "hub";
    newcomers_are_served_when_silent_connections_take_all_files
    newcomers_are_served_when_idle_connections_take_all_files
    honest_clients_get_their_streams_while_others_crowd_the_lobby
    more_streams_than_files_are_closed_and_do_not_hang
    a_burst_of_connections_is_accepted_at_once
    a_crowd_connects_about_as_fast_as_to_a_server_that_only_accepts
}

/// The files of the hub, of which it keeps some in reserve.
const FILES: u32 = 300;

/// With the default limits, which would end these connections only after half a minute.
async fn newcomers_are_served_when_silent_connections_take_all_files(package: &str) {
    let target = Target::start_as_usual_with_files(package, FILES).await;
    let honest = Honest::start_insistent(&target).await;
    for _ in 0..3 {
        let sockets = crowd(target.addr(), 2 * FILES as usize, b"").await;
        // A newcomer sends its request at once.
        let request = Request::get("/events?topic=a");
        let newcomer =
            async { while Connection::try_send(target.addr(), &request).await.is_err() {} };
        within("a newcomer's stream", newcomer).await;
        drop(sockets);
    }
    let counted = target.metric("tidings_connections_ended_total").await;
    assert!(counted > 0.0, "what was ended for a newcomer is counted");
    target.closed_all_but(Honest::CLIENTS).await;
    honest.noticed_nothing().await;
}

/// With the default limits, which would end these connections only after a minute. They go before those with a stream.
async fn newcomers_are_served_when_idle_connections_take_all_files(package: &str) {
    let target = Target::start_as_usual_with_files(package, FILES).await;
    let mut before = target.follow("/events?topic=a").await;
    let http2 = [PREFACE, SETTINGS].concat();
    let slow = [IDLE, HALF_HEAD].concat();
    for bytes in [IDLE, &http2, PREFACE, &slow] {
        let sockets = crowd(target.addr(), 2 * FILES as usize, bytes).await;
        // As long as they are idle for a moment only, it is told at once that there is no room.
        let request = Request::get("/events?topic=a");
        within("newcomers", async {
            for _ in 0..20 {
                while Connection::try_send(target.addr(), &request).await.is_err() {}
            }
        })
        .await;
        drop(sockets);
        target.closed_all_but(1).await;
    }
    target.publish("a", "one").await;
    assert_eq!(before.next_message().await.data(), "one");
}

/// Connections that stay silent, that send their heads slowly, and that are idle: some hundred new ones every second.
async fn honest_clients_get_their_streams_while_others_crowd_the_lobby(package: &str) {
    let target = Target::start_as_usual_with_files(package, FILES).await;
    let addr = target.addr();
    let crowding = tokio::spawn(async move {
        let mut crowd = JoinSet::new();
        let mut every = interval(Duration::from_millis(10));
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            for bytes in [b"", HALF_HEAD, IDLE] {
                if let Ok(socket) = open(addr, bytes).await {
                    let pause =
                        Duration::from_millis(if bytes == HALF_HEAD { 100 } else { 60_000 });
                    crowd.spawn(drip(socket, b'x', pause));
                }
            }
        }
    });
    let evicted = || target.metric("tidings_connections_ended_total");
    within("a full lobby", async { while evicted().await == 0.0 {} }).await;
    let before = evicted().await;
    let mut streams = Vec::new();
    for _ in 0..40 {
        // At the first attempt.
        streams.push(target.follow("/events?topic=a").await);
    }
    assert!(evicted().await > before, "the lobby was full");
    crowding.abort();
    assert_eq!(target.publish("a", "one").await, streams.len() as u64);
    for stream in &mut streams {
        assert_eq!(stream.next_message().await.data(), "one");
    }
}

async fn more_streams_than_files_are_closed_and_do_not_hang(package: &str) {
    let target = Target::start_with_files(package, "auto", FILES).await;
    let request = Request::get("/events?topic=a").bytes();
    let sockets = crowd(target.addr(), 2 * FILES as usize, &request).await;
    // No stream is ended for another. What the hub cannot serve ends, and is not left waiting.
    let mut streams: JoinSet<_> = sockets.into_iter().map(rest).collect();
    within("the end of what it cannot serve", async {
        while streams.len() > FILES as usize {
            streams.join_next().await;
        }
    })
    .await;
    streams.shutdown().await;
    within("room for a newcomer", async {
        let request = Request::get("/healthz");
        while Connection::try_send(target.addr(), &request).await.is_err() {}
    })
    .await;
    target.let_go(0).await;
    target.closed_all_but(0).await;
}

async fn a_burst_of_connections_is_accepted_at_once(package: &str) {
    const COUNT: usize = 3_000;
    let target = Target::start(package).await;
    let queue = std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux says it");
    let queue: usize = queue.trim().parse().expect("a number");
    assert!(queue >= COUNT, "net.core.somaxconn is {queue}: too small for this test");
    let (sockets, slowest) = burst(target.addr(), COUNT).await;
    println!("{package}: the slowest of {COUNT} connections took {slowest:?}");
    assert_eq!(sockets.len(), COUNT);
    // The first packet of a connection for which there is no room is sent again after a second.
    assert!(slowest < Duration::from_secs(1), "the slowest connection took {slowest:?}");
    drop(sockets);
    target.closed_all_but(0).await;
}

/// Beside a thread that does nothing but accept, with the longest queue that the system allows.
async fn a_crowd_connects_about_as_fast_as_to_a_server_that_only_accepts(package: &str) {
    // A debug build beside other tests shows only what waits for second packets.
    let (count, most) = if cfg!(debug_assertions) { (6_000, 5) } else { (15_000, 3) };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, i32::MAX).unwrap();
    let addr = listener.local_addr().unwrap();
    // It closes them: this process may not have enough files for both ends.
    let accepting = std::thread::spawn(move || {
        for _ in 0..count {
            drop(listener.accept().expect("a connection"));
        }
    });
    let (sockets, floor) = burst(addr, count).await;
    assert_eq!(sockets.len(), count);
    tokio::task::spawn_blocking(|| accepting.join()).await.unwrap().unwrap();
    drop(sockets);

    // With limits in time that end none of them meanwhile.
    let target = Target::start_as_usual(package).await;
    let (sockets, took) = burst(target.addr(), count).await;
    assert_eq!(sockets.len(), count);
    let times = took.as_secs_f64() / floor.as_secs_f64();
    println!("{package}: {count} connections took {took:?}, {times:.1} times {floor:?}");
    assert!(took < floor * most, "{took:?}, not about {floor:?}");
}
