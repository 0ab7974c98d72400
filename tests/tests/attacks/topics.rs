//! Subscriptions that cost more than a client should.

use std::fmt::Write;
use std::net::SocketAddr;

use tidings_testkit::limit::within;
use tidings_testkit::wire::{Ending, Request, Response};
use tidings_tests::on_every_framework;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::attacker::open;
use crate::target::{Honest, Target};

on_every_framework! { "hub";
    a_subscription_of_too_many_topics_is_refused
    a_subscription_of_too_many_patterns_is_refused
    many_topics_that_are_silent_do_not_delay_the_shared_one
    patterns_over_many_topics_do_not_stop_the_hub
    patterns_that_match_late_do_not_delay_publications
    small_topics_cost_what_the_hub_counts
}

/// A request for many topics or patterns.
pub(crate) fn events<T: std::fmt::Display>(
    topics: impl IntoIterator<Item = T>,
    more: &str,
) -> Request {
    let mut target = "/events?".to_owned();
    for topic in topics {
        write!(target, "topic={topic}&").expect("a text takes everything");
    }
    Request::get(&(target + more))
}

async fn is_refused(package: &str, request: Request, limits: [&str; 2]) {
    let target = Target::start_as_usual(package).await;
    let mut response = Response::to(target.addr(), request).await;
    assert_eq!(response.status(), 400, "it is not refused");
    assert_eq!(response.read_to_end().await, Ending::Whole);
    let reason = response.text();
    assert!(limits.iter().any(|limit| reason.contains(limit)), "it names the limit: {reason}");
}

async fn a_subscription_of_too_many_topics_is_refused(package: &str) {
    is_refused(package, events(10_000..15_000, ""), ["1000", "1,000"]).await;
}

async fn a_subscription_of_too_many_patterns_is_refused(package: &str) {
    let patterns = (1_000..5_500).map(|n| format!("a{n}*"));
    is_refused(package, events(patterns, ""), ["64", "64"]).await;
}

async fn many_topics_that_are_silent_do_not_delay_the_shared_one(package: &str) {
    let target = Target::start_as_usual(package).await;
    let honest = Honest::start(&target).await;
    let mut streams = Vec::new();
    for n in 0..100 {
        let own = (0..999).map(|topic| format!("{n}:{topic}")).chain(["shared".to_owned()]);
        streams.push(Response::to(target.addr(), events(own, "")).await);
        assert_eq!(streams[n].status(), 200);
    }
    println!("{package}: {} bytes for each of their topics", target.growth() / 100_000);
    target.grew_at_most(100_000 * 600);
    for n in 0..200 {
        assert_eq!(target.publish("shared", format!("{n}")).await, 100);
    }
    for stream in &mut streams {
        // The status event is the first.
        stream.read_messages(201).await;
    }
    // Nor when all of them leave at once.
    drop(streams);
    target.let_go(Honest::CLIENTS as u64).await;
    honest.noticed_nothing().await;
}

/// Publishes one small event to each of many topics, with the names `p/0` and so on.
async fn publish_to_many(addr: SocketAddr, topics: usize) {
    const TASKS: usize = 4;
    const BATCH: usize = 250;
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(async move {
            let mut socket = open(addr, b"").await.expect("a connection");
            for first in (task * BATCH..topics).step_by(TASKS * BATCH) {
                let request = |n| Request::post(&format!("/publish?topic=p/{n}"), "x").bytes();
                let batch: Vec<u8> = (first..first + BATCH).flat_map(request).collect();
                socket.write_all(&batch).await.expect("requests are taken");
                let (mut answers, mut bytes) = (0, Vec::new());
                while answers < BATCH {
                    let read = within("answers", socket.read_buf(&mut bytes)).await;
                    assert_ne!(read.expect("answers"), 0, "the connection has ended");
                    while let Some(at) = bytes.windows(12).position(|part| part == b"HTTP/1.1 200")
                    {
                        bytes.drain(..at + 12);
                        answers += 1;
                    }
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("all are published");
    }
}

async fn patterns_over_many_topics_do_not_stop_the_hub(package: &str) {
    let target = Target::start_as_usual(package).await;
    // Without optimisation, each of them takes many times as long.
    publish_to_many(target.addr(), if cfg!(debug_assertions) { 10_000 } else { 100_000 }).await;
    let honest = Honest::start(&target).await;
    let mut asking = Vec::new();
    for n in 0..8 {
        // One prefix, and many suffixes.
        let patterns: Vec<_> = (0..64).map(|m| format!("p/*{n}*{m}")).collect();
        asking.push(open(target.addr(), &events(patterns, "history=all").bytes()).await.unwrap());
    }
    let all = (Honest::CLIENTS + asking.len()) as u64;
    within("their streams", async { while target.clients().await < all {} }).await;
    // What they ask for may take its time, but nobody else's.
    for n in 0..50 {
        target.publish("p/1", format!("{n}")).await;
    }
    drop(asking);
    target.let_go(Honest::CLIENTS as u64).await;
    honest.noticed_nothing().await;
}

async fn patterns_that_match_late_do_not_delay_publications(package: &str) {
    let target = Target::start_as_usual(package).await;
    let honest = Honest::start(&target).await;
    let mut streams = Vec::new();
    for n in 0..40 {
        let patterns = (0..64).map(|m| format!("*{}b{n}-{m}", "a".repeat(100)));
        streams.push(Response::to(target.addr(), events(patterns, "")).await);
        assert_eq!(streams[n].status(), 200);
    }
    let topic = "a".repeat(250);
    within("the publications", async {
        for n in 0..200 {
            assert_eq!(target.publish(&topic, format!("{n}")).await, 0);
        }
    })
    .await;
    drop(streams);
    target.let_go(Honest::CLIENTS as u64).await;
    honest.noticed_nothing().await;
}

async fn small_topics_cost_what_the_hub_counts(package: &str) {
    let target = Target::start_as_usual(package).await;
    let honest = Honest::start(&target).await;
    publish_to_many(target.addr(), 60_000).await;
    let counted = target.metric("tidings_retained_bytes").await as usize;
    println!("{package}: {counted} bytes by its count");
    target.grew_at_most(counted * 3 / 2 + (6 << 20));
    honest.noticed_nothing().await;
}
