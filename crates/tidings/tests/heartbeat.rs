//! Heartbeats: on idle streams, and only there.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::Reader;
use reader::source::Source;
use tidings::{DEFAULT_HEARTBEAT, Event, EventStream, Hub, Subscribe, clock::ManualClock};

const HEARTBEAT: &[u8] = b":\n\n";
/// What heartbeats may be late by, and a little more.
const LATE: Duration = Duration::from_millis(60);

fn hub(heartbeat: impl Into<Option<Duration>>) -> (Hub, ManualClock) {
    let clock = ManualClock::new();
    (Hub::builder().clock(clock.clock()).heartbeat(heartbeat).build(), clock)
}

fn idle(subscribe: Subscribe) -> Reader {
    let mut reader = Reader::open(subscribe);
    reader.bytes();
    reader
}

#[test]
fn an_idle_stream_beats_every_fifteen_seconds() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    assert_eq!(DEFAULT_HEARTBEAT, Duration::from_secs(15));
    let mut reader = idle(hub.subscribe(["a"]));
    for beat in 1..5 {
        clock.advance(Duration::from_millis(14_900));
        assert_eq!((reader.wakes.count(), reader.bytes()), (beat - 1, vec![]));
        clock.advance(Duration::from_millis(150) + LATE);
        assert_eq!(reader.wakes.count(), beat);
        assert_eq!(reader.bytes(), HEARTBEAT);
        assert_eq!(reader.bytes(), b"", "once");
    }
}

#[test]
fn a_stream_that_writes_does_not_beat() {
    let (hub, clock) = hub(Duration::from_secs(10));
    let (mut busy, mut idle_one) = (idle(hub.subscribe(["busy"])), idle(hub.subscribe(["idle"])));
    let mut beats = 0;
    for second in 0..100 {
        clock.advance(Duration::from_secs(1));
        if second % 9 == 0 {
            hub.publish("busy", Event::new("x")).wait().unwrap();
            assert!(!busy.bytes().is_empty());
        }
        assert_eq!(busy.bytes(), b"", "in second {second}");
        beats += idle_one.bytes().len() / HEARTBEAT.len();
    }
    assert!((9..=10).contains(&beats), "{beats} beats in 100 seconds");
    // Idle for the interval since its *last* write.
    hub.publish("busy", Event::new("x")).wait().unwrap();
    busy.bytes();
    clock.advance(Duration::from_secs(9));
    assert_eq!(busy.bytes(), b"");
    clock.advance(Duration::from_secs(1) + LATE);
    assert_eq!(busy.bytes(), HEARTBEAT);
}

#[test]
fn an_event_takes_the_place_of_a_heartbeat_that_is_due() {
    let (hub, clock) = hub(Duration::from_secs(10));
    let mut reader = idle(hub.subscribe(["a"]));
    clock.advance(Duration::from_secs(11));
    hub.publish("a", Event::new("x")).wait().unwrap();
    assert!(reader.chunk().unwrap().starts_with(b"data: x"));
    assert!(reader.chunk().is_none());
}

#[test]
fn heartbeats_can_be_turned_off() {
    let (hub, clock) = hub(None);
    let mut silent = idle(hub.subscribe(["a"]));
    let mut own = idle(hub.subscribe(["a"]).heartbeat(Duration::from_secs(5)));
    clock.advance(Duration::from_secs(6));
    assert_eq!((silent.wakes.count(), silent.bytes()), (0, vec![]));
    assert_eq!(own.bytes(), HEARTBEAT);

    let (hub, clock) = self::hub(Duration::from_secs(5));
    let mut silent = idle(hub.subscribe(["a"]).heartbeat(None));
    clock.advance(Duration::from_secs(3_600));
    assert_eq!((silent.wakes.count(), silent.bytes()), (0, vec![]));
}

#[test]
fn a_stream_that_was_never_polled_beats_into_nothing() {
    let (hub, clock) = hub(Duration::from_secs(10));
    let mut reader = Reader::open(hub.subscribe(["a"]));
    clock.advance(Duration::from_secs(60));
    assert!(reader.chunk().unwrap().starts_with(b"retry: "));
    assert!(reader.chunk().is_none(), "it has just written");
    drop(reader);
    clock.advance(Duration::from_secs(60));
}

#[test]
fn intervals_of_any_size_are_kept() {
    for interval in
        [Duration::MAX, Duration::from_millis(u64::MAX), Duration::from_millis(u64::MAX / 4)]
    {
        let (hub, clock) = hub(interval);
        let mut reader = idle(hub.subscribe(["a"]));
        clock.advance(Duration::from_secs(1_000_000_000));
        assert_eq!(reader.bytes(), b"");
        let mut stream = Reader::new(
            EventStream::new(futures_util::stream::pending::<Event>())
                .heartbeat(interval)
                .clock(clock.clock()),
        );
        stream.bytes();
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        hub.publish("a", Event::new("x")).wait().unwrap();
        reader.bytes();
        stream.bytes();
    }
    let (hub, clock) = hub(Duration::ZERO);
    let mut reader = idle(hub.subscribe(["a"]));
    clock.advance(LATE);
    assert_eq!(reader.bytes(), HEARTBEAT);
}

#[test]
fn event_streams_beat_while_they_are_idle() {
    let clock = ManualClock::new();
    let source = Source::new();
    let stream =
        EventStream::new(source.clone()).heartbeat(Duration::from_secs(10)).clock(clock.clock());
    let mut reader = Reader::new(stream);
    assert_eq!(reader.bytes(), HEARTBEAT, "the first bytes");
    clock.advance(Duration::from_secs(9));
    assert_eq!(reader.bytes(), b"");
    clock.advance(Duration::from_secs(1) + LATE);
    assert_eq!((reader.wakes.count(), reader.bytes()), (1, HEARTBEAT.to_vec()));
    source.send(Event::new("x"));
    assert_eq!(reader.bytes(), b"data: x\n\n");
    clock.advance(Duration::from_secs(9));
    assert_eq!(reader.bytes(), b"");
    clock.advance(Duration::from_secs(1) + LATE);
    assert_eq!(reader.bytes(), HEARTBEAT);

    let never = futures_util::stream::pending::<Event>();
    let mut silent = Reader::new(EventStream::new(never).heartbeat(None).clock(clock.clock()));
    assert_eq!(silent.bytes(), HEARTBEAT, "the first bytes");
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(silent.bytes(), b"");
}
