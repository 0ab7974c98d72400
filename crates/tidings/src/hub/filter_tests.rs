//! Filtered streams: what they cost, and when they are reset.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::scripted_log::{ScriptedLog, epoch, received, record};
use super::*;
use crate::client_handle;
use crate::clock::ManualClock;
use crate::error::SubscribeErrorKind;
use crate::filter::comparisons;
use crate::log::retention::Retention;
use crate::resume::Resume;
use crate::status::Status;
use crate::subscription::Subscription;
use crate::subscription::history::History;
use crate::transport::Cohort;
use crate::{Decoder, Filter, Published};

fn role(role: impl ToString) -> Filter {
    Filter::equal("role", role.to_string()).unwrap()
}

fn publish(hub: &Hub, role: impl ToString, data: &str) -> Published {
    let event = Event::new(data).with_attribute("role", role.to_string()).unwrap();
    hub.publish("a", event).wait().unwrap()
}

fn open(hub: &Hub, filter: &Filter) -> Subscription {
    hub.subscribe("a").filter(filter.clone()).open().unwrap()
}

fn resume(hub: &Hub, filter: &Filter, id: impl AsRef<[u8]>) -> Subscription {
    let request = Resume::new().with_last_event_id(id);
    request.subscribe(hub, "a").filter(filter.clone()).open().unwrap()
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_event_for_one_of_a_thousand_roles_is_compared_once_and_wakes_that_role() {
    const ROLES: usize = 1_000;
    let hub = Hub::new();
    let wakes: Vec<_> = (0..ROLES).map(|_| Arc::<Wakes>::default()).collect();
    let (mut streams, mut cohorts) = (Vec::new(), Vec::new());
    for (number, wakes) in wakes.iter().enumerate() {
        let waker = Waker::from(wakes.clone());
        let filter = Filter::all([role(number), !Filter::equal("draft", true).unwrap()]).unwrap();
        for _ in 0..3 {
            let mut stream = open(&hub, &filter);
            let mut cx = Context::from_waker(&waker);
            while let Poll::Ready(Some(_)) = Pin::new(&mut stream).poll_next(&mut cx) {}
            streams.push(stream);
        }
        let stream = open(&hub, &filter);
        let mut cohort = Cohort::of(&stream, waker);
        assert!(cohort.next_batch().unwrap().is_none());
        cohorts.push((stream, cohort));
    }
    assert_eq!(hub.clients().count(), 4 * ROLES);
    comparisons::take();
    assert_eq!(publish(&hub, 7, "x").subscribers(), 4);
    assert_eq!(comparisons::take(), 1);
    let woken = |number: usize| wakes[number].0.load(Ordering::Relaxed);
    // Three streams and a cohort.
    assert!((0..ROLES).all(|number| woken(number) == if number == 7 { 4 } else { 0 }));
    assert_eq!(cohorts[7].1.next_batch().unwrap().unwrap().events(), 1);
    assert_eq!(received(&mut streams[21]), ["x"]);
    assert_eq!(comparisons::take(), 0, "what was compared when it was published is read as it is");
    assert_eq!(publish(&hub, "none", "x").subscribers(), 0);
    hub.publish("a", Event::new("x")).wait().unwrap();
    assert_eq!(comparisons::take(), 0);
}

#[test]
fn streams_with_equal_filters_share_their_feed() {
    let hub = Hub::new();
    let level = |level| Filter::at_least("level", level).unwrap();
    let both = |filters: [Filter; 2]| Filter::all(filters).unwrap();
    let one = open(&hub, &both([role("admin"), level(3)]));
    let other = open(&hub, &both([level(3), role("admin")]));
    let unequal = open(&hub, &both([level(4), role("admin")]));
    assert!(Arc::ptr_eq(&one.client().feed, &other.client().feed));
    assert!(!Arc::ptr_eq(&one.client().feed, &unequal.client().feed));
}

#[test]
fn what_is_hidden_takes_no_room_from_a_stream_that_lags() {
    let hub = Hub::builder().retention(Retention::default().events(10)).build();
    let filter = role("admin");
    let mut stream = open(&hub, &filter);
    assert_eq!(received(&mut stream), ["fresh"]);
    publish(&hub, "admin", "one");
    for _ in 0..5_000 {
        publish(&hub, "guest", "hidden");
    }
    publish(&hub, "admin", "two");
    assert_eq!(received(&mut stream), ["one", "two"]);
    // But what is not hidden does.
    for _ in 0..5_000 {
        publish(&hub, "admin", "more");
    }
    assert_eq!(received(&mut stream)[0], "trimmed");
}

#[test]
fn a_client_is_not_reset_for_what_was_hidden_while_another_has_its_filter() {
    let hub = Hub::builder().retention(Retention::default().events(10)).build();
    let filter = role("admin");
    let other = open(&hub, &filter);
    let id = publish(&hub, "admin", "one").id().to_string();
    for _ in 0..5_000 {
        publish(&hub, "guest", "hidden");
    }
    publish(&hub, "admin", "two");
    assert_eq!(received(&mut resume(&hub, &filter, &id)), ["resumed", "two"]);
    // Nobody else knows whether all that is gone was hidden.
    assert_eq!(received(&mut resume(&hub, &role("editor"), &id))[0], "trimmed");
    drop(other);
    assert_eq!(received(&mut resume(&hub, &filter, &id))[0], "trimmed");
}

#[test]
fn heartbeats_bring_the_position_of_a_client_from_which_everything_is_hidden() {
    let clock = ManualClock::new();
    let builder = Hub::builder().clock(clock.clock()).heartbeat(Duration::from_secs(5));
    let hub = builder.retention(Retention::default().events(10)).build();
    let filter = role("admin");
    let (mut stream, mut unfiltered) = (open(&hub, &filter), hub.subscribe("b").open().unwrap());
    let id = publish(&hub, "admin", "one").id().to_string();
    assert_eq!(received(&mut stream), ["fresh", "one"]);
    received(&mut unfiltered);
    let mut last = None;
    for _ in 0..20 {
        last = Some(publish(&hub, "guest", "hidden").id().to_string());
    }
    let last = last.unwrap();
    clock.advance(Duration::from_secs(6));
    let mut cx = Context::from_waker(Waker::noop());
    let mut next = |stream: &mut Subscription| match Pin::new(stream).poll_next(&mut cx) {
        Poll::Ready(Some(Ok(bytes))) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => format!("{other:?}"),
    };
    assert_eq!(next(&mut stream), format!(":\n\nid: {last}\n\n"));
    assert_eq!(next(&mut unfiltered), ":\n\n");
    // Nothing new.
    clock.advance(Duration::from_secs(6));
    assert_eq!(next(&mut stream), ":\n\n");
    // An event that is not read yet is not passed over.
    let mut cohort = Cohort::of(&stream, Waker::noop().clone());
    assert!(cohort.next_batch().unwrap().is_none());
    for role in ["admin", "guest"] {
        publish(&hub, role, "next");
    }
    clock.advance(Duration::from_secs(6));
    let mut cx = Context::from_waker(Waker::noop());
    match cohort.poll_member(&mut stream, &mut cx) {
        Poll::Ready(Some(Ok(bytes))) => assert_eq!(bytes, ":\n\n"),
        other => panic!("{other:?}"),
    }
    let batch = cohort.next_batch().unwrap().unwrap();
    assert!(batch.bytes().starts_with(b"data: next\nid: "));
    cohort.mark_sent(&batch, &mut stream);
    drop((stream, cohort));
    assert_eq!(received(&mut resume(&hub, &filter, &last)), ["resumed", "next"]);
    assert_eq!(received(&mut resume(&hub, &filter, &id)), ["trimmed", "next"]);
}

#[test]
fn filtered_streams_leave_nothing() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    for n in 0..1_000 {
        let filter = Filter::one_of("role", [n.to_string(), "all".to_owned()]).unwrap();
        let topics = hub.subscribe(["a", "b"]).filter(filter.clone()).matching("c*");
        let mut stream = topics.open().unwrap();
        received(&mut stream);
        publish(&hub, n, "x");
        publish(&hub, "all", "x");
        assert_eq!(received(&mut stream), ["x", "x"]);
        let count = |topic: &str| hub.clients().count_of_topic(&Topic::new(topic).unwrap());
        assert_eq!((count("a"), count("b"), count("c1")), (1, 1, 1));
        let patterns = [(TopicPattern::new("c*").unwrap(), 1)];
        assert_eq!(hub.clients().patterns(), patterns);
        assert_eq!(hub.clients().list()[0].filter, Some(filter));
    }
    clock.advance(Duration::from_secs(601));
    clock.advance(Duration::from_secs(2));
    let shared = hub.shared();
    assert_eq!((hub.clients().topics(), hub.clients().patterns()), (vec![], vec![]));
    assert_eq!((shared.feeds.len(), shared.journal.lock().index_sizes()), (0, (0, 0)));
    assert_eq!(shared.metrics().retained_bytes, 0);
    assert!(shared.journal.lock().topics.all().is_empty());
}

