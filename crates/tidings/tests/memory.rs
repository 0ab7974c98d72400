//! What the hub counts against its byte budget is what its topics take from the system. One test, because another one in
//! the same process would be measured with it.
#![cfg(target_os = "linux")]

use std::pin::Pin;
use std::task::{Context, Waker};

use futures_core::Stream;
use tidings::{Event, Hub, Retention, Subscription};

/// Bytes of memory that this process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is listed");
    let kilobytes = line.trim().trim_end_matches(" kB");
    kilobytes.parse::<usize>().expect("a number") * 1024
}

/// By how much that grows. What `make` returns is kept, so that nothing later takes its place.
fn growth<T>(make: impl FnOnce() -> T) -> (T, usize) {
    let before = resident();
    let made = make();
    (made, resident().saturating_sub(before))
}

fn hub() -> Hub {
    Hub::builder()
        .max_retained_bytes(usize::MAX)
        .retention(Retention::default().bytes(usize::MAX))
        .build()
}

/// Subscribes to topics, and waits.
fn waiting(hub: &Hub, topics: impl Iterator<Item = String>) -> Subscription {
    let mut stream = hub.subscribe(topics).open().expect("good topics");
    let mut cx = Context::from_waker(Waker::noop());
    while Pin::new(&mut stream).poll_next(&mut cx).is_ready() {}
    stream
}

#[track_caller]
fn assert_counted(what: &str, hub: &Hub, grown: usize) {
    let counted = hub.metrics().retained_bytes;
    println!("{what}: {counted} bytes are counted, {grown} are used");
    let ratio = counted as f64 / grown as f64;
    assert!((0.7..1.3).contains(&ratio), "{what}: {counted} bytes are counted, {grown} are used");
}

#[test]
fn what_the_hub_counts_is_what_its_topics_take() {
    const TOPICS: usize = 200 * 500;

    let (small, grown) = growth(|| {
        let hub = hub();
        for n in 0..TOPICS {
            hub.publish(format!("topic/{n}"), Event::new("small")).wait().unwrap();
        }
        hub
    });
    assert_counted("many small topics", &small, grown);
    println!("{} bytes each", grown / TOPICS);

    let (many, grown) = growth(|| {
        let hub = hub();
        for n in 0..TOPICS {
            hub.publish(format!("topic/{}", n % 100), Event::new("small")).wait().unwrap();
        }
        hub
    });
    assert_counted("many small events", &many, grown);

    let (large, grown) = growth(|| {
        let hub = hub();
        for _ in 0..200 {
            hub.publish("large", Event::new("x".repeat(400_000))).wait().unwrap();
        }
        hub
    });
    assert_counted("few large events", &large, grown);

    let names = |client: usize| (0..500).map(move |n| format!("client/{client}/{n}"));
    let ((quiet, streams), grown) = growth(|| {
        let hub = hub();
        let streams: Vec<_> = (0..200).map(|client| waiting(&hub, names(client))).collect();
        (hub, streams)
    });
    // Nothing is retained, so this is bounded by the number of clients, and by the topics that each may have.
    assert_eq!(quiet.metrics().retained_bytes, 0);
    let each = grown / TOPICS;
    println!("{each} bytes for each topic of a subscription");
    assert!(each < 480, "{each} bytes for each topic of a subscription");

    let ((), more) = growth(|| {
        for topic in (0..200).flat_map(names) {
            quiet.publish(topic, Event::new("small")).wait().unwrap();
        }
    });
    assert_counted("many subscriptions", &quiet, grown + more);
    drop((small, many, large, streams));
}
