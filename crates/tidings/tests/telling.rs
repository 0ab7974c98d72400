//! What operators are told through `tracing`, and when they are not.

mod reader;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::stream;
use reader::{Reader, after, publish};
use tidings::backend::{
    Append, Appended, Epoch, Log, LogError, LogErrorKind, Origin, Page, Read, Replica, Reply,
};
use tidings::error::StreamErrorKind;
use tidings::{Event, EventStream, Hub, Retention, ServerEvent, Subscribe, clock::ManualClock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

/// What was told on this thread: the level, the target, and all fields.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    level: Level,
    target: String,
    span: Option<u64>,
    fields: BTreeMap<String, String>,
}

thread_local! {
    static TOLD: RefCell<Vec<Told>> = const { RefCell::new(Vec::new()) };
}

/// Collects events, and counts spans: opened and closed.
#[derive(Debug, Default)]
struct Collector {
    spans: Arc<Spans>,
}

#[derive(Debug, Default)]
struct Spans {
    opened: AtomicU64,
    closed: AtomicU64,
    entered: AtomicU64,
}

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        assert!(span.is_root(), "a stream is no part of a request");
        assert_eq!(span.metadata().target(), "tidings::stream");
        Id::from_u64(self.spans.opened.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        let metadata = event.metadata();
        TOLD.with_borrow_mut(|told| {
            told.push(Told {
                level: *metadata.level(),
                target: metadata.target().to_owned(),
                span: event.parent().map(Id::into_u64),
                fields,
            });
        });
    }

    fn enter(&self, _: &Id) {
        self.spans.entered.fetch_add(1, Ordering::SeqCst);
    }

    fn exit(&self, _: &Id) {}

    fn try_close(&self, _: Id) -> bool {
        self.spans.closed.fetch_add(1, Ordering::SeqCst);
        true
    }
}

/// Runs something, and returns what was told.
fn told(body: impl FnOnce()) -> (Vec<Told>, Arc<Spans>) {
    let collector = Collector::default();
    let spans = collector.spans.clone();
    TOLD.take();
    tracing::subscriber::with_default(collector, body);
    (TOLD.take(), spans)
}

#[track_caller]
fn find<'a>(told: &'a [Told], message: &str) -> &'a Told {
    let is_it = |told: &&Told| told.fields["message"].starts_with(message);
    told.iter().find(is_it).unwrap_or_else(|| panic!("{message} is not told: {told:#?}"))
}

fn hub() -> Hub {
    Hub::builder().retention(Retention::default().events(1)).build()
}

/// A client that lags so far that its next event is gone.
fn overrun(hub: &Hub, subscribe: Subscribe) -> Reader {
    let mut reader = Reader::open(subscribe.principal("ada"));
    reader.bytes();
    for n in 0..1_000 {
        hub.publish("news", Event::new(n.to_string())).wait().expect("the hub is open");
    }
    reader.bytes();
    reader
}

#[test]
fn a_stream_has_a_span_as_long_as_it_lives_and_its_events_say_whose_it_is() {
    let hub = hub();
    let (told, spans) = told(|| drop(overrun(&hub, hub.subscribe("news"))));
    for (message, level) in [
        ("stream opened", Level::DEBUG),
        ("client lagged too far", Level::INFO),
        ("stream ended", Level::DEBUG),
    ] {
        let event = find(&told, message);
        assert_eq!((event.level, &*event.target, event.span), (level, "tidings::stream", Some(1)));
        assert_eq!(event.fields["principal"], "ada");
        assert_eq!(event.fields["topics"], "news");
        assert!(!event.fields["client"].is_empty());
    }
    assert_eq!(find(&told, "client lagged").fields["reason"], "trimmed");
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    assert_eq!((count(&spans.opened), count(&spans.closed), count(&spans.entered)), (1, 1, 0));
}

#[test]
fn what_fails_is_told_and_counted() {
    let hub = hub();
    let (told, _) = told(|| {
        let reader = overrun(&hub, hub.subscribe("news").status(false));
        assert!(
            reader.error.is_some_and(|error| matches!(error.kind(), StreamErrorKind::Reset(_)))
        );
        let failing = hub.subscribe("news").snapshot(|| async { Err("no database".into()) });
        Reader::open(failing).bytes();
        let _ = hub.subscribe("two words").open();
        let _ = hub.publish("two words", Event::new("x")).wait();
        let _ = hub.publish_ephemeral("news", Event::named("tidings:x", "").expect("a name"));
        hub.report(ServerEvent::ConnectionEvicted);
        hub.report(ServerEvent::WriterRestarted);
    });
    let untold = find(&told, "stream failed");
    assert_eq!(untold.level, Level::INFO);
    assert!(untold.fields["reason"].contains("(trimmed)"));
    let snapshot = told.iter().find(|told| told.level == Level::WARN).expect("a warning");
    assert_eq!(snapshot.fields["message"], "stream failed");
    assert_eq!(snapshot.fields["reason"], "snapshot failed: no database");
    assert_eq!(
        find(&told, "subscription refused").fields["reason"],
        "topic contains ' ' at byte 3"
    );
    let refused: Vec<_> =
        told.iter().filter(|told| told.fields["message"] == "publication refused").collect();
    assert_eq!(refused.len(), 2);
    assert!(
        refused.iter().all(|told| told.level == Level::DEBUG && told.target == "tidings::publish")
    );
    assert_eq!(refused[1].fields["topic"], "news");
    assert_eq!(find(&told, "connection ended").fields["reason"], "ConnectionEvicted");
    assert_eq!(find(&told, "a writer thread failed").level, Level::ERROR);
    let metrics = hub.metrics();
    assert_eq!((metrics.streams_untold, metrics.snapshots_failed), (1, 1));
    assert_eq!((metrics.subscriptions_refused, metrics.refused), (1, 2));
}