/// The next so many that a stream receives, which may have to wait for what is looked for meanwhile.
fn next_received(stream: &mut Subscription, count: usize) -> Vec<String> {
    let (began, mut all) = (Instant::now(), Vec::new());
    while all.len() < count {
        assert!(began.elapsed() < Duration::from_secs(30), "{all:?}");
        all.extend(received(stream));
        thread::yield_now();
    }
    all
}

#[test]
fn history_is_looked_for_in_steps_that_compare_little() {
    let retentions = [Retention::default(), Retention::latest_per_key()];
    for retention in retentions.map(|it| it.events(20_000).bytes(16 * 1024 * 1024)) {
        let hub = Hub::builder().retention(retention).heartbeat(None).build();
        let hide = |count: usize| {
            for _ in 0..count {
                publish(&hub, "guest", "hidden");
            }
        };
        hide(10_000);
        publish(&hub, "admin", "first");
        hide(5_000);
        publish(&hub, "admin", "last");
        let (both, last) = (["fresh", "first", "last"], ["fresh", "last"]);
        for (history, expected, most, status) in [
            (History::All, &both[..], 256, Status::Fresh),
            (History::Within(Duration::from_secs(60)), &both, 256, Status::Fresh),
            (History::Last(1), &last, 257, Status::Fresh),
            (History::Last(2), &both, 5_258, Status::Fresh),
            // So much is looked through elsewhere.
            (History::Last(3), &both, 8_192, Status::Pending),
        ] {
            comparisons::take();
            let subscribe = hub.subscribe("a").filter(role("admin")).history(history);
            let mut stream = subscribe.open().unwrap();
            let compared = comparisons::take();
            assert!(compared <= most, "{compared} for {history:?}");
            assert_eq!(stream.status(), status, "{history:?}");
            assert_eq!(next_received(&mut stream, expected.len()), expected, "{history:?}");
        }
    }
}

