//! Time that passes at once, as for a process that was stopped: nothing is lost in silence, and nothing is done twice.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::{Reader, publish};
use tidings::{Hub, Retention, clock::ManualClock};

const HOURS: Duration = Duration::from_secs(10 * 3600);

#[test]
fn after_hours_at_once_each_stream_beats_once_and_goes_on() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    let mut readers: Vec<_> = (0..1_000).map(|_| Reader::open(hub.subscribe(["a"]))).collect();
    publish(&hub, "a", "before");
    for reader in &mut readers {
        reader.bytes();
    }
    let wakes: Vec<_> = readers.iter().map(|reader| reader.wakes.count()).collect();
    clock.advance(HOURS);
    for (reader, wakes) in readers.iter_mut().zip(wakes) {
        // 2,400 heartbeats were due.
        assert_eq!(reader.wakes.count(), wakes + 1);
        assert_eq!(reader.bytes(), b":\n\n");
    }
    publish(&hub, "a", "after");
    for reader in &mut readers {
        let data: Vec<_> = reader.messages().iter().map(|m| m.data().to_owned()).collect();
        assert_eq!(data[1..], ["before", "after"], "nobody is reset");
    }
}

#[test]
fn who_missed_events_that_expired_meanwhile_is_reset() {
    let clock = ManualClock::new();
    let retention = Retention::default().age(Duration::from_secs(60));
    let hub = Hub::builder().clock(clock.clock()).retention(retention).build();
    let mut slow = Reader::open(hub.subscribe(["a"]));
    slow.next_status();
    let seen = publish(&hub, "a", "seen");
    assert_eq!(slow.data(), ["seen"]);
    publish(&hub, "a", "missed");
    clock.advance(HOURS);
    publish(&hub, "a", "after");
    assert_eq!(slow.next_status()["reason"], "expired");
    assert_eq!(slow.data(), ["after"]);
    let (mut back, status) =
        Reader::open_with_status(hub.subscribe(["a"]).resume(reader::after(seen.as_str())));
    assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &"expired".into()));
    assert_eq!(back.data(), ["after"]);
}
