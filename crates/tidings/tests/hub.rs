//! Publishing, topics, retention.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::{Reader, after, publish};
use tidings::{
    Comment, Event, EventId, History, Hub, Retention, Topic,
    clock::ManualClock,
    error::{PublishErrorKind, StreamError, StreamErrorKind},
};

fn history_of(hub: &Hub, topic: &str) -> Vec<String> {
    let subscribe = hub.subscribe([topic]).history(History::All).status(false);
    Reader::open(subscribe).data()
}

fn topics(hub: &Hub) -> Vec<String> {
    hub.clients().topics().iter().map(|(topic, _)| topic.to_string()).collect()
}

#[test]
fn publish_tells_for_how_many_subscribers_it_was() {
    let hub = Hub::new();
    let _one = Reader::open(hub.subscribe(["a"]));
    let two = Reader::open(hub.subscribe(["a", "b"]));
    let count = |topic| hub.publish(topic, Event::new("x")).wait().unwrap().subscribers();
    assert_eq!((count("a"), count("b"), count("c")), (2, 1, 0));
    drop(two);
    assert_eq!((count("a"), count("b"), count("c")), (1, 0, 0));
}

#[test]
fn a_published_event_arrives_whole_and_with_its_id() {
    let hub = Hub::new();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
    let event = Event::named("tick", "one\r\ntwo")
        .unwrap()
        .with_comment(Comment::new("hello").unwrap())
        .with_retry(Duration::from_secs(1));
    let id = hub.publish("a", event).wait().unwrap().id();
    let expected = format!(": hello\nevent: tick\nretry: 1000\ndata: one\ndata: two\nid: {id}\n\n");
    assert_eq!(String::from_utf8(reader.bytes()).unwrap(), expected);
}

#[test]
fn an_event_is_published_whether_the_outcome_is_awaited_or_not() {
    let hub = Hub::new();
    drop(hub.publish("a", Event::new("x")));
    assert_eq!(history_of(&hub, "a"), ["x"]);
}

#[test]
fn an_event_that_cannot_be_published_is_a_typed_error_and_leaves_nothing() {
    let hub = Hub::builder().max_event_bytes(100).build();
    let event = || Event::new("x");
    for (outcome, kind, message) in [
        (hub.publish("a b", event()), PublishErrorKind::Topic, "topic contains ' ' at byte 1"),
        (
            hub.publish("a", event().with_id(EventId::new("1").unwrap())),
            PublishErrorKind::HasId,
            "event id is given by the hub; publish the event without one",
        ),
        (
            hub.publish("a", Event::named("tidings:status", "x").unwrap()),
            PublishErrorKind::ReservedName,
            "event name is reserved: names that begin with `tidings:` belong to the hub",
        ),
        (
            hub.publish("a", Event::comment("x").unwrap()),
            PublishErrorKind::NotDispatched,
            "event has neither name nor data, so that no client would see it",
        ),
        (
            hub.publish("a", Event::new("x".repeat(100))),
            PublishErrorKind::TooLarge,
            "event is 107 bytes, over the limit of 100 bytes",
        ),
    ] {
        let error = outcome.wait().unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, message));
    }
    assert!(topics(&hub).is_empty());
    assert!(publish(&hub, "a", "x").as_str().ends_with("-1"), "no position was used up");
}

#[test]
fn names_that_browsers_use_themselves_are_allowed() {
    let hub = Hub::new();
    for name in ["error", "open", "message"] {
        hub.publish("a", Event::named(name, "x").unwrap()).wait().unwrap();
    }
}

#[test]
fn topics_vanish_without_subscribers_and_retained_events() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    let reader = Reader::open(hub.subscribe(["quiet", "busy"]));
    publish(&hub, "busy", "x");
    publish(&hub, "other", "x");
    assert_eq!(topics(&hub), ["busy", "other", "quiet"]);
    drop(reader);
    assert_eq!(topics(&hub), ["busy", "other"]);
    clock.advance(Duration::from_secs(599));
    assert_eq!(topics(&hub), ["busy", "other"]);
    clock.advance(Duration::from_secs(2));
    assert!(topics(&hub).is_empty());
}

