//! Heartbeats: on idle streams, and only there.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::future::poll_fn;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use reader::Reader;
use reader::source::Source;
use tidings::{
    Comment, DEFAULT_HEARTBEAT, Event, EventStream, Heartbeat, Hub, STATUS_EVENT, Snapshot,
    Subscribe, clock::ManualClock, error::EventErrorKind,
};

const HEARTBEAT: &[u8] = b":\n\n";
/// What heartbeats may be late by, and a little more.
const LATE: Duration = Duration::from_millis(60);

fn hub(heartbeat: impl Into<Heartbeat>) -> (Hub, ManualClock) {
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

const PING: &[u8] = b"event: ping\ndata:\n\n";

#[test]
fn a_heartbeat_is_a_comment_a_comment_with_a_text_or_an_event() {
    let text = Comment::new("still here").unwrap();
    for (heartbeat, bytes) in [
        (Heartbeat::default(), HEARTBEAT),
        (Heartbeat::comment_text(text), b": still here\n\n"),
        (Heartbeat::event("ping"), PING),
    ] {
        let (hub, clock) = hub(heartbeat.clone());
        let own = idle(hub.subscribe(["a"]).heartbeat(Duration::from_secs(5)));
        let shared = idle(hub.subscribe(["a"]));
        let never = futures_util::stream::pending::<Event>();
        let stream = EventStream::new(never).clock(clock.clock()).heartbeat(heartbeat.clone());
        let mut stream = Reader::new(stream);
        stream.bytes();
        let other_hub = Hub::builder().clock(clock.clock()).heartbeat(None).build();
        let set =
            idle(other_hub.subscribe(["a"]).heartbeat(heartbeat.every(Duration::from_secs(10))));
        let mut subscriptions = [own, shared, set];
        let mut sent = |after| {
            clock.advance(after);
            (subscriptions.each_mut().map(Reader::bytes), stream.bytes())
        };
        let nothing = Vec::new;
        let (own, bytes) = (HEARTBEAT.to_vec(), bytes.to_vec());
        let first = [own.clone(), nothing(), nothing()];
        assert_eq!(sent(Duration::from_secs(5) + LATE), (first, nothing()));
        let second = [own.clone(), nothing(), bytes.clone()];
        assert_eq!(sent(Duration::from_secs(5) + LATE), (second, nothing()));
        let third = [own, bytes.clone(), nothing()];
        assert_eq!(sent(Duration::from_secs(5) + LATE), (third, bytes));
    }
}

#[test]
fn an_event_as_a_heartbeat_is_no_event_of_the_hub() {
    let (hub, clock) = hub(Heartbeat::event("ping").every(Duration::from_secs(10)));
    let mut reader = idle(hub.subscribe(["a"]));
    hub.publish("a", Event::new("x")).wait().unwrap();
    reader.bytes();
    let (client, metrics) = (hub.clients().list().remove(0), hub.metrics());
    clock.advance(Duration::from_secs(10) + LATE);
    assert_eq!(reader.bytes(), PING);
    let after = hub.clients().list().remove(0);
    assert_eq!((after.events_sent, &after.last_id), (client.events_sent, &client.last_id));
    assert_eq!(after.bytes_sent, client.bytes_sent + PING.len() as u64);
    assert_eq!(hub.metrics().events, metrics.events);
    let ping = reader.messages().pop().unwrap();
    assert_eq!((ping.event(), ping.id()), ("ping", None));
    assert_eq!(ping.last_event_id(), client.last_id.as_str());
}

#[test]
fn the_status_is_the_first_event_also_if_heartbeats_are_events() {
    let (hub, clock) = hub(Heartbeat::event("ping").every(Duration::from_secs(1)));
    let (answer, answered) = channel::<()>();
    let answered = Arc::new(Mutex::new(answered));
    let subscribe = hub.subscribe(["a"]).snapshot(move || {
        let answered = answered.clone();
        poll_fn(move |_| match answered.lock().unwrap().try_recv() {
            Ok(()) => Poll::Ready(Ok(Snapshot::new([]))),
            Err(_) => Poll::Pending,
        })
    });
    let mut reader = idle(subscribe);
    clock.advance(Duration::from_secs(1) + LATE);
    assert_eq!(reader.bytes(), HEARTBEAT);
    answer.send(()).unwrap();
    clock.advance(Duration::from_secs(1) + LATE);
    let messages = reader.messages();
    assert_eq!(messages.first().map(|first| first.event()), Some(STATUS_EVENT));
    clock.advance(Duration::from_secs(1) + LATE);
    assert_eq!(reader.bytes(), PING);
}

#[test]
fn the_heartbeats_of_an_open_stream_can_be_changed() {
    let (hub, clock) = hub(Duration::from_secs(10));
    let mut reader = idle(hub.subscribe(["a"]));
    reader.subscription_mut().set_heartbeat(Heartbeat::event("ping").every(Duration::from_secs(2)));
    clock.advance(Duration::from_secs(2) + LATE);
    assert_eq!(reader.bytes(), PING);
    reader.subscription_mut().set_heartbeat(None);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(reader.bytes(), b"");
    reader.subscription_mut().set_heartbeat(Duration::from_secs(1));
    clock.advance(Duration::from_secs(1) + LATE);
    assert_eq!(reader.bytes(), HEARTBEAT);
}

#[test]
fn a_heartbeat_has_the_name_of_an_event_that_is_not_the_hubs() {
    let error = Heartbeat::try_event("tidings:status").unwrap_err();
    assert_eq!(error.kind(), EventErrorKind::ReservedName);
    assert!(error.to_string().starts_with("event name is reserved"));
    let error = Heartbeat::try_event("a\nb".to_owned()).unwrap_err();
    assert_eq!(error.kind(), EventErrorKind::Field);
}

#[test]
#[should_panic = "event name contains '\\n' at byte 1"]
fn a_bad_name_in_the_program_panics() {
    let _ = Heartbeat::event("a\nb");
}