#[test]
fn a_stream_tells_that_it_begins_with_a_reset_and_why_it_is_ended() {
    let hub = Hub::builder().clock(ManualClock::new().clock()).build();
    let (told, _) = told(|| {
        let subscribe = hub.subscribe("news").principal("ada").resume(after("another-7"));
        let mut reader = Reader::open(subscribe.expires_at(SystemTime::UNIX_EPOCH));
        reader.bytes();
        assert!(reader.ended);
    });
    for (message, reason) in
        [("stream begins with a reset", "unknown"), ("stream is ended", "expired")]
    {
        let event = find(&told, message);
        let found = (event.level, &*event.target, event.span);
        assert_eq!(found, (Level::DEBUG, "tidings::stream", Some(1)), "{message}");
        assert_eq!((&*event.fields["principal"], &*event.fields["reason"]), ("ada", reason));
    }
}

#[test]
fn a_stream_that_is_cut_and_a_check_that_fails_are_told_outside_of_spans() {
    /// More than a live window has.
    const EVENT: usize = 1_000_000;

    let clock = ManualClock::new();
    let retention = Retention::default().events(1);
    let builder = Hub::builder().clock(clock.clock()).retention(retention);
    let hub = builder.pinned_limit(EVENT / 2).heartbeat(None).build();
    let (told, _) = told(|| {
        let (mut stalled, _) = Reader::open_with_status(hub.subscribe("news").principal("ada"));
        publish(&hub, "news", &"x".repeat(EVENT));
        assert!(stalled.chunk().is_some(), "a piece of it");
        publish(&hub, "news", &"x".repeat(EVENT));
        let checked = hub.subscribe("other").principal("ada");
        let every = Duration::from_secs(10);
        let mut checked =
            Reader::open(checked.revalidate(every, || async { Err("no database".into()) }));
        checked.bytes();
        clock.advance(every + Duration::from_secs(1));
        checked.bytes();
    });
    for message in ["stream cut", "client's right could not be checked"] {
        let event = find(&told, message);
        let found = (event.level, &*event.target, event.span);
        assert_eq!(found, (Level::WARN, "tidings::stream", None), "{message}");
        assert_eq!(event.fields["principal"], "ada");
    }
    assert_eq!(find(&told, "client's right").fields["reason"], "no database");
}

/// A log that cannot be reached.
#[derive(Debug)]
struct DownLog;

impl DownLog {
    fn refuse<T>(reply: Reply<T>) {
        reply.send(Err(LogError::new(LogErrorKind::Unavailable, "log is down")));
    }
}

impl Log for DownLog {
    fn origin(&self) -> Origin {
        Origin::new(Epoch::new("one").expect("an epoch"), 0, 0)
    }

    fn start(&self, _: Replica) {}

    fn append(&self, _: Append, reply: Reply<Appended>) {
        Self::refuse(reply);
    }

    fn read(&self, _: Read, reply: Reply<Page>) {
        Self::refuse(reply);
    }

    fn end(&self, reply: Reply<u64>) {
        Self::refuse(reply);
    }

    fn stop(&self) {}
}

#[test]
fn a_stream_of_events_and_a_log_that_fail_are_told() {
    let (told, _) = told(|| {
        let failing = "x".parse::<u8>().map(|number| Event::new(number.to_string()));
        Reader::new(EventStream::new(stream::iter([failing]))).bytes();
        let hub = Hub::builder().build_on(DownLog);
        hub.publish("news", Event::new("x")).wait().expect_err("the log is down");
    });
    for (message, target, reason) in [
        ("stream of events failed", "tidings::stream", "invalid digit"),
        ("publication failed", "tidings::publish", "log is down"),
    ] {
        let event = find(&told, message);
        assert_eq!((event.level, &*event.target), (Level::WARN, target), "{message}");
        assert!(event.fields["reason"].contains(reason), "{event:?}");
    }
    assert_eq!(find(&told, "publication failed").fields["topic"], "news");
}

#[test]
fn nothing_is_told_of_events_that_are_published_and_sent() {
    let hub = Hub::new();
    let (told, _) = told(|| {
        let (mut reader, _) = Reader::open_with_status(hub.subscribe("news"));
        TOLD.take();
        for n in 0..100 {
            hub.publish("news", Event::new(n.to_string())).wait().expect("the hub is open");
            assert_eq!(reader.data(), [n.to_string()]);
        }
        assert!(TOLD.take().is_empty());
    });
    assert_eq!(told.len(), 1, "its end: {told:?}");
}