#[test]
fn history_of_many_topics_is_not_compared_before_it_is_read() {
    let hub = Hub::new();
    for n in 0..500 {
        for _ in 0..20 {
            hub.publish(format!("t/{n}").as_str(), Event::new("hidden")).wait().unwrap();
        }
    }
    let (filter, topics) = (role("admin"), (0..500).map(|n| format!("t/{n}")));
    let subscribe = hub.subscribe(topics.collect::<Vec<_>>()).filter(filter);
    comparisons::take();
    let mut stream = subscribe.history(History::All).open().unwrap();
    let compared = comparisons::take();
    assert!(compared <= 4_096, "{compared}");
    assert_eq!(received(&mut stream), ["fresh"]);
}

#[test]
fn several_filters_must_all_match() {
    let hub = Hub::new();
    let level = Filter::at_least("level", 3).unwrap();
    let mut stream = hub.subscribe("a").filter(role("admin")).filter(level).open().unwrap();
    for (role, level) in [("admin", 2), ("admin", 3), ("guest", 3)] {
        let event = Event::new(format!("{role} {level}")).with_attribute("role", role).unwrap();
        hub.publish("a", event.with_attribute("level", level).unwrap()).wait().unwrap();
    }
    assert_eq!(received(&mut stream), ["fresh", "admin 3"]);
    let large = |name| Filter::one_of(name, 0..300).unwrap();
    let error = hub.subscribe("a").filter(large("x")).filter(large("y")).open().unwrap_err();
    assert_eq!(error.kind(), SubscribeErrorKind::Filter);
    assert_eq!(crate::error::Error::from(error).response().status, 400);
    let error = hub.history("a", History::All).filter(large("x")).filter(large("y")).wait();
    assert_eq!(error.unwrap_err().kind(), SubscribeErrorKind::Filter);
}

#[test]
fn the_last_event_of_a_topic_comes_to_everybody() {
    let hub = Hub::new();
    let streams = [role("admin"), !role("admin"), Filter::any([]).unwrap()];
    let mut streams = streams.map(|filter| open(&hub, &filter));
    assert_eq!(hub.finish("a", Event::new("last")).wait().unwrap().subscribers(), 3);
    for stream in &mut streams {
        let received = received(stream);
        assert_eq!(received[..2], ["fresh", "last"]);
        assert!(received[2].contains("finished"), "{received:?}");
    }
    // Also to those who come when nothing else is to come, and their logs have nothing.
    drop(streams);
    for filter in [role("admin"), !role("admin"), Filter::any([]).unwrap()] {
        let received = received(&mut open(&hub, &filter));
        assert_eq!(received[..2], ["fresh", "last"]);
        assert!(received[2].contains("finished"), "{received:?}");
    }
}