#[test]
fn a_topic_that_retains_nothing_vanishes_with_its_last_subscriber() {
    let hub = Hub::builder().retention(Retention::none()).build();
    publish(&hub, "a", "x");
    assert!(topics(&hub).is_empty());
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
    publish(&hub, "a", "y");
    assert_eq!(reader.data(), ["y"]);
    drop(reader);
    assert!(topics(&hub).is_empty());
}

#[test]
fn retention_counts_bytes() {
    let hub = Hub::builder().retention(Retention::default().bytes(10_000)).build();
    let data = "x".repeat(1_000);
    for _ in 0..50 {
        publish(&hub, "a", &data);
    }
    let kept = history_of(&hub, "a").len();
    assert!((6..=9).contains(&kept), "{kept} of about 1,150 bytes each");
}

#[test]
fn the_first_pattern_that_matches_sets_the_retention() {
    let hub = Hub::builder()
        .retain("price:gold", Retention::default().events(3))
        .unwrap()
        .retain("price:*", Retention::default().events(1))
        .unwrap()
        .retention(Retention::default().events(2))
        .build();
    for topic in ["price:gold", "price:tin", "news"] {
        for n in 0..5 {
            publish(&hub, topic, &n.to_string());
        }
    }
    let counts = ["price:gold", "price:tin", "news"].map(|topic| history_of(&hub, topic).len());
    assert_eq!(counts, [3, 1, 2]);
    assert!(Hub::builder().retain("a b", Retention::none()).is_err());
}

#[test]
fn the_budget_of_the_hub_evicts_its_oldest_events_first() {
    let hub = Hub::builder().max_retained_bytes(100 * 1024).build();
    let data = "x".repeat(1024);
    publish(&hub, "old", &data);
    publish(&hub, "middle", &data);
    for _ in 0..40 {
        publish(&hub, "new", &data);
    }
    assert_eq!(topics(&hub), ["middle", "new", "old"]);
    publish(&hub, "big", &"x".repeat(60 * 1024));
    assert_eq!(topics(&hub), ["big", "new"]);
    let left = history_of(&hub, "new").len();
    assert!((20..40).contains(&left), "{left}");
    for n in 0..10_000 {
        publish(&hub, &format!("topic{n}"), &data);
    }
    let left = topics(&hub).len();
    assert!((50..70).contains(&left), "{left} topics of about 1,700 bytes");
}

#[test]
fn an_event_larger_than_its_topic_retains_reaches_connected_clients() {
    let hub = Hub::builder().retention(Retention::default().bytes(1_000)).build();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
    let data = "x".repeat(500_000);
    publish(&hub, "a", &data);
    assert_eq!(reader.data(), [data]);
}

#[test]
fn ephemeral_events_reach_connected_clients_and_no_others() {
    let hub = Hub::new();
    let (mut there, _) = Reader::open_with_status(hub.subscribe(["a"]));
    let first = publish(&hub, "a", "one");
    assert_eq!(hub.publish_ephemeral("a", Event::new("typing")).unwrap(), 1);
    let (mut late, _) = Reader::open_with_status(hub.subscribe(["a"]).history(History::All));
    publish(&hub, "a", "two");
    assert_eq!(there.data(), ["one", "typing", "two"]);
    assert_eq!(late.data(), ["one", "two"]);

    let resume = after(first.as_str());
    let (mut resumed, status) = Reader::open_with_status(hub.subscribe(["a"]).resume(resume));
    assert_eq!(status["status"], "resumed");
    assert_eq!(resumed.data(), ["two"]);
}

#[test]
fn ephemeral_events_without_subscribers_leave_no_topic() {
    let hub = Hub::new();
    assert_eq!(hub.publish_ephemeral("a", Event::new("x")).unwrap(), 0);
    assert!(topics(&hub).is_empty());
}

