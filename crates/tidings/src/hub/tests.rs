//! What only tests inside the crate can see: that nothing is left over, and that memory is bounded.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use super::*;
use crate::clock::ManualClock;
use crate::log::retention::Retention;
use crate::resume::Resume;
use crate::subscription::Subscription;
use crate::subscription::history::History;

fn read(subscription: &mut Subscription) -> Option<Bytes> {
    let mut cx = Context::from_waker(Waker::noop());
    // It may pause twice though it has more.
    for _ in 0..3 {
        if let Poll::Ready(next) = Pin::new(&mut *subscription).poll_next(&mut cx) {
            return next.map(|bytes| bytes.expect("no error"));
        }
    }
    None
}

fn read_all(subscription: &mut Subscription) -> Vec<u8> {
    std::iter::from_fn(|| read(subscription)).flatten().collect()
}

fn publish(hub: &Hub, topic: &str, data: impl Into<String>) {
    hub.publish(topic, Event::new(data.into())).wait().unwrap();
}

/// Topics, clients, due times, feeds, and the entries in the journal's two indices.
fn left(hub: &Hub, clock: &ManualClock) -> (usize, usize, usize, usize, (usize, usize)) {
    let shared = hub.shared();
    let indices = shared.journal.lock().index_sizes();
    let (topics, clients) = (shared.journal.lock().topics.list().len(), shared.registry.count());
    (topics, clients, clock.clock().timers().len(), shared.feeds.len(), indices)
}

#[test]
fn clients_that_come_and_go_on_a_quiet_topic_leave_nothing() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    let mut stays = hub.subscribe(["quiet", "other"]).open().unwrap();
    read_all(&mut stays);
    let before = left(&hub, &clock);
    for n in 0..200_000 {
        let subscribe = hub.subscribe(["quiet"]).principal(n);
        let mut subscription = subscribe.open().unwrap();
        // Every second one waits, and every second one is dropped before it was ever polled.
        if n % 2 == 0 {
            read_all(&mut subscription);
        }
    }
    assert_eq!(left(&hub, &clock), before);
    let quiet = hub.shared().journal.lock().log("quiet").unwrap();
    assert_eq!(quiet.lock().waiting(), 1);
    assert_eq!(hub.shared().registry.principals(), 0);
    drop(stays);
    assert_eq!(quiet.lock().waiting(), 0);
    assert_eq!(left(&hub, &clock), (0, 0, 0, 0, (0, 0)));
}

#[test]
fn expired_events_leave_nothing() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    for n in 0..1_000 {
        publish(&hub, &format!("topic{n}"), "x");
    }
    let mut reader = hub.subscribe(["topic1", "topic2"]).open().unwrap();
    hub.publish_ephemeral("topic1", Event::new("e")).unwrap();
    publish(&hub, "topic2", "x");
    read_all(&mut reader);
    clock.advance(Duration::from_secs(601));
    // Two topics that are subscribed to, and the heartbeat of one client. The topics are still
    // listed under the place of their first event, until that is looked up.
    assert_eq!(left(&hub, &clock), (2, 1, 1, 1, (2, 0)));
    assert_eq!(hub.shared().metrics().retained_bytes, 0);
    clock.advance(Duration::from_secs(2));
    drop(reader);
    clock.advance(Duration::from_secs(2));
    assert_eq!(left(&hub, &clock), (0, 0, 0, 0, (0, 0)));
    assert_eq!(hub.shared().coalescing.budget.used(), 0);
}

#[test]
fn events_that_are_not_retained_leave_with_the_live_window() {
    let clock = ManualClock::new();
    let hub = Hub::builder()
        .clock(clock.clock())
        .retention(Retention::default().events(1).age(Duration::from_secs(86_400)))
        .build();
    let _reader = hub.subscribe(["a"]).open().unwrap();
    publish(&hub, "a", "first");
    for _ in 0..200 {
        publish(&hub, "a", "x".repeat(100));
    }
    clock.advance(Duration::from_secs(12));
    let log = hub.shared().journal.lock().log("a").unwrap();
    assert_eq!(log.lock().durable.len(), 1);
}