/// A hub on a selective log that has events of these roles, with its interest in topic `a` fulfilled.
fn selective(roles: &[&str]) -> (ScriptedLog, Hub) {
    let log = ScriptedLog::default();
    log.state().is_selective = true;
    log.state().end = roles.len() as u64;
    let events = roles.iter().zip(1..).map(|(role, position)| {
        let mut record = record("a", position);
        record.event = record.event.with_attribute("role", *role).unwrap();
        record
    });
    log.state().records = events.collect();
    let (hub, replica) = log.hub();
    replica.reached(roles.len() as u64).unwrap();
    (log, hub)
}

fn follow(log: &ScriptedLog, position: u64) {
    let interests = log.state().interests.clone();
    let Some((name, Some(interest))) = interests.last() else { panic!("{interests:?}") };
    let name = TopicPattern::new(name.as_str()).unwrap();
    log.replica().followed([(&name, *interest)], position).unwrap();
}

#[test]
fn the_newest_events_that_match_are_looked_for_in_the_log() {
    let roles: Vec<_> = (0..40).map(|n| if n % 10 == 3 { "admin" } else { "guest" }).collect();
    for (last, expected) in [
        (0, &["fresh"][..]),
        (1, &["fresh", "34"]),
        (3, &["fresh", "14", "24", "34"]),
        (9, &["fresh", "4", "14", "24", "34"]),
    ] {
        let (log, hub) = selective(&roles);
        let subscribe = || hub.subscribe("a").filter(role("admin")).history(History::Last(last));
        let mut streams = [subscribe().open().unwrap(), subscribe().open().unwrap()];
        follow(&log, 40);
        for stream in &mut streams {
            assert_eq!(received(stream), expected, "{last}");
        }
        let interests: Vec<_> = log.state().interests.iter().map(|it| it.0.clone()).collect();
        assert_eq!(interests, ["a"], "the log is asked for a topic once");
        let history = hub.history("a", History::Last(last)).filter(role("admin")).wait().unwrap();
        let data: Vec<_> = history.events.iter().map(|event| event.data()).collect();
        assert_eq!(data, expected[1..]);
    }
}

#[test]
fn a_stream_that_looks_for_its_newest_events_gets_a_new_topic_where_that_was_asked_for() {
    let roles = ["admin", "guest", "admin", "admin", "guest", "admin", "admin"];
    let topics = ["a", "a", "a", "b", "b", "a", "b"];
    for (history, expected) in [
        (History::None, &["fresh", "1", "3", "6", "7"][..]),
        (History::All, &["fresh", "1", "3", "4", "6", "7"]),
    ] {
        let (log, hub) = selective(&roles[..3]);
        let subscribe = hub.subscribe("a").filter(role("admin")).history(History::Last(2));
        let mut stream = subscribe.open().unwrap();
        follow(&log, 3);
        let events = (1..).zip(roles).zip(topics).map(|((position, role), topic)| {
            let mut record = record(topic, position);
            record.event = record.event.with_attribute("role", role).unwrap();
            record
        });
        log.state().records = events.collect();
        // Another node asks, which knows of more than this one.
        let (names, after) = (vec![TopicPattern::new("b").unwrap()], epoch().id(5));
        let from = (history, after.as_str().as_bytes());
        assert!(client_handle::add(hub.shared(), stream.client_id(), Ok(names), from).unwrap());
        let before = received(&mut stream);
        assert_eq!(before, ["fresh", "1", "3"]);
        follow(&log, 7);
        log.replica().reached(7).unwrap();
        let all = [before, received(&mut stream)].concat();
        assert_eq!(all, expected, "{history:?}");
    }
}

#[test]
fn a_page_of_the_log_leaves_a_client_at_its_end_though_that_is_hidden() {
    let (log, hub) = selective(&["admin", "admin", "guest", "guest"]);
    let id = epoch().id(1).to_string();
    let mut stream = resume(&hub, &role("admin"), id);
    follow(&log, 4);
    let mut decoder = Decoder::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(bytes)) = Pin::new(&mut stream).poll_next(&mut cx) {
        decoder.feed(&bytes.unwrap()).unwrap();
    }
    let messages = std::iter::from_fn(|| decoder.next_message());
    let data: Vec<_> = messages.map(|message| message.data().to_owned()).collect();
    assert_eq!(data.len(), 2, "{data:?}");
    assert_eq!(data[1], "2");
    assert_eq!(decoder.last_event_id(), epoch().id(4).as_str());
    // What comes is delivered with the topic, and filtered here.
    for (role, position) in [("guest", 5), ("admin", 6)] {
        let mut record = record("a", position);
        record.event = record.event.with_attribute("role", role).unwrap();
        log.replica().deliver(record).unwrap();
    }
    assert_eq!(received(&mut stream), ["6"]);
}