#[test]
fn a_burst_wakes_a_waiting_client_once() {
    let hub = Hub::new();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a", "b"]));
    assert!(reader.data().is_empty());
    for n in 0..100 {
        publish(&hub, "a", &format!("a{n}"));
    }
    assert_eq!(reader.wakes.count(), 1);
    publish(&hub, "b", "b");
    assert_eq!(reader.wakes.count(), 1, "it is awake already");
    assert_eq!(reader.data().len(), 101);
    publish(&hub, "a", "a100");
    assert_eq!(reader.wakes.count(), 2);
}

#[test]
fn a_closed_hub_ends_its_streams_after_what_was_published() {
    let hub = Hub::new();
    let (mut waiting, _) = Reader::open_with_status(hub.subscribe(["a"]));
    let (mut lagging, _) = Reader::open_with_status(hub.subscribe(["a"]));
    let id = publish(&hub, "a", "one");
    assert_eq!(waiting.data(), ["one"]);
    hub.close();
    assert!(hub.is_closed());
    assert_eq!(waiting.wakes.count(), 1);
    assert_eq!((waiting.data().len(), waiting.ended), (0, true));
    assert_eq!((lagging.data(), lagging.ended), (vec!["one".to_owned()], true));
    let error = hub.publish("a", Event::new("two")).wait().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Closed);
    assert!(hub.publish_ephemeral("a", Event::new("two")).is_err());
    drop(hub.publish("b", Event::new("two")));
    assert_eq!(topics(&hub), ["a"]);

    // Not refused: an EventSource would give up for good.
    let (mut late, status) = Reader::open_with_status(hub.subscribe(["a"]).history(History::All));
    assert_eq!(status["status"], "fresh");
    assert_eq!((late.data(), late.ended), (vec!["one".to_owned()], true));
    assert_eq!(late.last_id(), id.as_str());
}

#[test]
fn streams_can_end_with_an_error_after_everything_that_was_published() {
    for by_reset in [false, true] {
        let hub = Hub::new();
        hub.end_streams_by_reset(by_reset);
        let end = |close: &dyn Fn(&Reader), expected: &[&str]| {
            let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
            publish(&hub, "a", "last");
            close(&reader);
            // A server drops what it has not sent when it meets an error: so that comes after a pause.
            let wakes = reader.wakes.count();
            assert_eq!(reader.data(), expected);
            assert_eq!(reader.wakes.count(), wakes + usize::from(by_reset));
            assert_eq!(reader.error.take().is_some_and(|error| is_end(&error)), by_reset);
            assert_eq!((reader.chunk(), reader.ended), (None, true));
        };
        let close_client = |reader: &Reader| {
            assert!(hub.clients().close(reader.subscription().client_id()));
        };
        end(&close_client, &[]);
        end(&|_| hub.close(), &["last"]);
    }
}

fn is_end(error: &StreamError) -> bool {
    error.kind() == StreamErrorKind::Ended && error.to_string() == "stream was ended by its hub"
}

#[test]
fn dropping_the_last_handle_ends_the_streams() {
    let hub = Hub::new();
    let other = hub.clone();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
    drop(hub);
    assert!(reader.data().is_empty() && !reader.ended);
    publish(&other, "a", "x");
    drop(other);
    assert_eq!((reader.data(), reader.ended), (vec!["x".to_owned()], true));
}

#[test]
fn topics_are_listed_with_their_subscribers() {
    let hub = Hub::new();
    let _a = Reader::open(hub.subscribe(["a", "b"]));
    let _b = Reader::open(hub.subscribe(["b", "b"]));
    let list: Vec<_> =
        hub.clients().topics().into_iter().map(|(topic, n)| (topic.to_string(), n)).collect();
    assert_eq!(list, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(hub.clients().count_of_topic(&Topic::new("b").unwrap()), 2);
    assert_eq!(hub.clients().count_of_topic(&Topic::new("c").unwrap()), 0);
}