#[test]
fn the_bytes_that_the_hub_counts_are_those_that_it_holds() {
    let clock = ManualClock::new();
    let hub = Hub::builder()
        .clock(clock.clock())
        .max_retained_bytes(50_000)
        .retain("none*", Retention::none())
        .unwrap()
        .build();
    let mut readers = Vec::new();
    for step in 0..5_000 {
        let topic = ["a", "b", "c", "none1", "none2"][fastrand::usize(..5)];
        let data = "x".repeat(fastrand::usize(..2_000));
        match fastrand::u32(..10) {
            0 => readers.push(hub.subscribe([topic, "b"]).open().unwrap()),
            1 if !readers.is_empty() => drop(readers.swap_remove(fastrand::usize(..readers.len()))),
            2 => clock.advance(Duration::from_millis(fastrand::u64(..5_000))),
            3..6 => drop(hub.publish_ephemeral(topic, Event::new(data)).unwrap()),
            _ => publish(&hub, topic, data),
        }
        let shared = hub.shared();
        let journal = shared.journal.lock();
        let topics = journal.topics.list();
        let logs = topics.iter().filter_map(|(topic, _)| journal.log(topic.as_str()));
        let held: usize = logs.map(|log| log.lock().cost()).sum();
        drop(journal);
        assert_eq!(shared.metrics().retained_bytes, held, "after step {step}");
        assert!(held <= 50_000, "{held} bytes");
    }
}

/// Ten thousand readers stall, each at another moment and with the last bytes it was handed still
/// in its hands, as a server holds what the socket does not take.
#[test]
fn stalled_readers_pin_the_budget_and_one_event_each_at_most() {
    const READERS: usize = 10_000;
    const EVENT: usize = 1_000;
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).heartbeat(None).build();
    for _ in 0..900 {
        publish(&hub, "a", "x".repeat(EVENT));
    }
    let mut stalled = Vec::new();
    for n in 0..READERS {
        let topics = if n % 2 == 0 { vec!["a"] } else { vec!["a", "b"] };
        let history = History::Last(2 + n % 800);
        let mut reader = hub.subscribe(topics).history(history).open().unwrap();
        read(&mut reader).unwrap();
        let mut held = read(&mut reader).unwrap();
        for _ in 0..n % 3 {
            held = read(&mut reader).unwrap_or(held);
        }
        stalled.push((reader, held));
        publish(&hub, if n % 5 == 0 { "b" } else { "a" }, "x".repeat(EVENT));
    }
    let budget = HubBuilder::COALESCED_BYTES;
    let used = hub.shared().coalescing.budget.used();
    assert!(used <= budget, "{used} bytes of chunks");
    assert!(used > budget / 2, "only {used} bytes of chunks: the test shows nothing");
    // The memory of the slices, counted once for each end of an allocation: slices of a chunk
    // reach to its end.
    let ends: HashMap<usize, usize> =
        stalled.iter().map(|(_, held)| (held.as_ptr() as usize + held.len(), held.len())).collect();
    let frames: usize = ends.values().filter(|len| **len < 2 * EVENT).sum();
    assert!(frames <= READERS * (EVENT + 100), "{frames} bytes of events");

    // Over the budget, readers still get everything, and memory is given back.
    let (mut reader, _) = stalled.swap_remove(0);
    let from = Resume::new().with_last_event_id(hub.shared().epoch().id(10_000).as_str());
    let rest = hub.subscribe(["a"]).resume(from).open().map(|mut rest| read_all(&mut rest));
    assert!(rest.unwrap().len() > 700 * EVENT);
    read_all(&mut reader);
    drop(stalled);
    drop(reader);
    clock.advance(Duration::from_secs(3));
    assert_eq!(hub.shared().coalescing.budget.used(), 0);
}
