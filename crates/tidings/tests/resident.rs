//! That stalled readers hold little memory, as the system counts it: one test, in a process of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::{Reader, publish};
use tidings::{Hub, Retention, clock::ManualClock, error::StreamErrorKind};

const MIB: usize = 1024 * 1024;
const LIMIT: usize = 8 * MIB;

/// The data of an event that is almost 1 MiB.
fn large(number: usize) -> String {
    format!("{number}.{}", "x".repeat(MIB - 1_000))
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn readers_that_stall_on_different_events_hold_no_more_than_the_limit_and_the_others_are_not_cut() {
    const WAVES: usize = 200;
    let clock = ManualClock::new();
    let retention = Retention::default().events(1);
    let hub = Hub::builder().clock(clock.clock()).retention(retention).pinned_limit(LIMIT);
    let hub = hub.heartbeat(None).retry(None).build();
    let (mut healthy, _) = Reader::open_with_status(hub.subscribe(["a"]));
    #[cfg(target_os = "linux")]
    let before = resident();
    let mut stalled = Vec::new();
    for wave in 0..WAVES {
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
        publish(&hub, "a", &large(wave));
        // One piece, and no more.
        assert!(reader.chunk().unwrap().len() < 10_000);
        stalled.push(reader);
        assert_eq!(healthy.data(), [large(wave)]);
        healthy.raw.clear();
        assert!(hub.metrics().pinned_bytes <= LIMIT, "{:?}", hub.metrics());
        clock.advance(Duration::from_millis(100));
    }
    #[cfg(target_os = "linux")]
    {
        let grown = resident().saturating_sub(before);
        assert!(grown < 4 * LIMIT, "{grown} bytes");
    }
    let metrics = hub.metrics();
    assert!(metrics.streams_cut >= (WAVES - LIMIT / MIB - 1) as u64, "{metrics:?}");
    let text = format!("tidings_streams_cut_total {}\n", metrics.streams_cut);
    assert!(metrics.to_prometheus().contains(&text));
    // Those that stalled first were cut first.
    let is_cut = stalled.iter_mut().map(|reader| {
        reader.bytes();
        reader.error.as_ref().is_some_and(|error| error.kind() == StreamErrorKind::Cut)
    });
    let is_cut: Vec<_> = is_cut.collect();
    assert!(is_cut.is_sorted_by(|a, b| a >= b), "{is_cut:?}");
    assert!(is_cut[0] && !is_cut[WAVES - 1]);
    drop(stalled);
    let metrics = hub.metrics();
    assert_eq!((metrics.pinned_bytes, metrics.clients), (0, 1));
    assert!(healthy.error.is_none());
}
