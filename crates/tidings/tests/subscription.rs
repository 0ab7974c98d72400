//! Status, resume, reset, history, first bytes: what one client is sent.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::{Reader, after, numbered, position, publish};
use tidings::{
    DEFAULT_RETRY, Event, EventId, History, Hub, ResetReason, Resume, Retention, Snapshot, Status,
    Subscribe,
    clock::ManualClock,
    error::{FieldErrorKind, StreamErrorKind, SubscribeErrorKind},
};

#[track_caller]
fn publish_many(hub: &Hub, topic: &str, range: std::ops::Range<usize>) -> Vec<EventId> {
    range.map(|n| publish(hub, topic, &format!("{topic}{n}"))).collect()
}

#[track_caller]
fn history(hub: &Hub, topics: &[&str], history: History) -> Vec<String> {
    let (mut reader, _) =
        Reader::open_with_status(hub.subscribe(topics.iter().copied()).history(history));
    reader.data()
}

/// A hub whose topics begin at positions 1 (`a0`) to `count`.
fn hub_with(topic: &str, count: usize, retention: Retention) -> (Hub, ManualClock, Vec<EventId>) {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).retention(retention).build();
    let ids = publish_many(&hub, topic, 0..count);
    (hub, clock, ids)
}

mod status {
    use super::*;

    #[test]
    fn a_fresh_client_learns_that_it_is_fresh_and_from_which_position() {
        let (hub, _, ids) = hub_with("a", 3, Retention::default());
        let (mut reader, status) = Reader::open_with_status(hub.subscribe(["a"]));
        let client = reader.subscription().client_id().to_string();
        assert_eq!(status, serde_json::json!({ "status": "fresh", "client": client }));
        assert_eq!(reader.subscription().status(), Status::Fresh);
        assert_eq!(reader.last_id(), ids[2].as_str());
        assert!(reader.data().is_empty());
    }

    #[test]
    fn the_status_event_has_data_because_firefox_ignores_an_id_without() {
        let hub = Hub::new();
        let mut reader = Reader::open(hub.subscribe(["a"]).retry(None));
        let text = String::from_utf8(reader.bytes()).unwrap();
        let client = reader.subscription().client_id();
        let id = reader.last_id();
        assert_eq!(
            text,
            format!(
                "event: tidings:status\ndata: {{\"status\":\"fresh\",\"client\":\"{client}\"}}\nid: {id}\n\n"
            )
        );
    }

    #[test]
    fn without_status_the_stream_is_bare() {
        let (hub, _, ids) = hub_with("a", 2, Retention::default().events(1));
        for resume in [Resume::new(), after("nonsense"), after(ids[1].as_str())] {
            let subscribe = hub.subscribe(["a"]).status(false).retry(None).resume(resume);
            let mut reader = Reader::open(subscribe);
            let bytes = reader.bytes();
            assert!(bytes.starts_with(b":\n\n"), "the first bytes leave at once");
            assert!(!String::from_utf8(bytes).unwrap().contains("tidings:"));
        }
    }

    /// Published so much that a client which has read nothing of it lags too far.
    #[track_caller]
    fn overrun(hub: &Hub, subscribe: Subscribe) -> Reader {
        let mut reader = Reader::open(subscribe.status(false));
        reader.messages();
        publish_many(hub, "a", 0..2);
        assert_eq!(reader.data(), ["a0", "a1"]);
        publish_many(hub, "a", 2..1_000);
        reader
    }

    #[test]
    fn without_status_a_stream_that_would_be_reset_ends_with_an_error_instead() {
        let (hub, _, _) = hub_with("a", 0, Retention::default().events(1));
        let snapshot = || async { Ok(Snapshot::new([Event::new("state")])) };
        for subscribe in [
            hub.subscribe(["a"]),
            hub.subscribe_matching(["a*"]),
            hub.subscribe(["a"]).snapshot(snapshot),
        ] {
            let mut reader = overrun(&hub, subscribe);
            assert!(reader.data().iter().all(|data| data == "state"), "a hole that nobody tells");
            let error = reader.error.take().unwrap();
            assert_eq!(error.kind(), StreamErrorKind::Reset(ResetReason::Trimmed));
            assert!(error.to_string().contains("(trimmed)"), "{error}");
            assert!(reader.data().is_empty() && reader.ended);
        }
    }

    #[test]
    fn without_status_a_client_that_cannot_be_resumed_begins_anew_and_its_handler_knows() {
        let (hub, _, ids) = hub_with("a", 3, Retention::default().events(1));
        for (id, reason) in
            [("nonsense", ResetReason::Unknown), (ids[0].as_str(), ResetReason::Trimmed)]
        {
            let subscribe = hub.subscribe(["a"]).status(false).retry(None).resume(after(id));
            let mut reader = Reader::open(subscribe);
            assert_eq!(reader.subscription().status(), Status::Reset(reason));
            assert_eq!(reader.data(), ["a2"]);
            assert!(reader.error.is_none());
        }
    }
}

mod first_bytes {
    use super::*;

    fn first(hub: &Hub, set: impl Fn(Subscribe) -> Subscribe) -> String {
        let mut reader = Reader::open(set(hub.subscribe(["a"])));
        String::from_utf8(reader.chunk().unwrap().to_vec()).unwrap()
    }

    fn retry(text: &str) -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix("retry: "));
        line.unwrap().parse().unwrap()
    }

    #[test]
    fn the_retry_is_three_seconds_with_jitter() {
        let hub = Hub::new();
        let delays: Vec<_> = (0..1_000).map(|_| retry(&first(&hub, |s| s))).collect();
        assert_eq!(DEFAULT_RETRY, Duration::from_secs(3));
        assert!(delays.iter().all(|delay| (2_400..=3_600).contains(delay)));
        assert!(*delays.iter().min().unwrap() < 2_600 && *delays.iter().max().unwrap() > 3_400);
    }

    #[test]
    fn the_hub_and_the_subscription_set_the_retry() {
        let hub = Hub::builder().retry(Duration::from_secs(100)).build();
        assert!((80_000..=120_000).contains(&retry(&first(&hub, |s| s))));
        let own = first(&hub, |s| s.retry(Duration::from_secs(1)));
        assert!((800..=1_200).contains(&retry(&own)));
        assert!(!first(&hub, |s| s.retry(None)).contains("retry"));
        let silent = Hub::builder().retry(None).build();
        assert!(!first(&silent, |s| s).contains("retry"));
    }

    #[test]
    fn any_delay_can_be_written() {
        for delay in [Duration::ZERO, Duration::from_millis(u64::MAX), Duration::MAX] {
            for _ in 0..100 {
                retry(&first(&Hub::new(), |s| s.retry(delay)));
            }
        }
    }

    #[test]
    fn retry_and_status_are_one_block() {
        let hub = Hub::new();
        let text = first(&hub, |s| s);
        assert!(text.starts_with("retry: "));
        assert_eq!(text.matches("\n\n").count(), 1);
        let bare = first(&hub, |s| s.status(false));
        assert_eq!(bare, format!("retry: {}\n\n", retry(&bare)));
        assert_eq!(first(&hub, |s| s.status(false).retry(None)), ":\n\n");
    }
}

mod whole_events {
    use super::*;

    #[test]
    fn a_chunk_is_whole_events_and_only_a_large_event_comes_in_pieces() {
        const PIECE: usize = 4096;
        let hub = Hub::builder().retry(None).build();
        let mut reader = Reader::open(hub.subscribe("a"));
        let mut sizes = Vec::new();
        for size in [1, 100, 4_000, 5_000, 20_000, 1, 4_096, 1] {
            sizes.push(size);
            publish(&hub, "a", &"x".repeat(size));
            if sizes.len() % 3 == 0 {
                while let Some(chunk) = reader.chunk() {
                    let is_whole = chunk.ends_with(b"\n\n");
                    assert!(is_whole || chunk.len() == PIECE, "{} bytes", chunk.len());
                    assert!(chunk.len() <= PIECE || is_whole);
                }
            }
        }
        let data: Vec<_> = reader.messages().iter().map(|message| message.data().len()).collect();
        assert_eq!(data[1..], sizes, "after the status");
    }

    #[test]
    fn a_heartbeat_is_a_chunk_of_its_own() {
        let (hub, clock, _) = hub_with("a", 0, Retention::default());
        let mut reader = Reader::open(hub.subscribe("a"));
        reader.bytes();
        clock.advance(Duration::from_secs(20));
        publish(&hub, "a", "late");
        let chunks: Vec<_> = std::iter::from_fn(|| reader.chunk()).collect();
        assert!(chunks.iter().all(|chunk| chunk == ":\n\n" || chunk.starts_with(b"data: late")));
    }
}

mod past {
    use super::*;

    #[test]
    fn history_is_none_all_the_last_or_the_latest() {
        let clock = ManualClock::new();
        let hub = Hub::builder().clock(clock.clock()).build();
        for n in 0..10 {
            publish(&hub, "a", &format!("a{n}"));
            clock.advance(Duration::from_secs(1));
        }
        // From 10 seconds old to 1.
        for (choice, expected) in [
            (History::None, 10..10),
            (History::All, 0..10),
            (History::Last(0), 10..10),
            (History::Last(1), 9..10),
            (History::Last(9), 1..10),
            (History::Last(10), 0..10),
            (History::Last(11), 0..10),
            (History::Last(usize::MAX), 0..10),
            (History::Within(Duration::ZERO), 10..10),
            (History::Within(Duration::from_millis(999)), 10..10),
            (History::Within(Duration::from_secs(1)), 9..10),
            (History::Within(Duration::from_millis(4_999)), 6..10),
            (History::Within(Duration::from_secs(5)), 5..10),
            (History::Within(Duration::from_secs(10)), 0..10),
            (History::Within(Duration::MAX), 0..10),
        ] {
            assert_eq!(history(&hub, &["a"], choice), numbered("a", expected), "{choice:?}");
        }
    }
}

mod reset {
    use super::*;

    #[track_caller]
    fn reset(status: &serde_json::Value, reason: &str) {
        assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &reason.into()));
    }

    #[test]
    fn an_expired_position_is_reset_to_all_that_is_retained() {
        let retention = Retention::default().age(Duration::from_secs(60));
        let (hub, clock, ids) = hub_with("a", 3, retention);
        clock.advance(Duration::from_secs(62));
        publish_many(&hub, "a", 3..6);
        let subscribe = hub.subscribe(["a"]).resume(after(ids[1].as_str()));
        let (mut reader, status) = Reader::open_with_status(subscribe);
        reset(&status, "expired");
        assert_eq!(reader.subscription().status(), Status::Reset(ResetReason::Expired));
        assert_eq!(reader.data(), numbered("a", 3..6));
        // The newest evicted event is no gap for a client that has it.
        let subscribe = hub.subscribe(["a"]).resume(after(ids[2].as_str()));
        let (mut reader, status) = Reader::open_with_status(subscribe);
        assert_eq!(status["status"], "resumed");
        assert_eq!(reader.data(), numbered("a", 3..6));
    }

    #[test]
    fn a_trimmed_position_is_reset_and_its_neighbour_is_not() {
        let (hub, _, ids) = hub_with("a", 10, Retention::default().events(4));
        // Retained: a6 to a9.
        for (n, id) in ids.iter().enumerate() {
            let subscribe = hub.subscribe(["a"]).history(History::All).resume(after(id.as_str()));
            let (mut reader, status) = Reader::open_with_status(subscribe);
            if n < 5 {
                reset(&status, "trimmed");
                assert_eq!(reader.data(), numbered("a", 6..10));
            } else {
                assert_eq!(status["status"], "resumed", "after a{n}");
                assert_eq!(reader.subscription().status(), Status::Resumed);
                assert_eq!(reader.last_id(), id.as_str());
                assert_eq!(reader.data(), numbered("a", n + 1..10));
            }
        }
    }

    #[test]
    fn the_hubs_budget_trims() {
        let hub = Hub::builder().max_retained_bytes(10_000).build();
        let first = publish(&hub, "a", "first");
        publish(&hub, "a", "second");
        publish(&hub, "b", &"x".repeat(9_900));
        let (mut reader, status) =
            Reader::open_with_status(hub.subscribe(["a"]).resume(after(first.as_str())));
        reset(&status, "trimmed");
        assert!(reader.data().is_empty());
    }

    #[test]
    fn an_event_over_the_budget_still_reaches_the_clients_that_wait_for_it() {
        let hub = Hub::builder().max_retained_bytes(0).build();
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
        for n in 0..5 {
            publish(&hub, "a", &format!("a{n}"));
            assert_eq!(reader.data(), [format!("a{n}")]);
        }
    }

    #[test]
    fn the_registry_knows_the_position_of_a_reset_before_an_event_follows() {
        let (hub, _, _) = hub_with("a", 0, Retention::none());
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
        publish_many(&hub, "a", 0..1_000);
        reset(&reader.next_status(), "trimmed");
        let info = hub.clients().get(reader.subscription().client_id()).unwrap();
        assert_eq!(info.last_id.as_str(), reader.last_id());
        assert_eq!(position(reader.last_id()), 1_000);
        assert_eq!(info.events_sent, 2);
        assert!(reader.data().is_empty());
    }

    #[test]
    fn a_reader_that_sleeps_through_an_expiry_is_reset() {
        let retention = Retention::default().age(Duration::from_secs(60));
        let (hub, clock, _) = hub_with("a", 0, retention);
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]).heartbeat(None));
        publish(&hub, "a", "a0");
        clock.advance(Duration::from_secs(62));
        // It learns of it with the next event, at the latest.
        publish(&hub, "a", "a1");
        reset(&reader.next_status(), "expired");
        assert_eq!(reader.data(), ["a1"]);
    }

    #[test]
    fn a_topic_that_vanished_with_events_is_a_reset_and_one_without_is_not() {
        let (hub, clock, _) = hub_with("kept", 1, Retention::default());
        let (reader, _) = Reader::open_with_status(hub.subscribe(["lost", "quiet"]));
        let resume = reader.resume();
        drop(reader);
        publish(&hub, "lost", "x");
        clock.advance(Duration::from_secs(602));
        assert!(hub.clients().topics().is_empty(), "all have vanished");
        let (_, status) = Reader::open_with_status(hub.subscribe(["quiet"]).resume(resume.clone()));
        assert_eq!(status["status"], "resumed");
        let topics = ["quiet", "lost"];
        let (mut reader, status) = Reader::open_with_status(hub.subscribe(topics).resume(resume));
        reset(&status, "expired");
        assert!(reader.data().is_empty());
        // Reset, it follows from now on.
        let (_, status) = Reader::open_with_status(hub.subscribe(topics).resume(reader.resume()));
        assert_eq!(status["status"], "resumed");
    }

    #[test]
    fn of_several_losses_the_latest_gives_the_reason() {
        let clock = ManualClock::new();
        let hub = Hub::builder()
            .clock(clock.clock())
            .retain("old", Retention::default().age(Duration::from_secs(1)))
            .unwrap()
            .retain("full", Retention::default().events(1))
            .unwrap()
            .build();
        let first = publish(&hub, "start", "x");
        publish(&hub, "old", "x");
        clock.advance(Duration::from_secs(3));
        let subscribe = || hub.subscribe(["old", "full"]).resume(after(first.as_str()));
        reset(&Reader::open_with_status(subscribe()).1, "expired");
        publish_many(&hub, "full", 0..300);
        reset(&Reader::open_with_status(subscribe()).1, "trimmed");
    }
}

mod topics {
    use super::*;

    #[test]
    fn topics_are_sorted_and_each_counts_once() {
        let hub = Hub::new();
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(["b", "a", "b", "a", "c"]));
        let info = &hub.clients().list()[0];
        let names: Vec<_> = info.topics.iter().map(|topic| topic.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let published = hub.publish("b", Event::new("x")).wait().unwrap();
        assert_eq!(published.subscribers(), 1);
        assert_eq!(reader.data(), ["x"]);
    }

    #[test]
    fn no_topic_and_a_bad_topic_are_errors_that_leave_nothing() {
        let hub = Hub::new();
        let error = hub.subscribe(Vec::<String>::new()).open().unwrap_err();
        assert_eq!(error.kind(), SubscribeErrorKind::NoTopics);
        assert_eq!(error.to_string(), "topic is missing");
        let error = hub.subscribe(["good", "not good", ""]).open().unwrap_err();
        assert_eq!(error.kind(), SubscribeErrorKind::Topic);
        assert_eq!(error.to_string(), "topic contains ' ' at byte 3");
        let source = std::error::Error::source(&error).unwrap();
        let field = source.downcast_ref::<tidings::error::FieldError>().unwrap();
        assert_eq!(field.kind(), FieldErrorKind::WhiteSpace);
        assert_eq!(hub.clients().count(), 0);
        assert!(hub.clients().topics().is_empty());
    }

    #[test]
    fn more_topics_or_patterns_than_the_hub_allows_are_errors_that_leave_nothing() {
        let names = |end: &'static str, count| (0..count).map(move |n| format!("{n}{end}"));
        let refused = |subscribe: Subscribe| {
            let error = subscribe.open().unwrap_err();
            (error.kind(), error.to_string())
        };
        let hub = Hub::new();
        let subscribe = || hub.subscribe(names("", 1_000)).matching(names("*", 64));
        // Each counts once.
        drop(subscribe().matching(names("", 1_000)).matching(names("*", 64)).open().unwrap());
        let (kind, text) = refused(subscribe().matching(["more"]));
        assert_eq!(kind, SubscribeErrorKind::TooManyTopics);
        assert_eq!(text, "subscription has 1001 topics, over the limit of 1000");
        let (kind, text) = refused(subscribe().matching(["more*"]));
        assert_eq!(kind, SubscribeErrorKind::TooManyPatterns);
        assert_eq!(text, "subscription has 65 patterns, over the limit of 64");

        let hub = Hub::builder().topics_per_subscription(2).patterns_per_subscription(0).build();
        drop(hub.subscribe(["a", "b"]).open().unwrap());
        assert_eq!(refused(hub.subscribe(["a", "b", "c"])).0, SubscribeErrorKind::TooManyTopics);
        assert_eq!(
            refused(hub.subscribe(["a"]).matching(["a*"])).0,
            SubscribeErrorKind::TooManyPatterns
        );
        assert_eq!(hub.clients().count(), 0);
        assert!(hub.clients().topics().is_empty() && hub.clients().patterns().is_empty());
    }

    #[test]
    fn a_hundred_topics_are_one_stream_in_the_hubs_order() {
        let hub = Hub::new();
        let names: Vec<String> = (0..100).map(|n| format!("topic{n}")).collect();
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(&names[..]));
        let mut random = fastrand::Rng::with_seed(7);
        let mut publish_some = |range: std::ops::Range<usize>| {
            for n in range {
                publish(&hub, &names[random.usize(..100)], &format!("x{n}"));
            }
        };
        publish_some(0..3_000);
        assert_eq!(reader.data(), numbered("x", 0..3_000));
        publish_some(3_000..3_001);
        let resume = reader.resume();
        assert_eq!(reader.data(), ["x3000"]);
        publish_some(3_001..9_000);
        let subscribe = hub.subscribe(&names[..]).resume(resume);
        assert_eq!(Reader::open_with_status(subscribe).0.data(), numbered("x", 3_000..9_000));
        let past = hub.subscribe(&names[..]).history(History::All);
        assert_eq!(Reader::open_with_status(past).0.data(), numbered("x", 0..9_000));
    }
}

mod chunks {
    use super::*;

    #[test]
    fn clients_that_read_the_same_are_sent_the_same_allocation() {
        let hub = Hub::new();
        let publish_some = || {
            (0..1_000).for_each(|n| drop(publish(&hub, ["a", "b"][n % 2], "x")));
        };
        let open = |subscribe: &dyn Fn() -> Subscribe| -> Vec<Reader> {
            (0..10).map(|_| Reader::open_with_status(subscribe()).0).collect()
        };
        publish_some();
        let live = open(&|| hub.subscribe(["a", "b"]));
        publish_some();
        let resume = live[0].resume();
        let resumed = open(&|| hub.subscribe(["a", "b"]).resume(resume.clone()));
        let history = open(&|| hub.subscribe(["a"]).history(History::All));
        let mut groups = [live, resumed, history];
        let mut shared = |least: usize, count: usize| {
            for readers in &mut groups {
                let chunks: Vec<_> = readers.iter_mut().map(|r| r.chunk().unwrap()).collect();
                assert!(chunks[0].len() > least);
                assert!(chunks.iter().all(|chunk| chunk.as_ptr() == chunks[0].as_ptr()));
                assert!(readers.iter_mut().all(|reader| reader.data().len() == count));
            }
        };
        shared(10_000, 1_000);
        // One event is the log's own frame.
        publish(&hub, "a", "last");
        shared(0, 1);
    }

    #[test]
    fn a_reader_that_comes_later_takes_the_rest_of_a_chunk() {
        let hub = Hub::new();
        let (mut early, _) = Reader::open_with_status(hub.subscribe(["a"]));
        publish_many(&hub, "a", 0..50);
        let (mut late, _) = Reader::open_with_status(hub.subscribe(["a"]));
        publish_many(&hub, "a", 50..100);
        let whole = early.chunk().unwrap();
        let rest = late.chunk().unwrap();
        assert_eq!(whole.as_ptr_range().end, rest.as_ptr_range().end);
        assert_eq!((early.data(), late.data()), (numbered("a", 0..100), numbered("a", 50..100)));
    }

    #[test]
    fn big_events_and_small_ones_arrive_whole_and_in_order() {
        let hub = Hub::builder().retention(Retention::default().bytes(64 << 20)).build();
        let (mut live, _) = Reader::open_with_status(hub.subscribe(["a", "b"]));
        let first = live.resume();
        let mut random = fastrand::Rng::with_seed(1);
        let expected: Vec<String> = (0..200)
            .map(|n| {
                let size = match n % 5 {
                    0 => 64 * 1024 + random.usize(..3),
                    1 => 65_480 + random.usize(..60),
                    2 => random.usize(..200_000),
                    _ => random.usize(..200),
                };
                let data = format!("{n} {}", "x".repeat(size));
                publish(&hub, ["a", "b"][random.usize(..2)], &data);
                data
            })
            .collect();
        let (mut resumed, _) = Reader::open_with_status(hub.subscribe(["a", "b"]).resume(first));
        let past = hub.subscribe(["a", "b"]).history(History::All);
        let (mut past, _) = Reader::open_with_status(past);
        while let Some(chunk) = resumed.chunk() {
            assert!(chunk.len() <= 64 * 1024 || chunk.iter().filter(|b| **b == b'i').count() == 1);
        }
        assert!(resumed.data() == expected && past.data() == expected);
        // The live reader lagged: the live window is small, the retained part is not.
        assert!(live.data() == expected);
    }

    #[test]
    fn a_chunk_of_history_does_not_hide_what_was_live_to_another_reader() {
        let hub = Hub::new();
        let first = publish_many(&hub, "a", 0..10).remove(0);
        let open = || {
            let subscribe = hub.subscribe(["a"]).resume(after(first.as_str()));
            Reader::open_with_status(subscribe).0
        };
        let mut early = open();
        hub.publish_ephemeral("a", Event::new("typing")).unwrap();
        publish_many(&hub, "a", 10..20);
        // To this reader the ephemeral event is in the past; its chunk reaches over it.
        assert_eq!(open().data(), numbered("a", 1..20));
        let mut expected = numbered("a", 1..20);
        expected.insert(9, "typing".to_owned());
        assert_eq!(early.data(), expected);
    }
}

mod messages {
    use super::*;
    use futures_executor::block_on;
    use futures_util::{FutureExt, StreamExt, TryStreamExt};
    use tidings::{END_EVENT, Heartbeat, STATUS_EVENT};

    #[test]
    fn are_what_a_client_dispatches_whatever_the_chunks() {
        let hub = Hub::new();
        let large = "x\n".repeat(10_000);
        for data in ["one", "two", &large] {
            publish(&hub, "a", data);
        }
        hub.finish("a", Event::named("done", "").unwrap()).wait().unwrap();
        let subscribe = || hub.subscribe("a").history(History::All);
        let (mut reader, _) = Reader::open_with_status(subscribe());
        let expected = reader.messages();
        let messages = subscribe().open().unwrap().into_messages();
        let messages: Vec<_> = block_on(messages.try_collect()).unwrap();
        assert_eq!(messages[0].event(), STATUS_EVENT);
        assert_eq!(messages[1..], expected);
        assert_eq!(messages[3].data(), large);
        assert_eq!(messages[5].event(), END_EVENT);
    }

    #[test]
    fn wait_for_what_is_published_and_not_for_heartbeats() {
        let clock = ManualClock::new();
        let hub = Hub::builder().clock(clock.clock()).build();
        let subscribe = hub.subscribe("a").status(false).heartbeat(Heartbeat::comment());
        let mut messages = subscribe.open().unwrap().into_messages();
        clock.advance(Duration::from_secs(60));
        assert!(messages.next().now_or_never().is_none());
        publish(&hub, "a", "one");
        assert_eq!(block_on(messages.next()).unwrap().unwrap().data(), "one");
        assert_eq!(hub.clients().count(), 1);
        drop(messages);
        assert_eq!(hub.clients().count(), 0);
    }

    #[test]
    fn an_error_of_the_stream_comes_after_what_was_read() {
        let (hub, _, _) = hub_with("a", 0, Retention::default().events(0));
        let mut messages = hub.subscribe("a").status(false).open().unwrap().into_messages();
        publish(&hub, "a", "one");
        assert_eq!(block_on(messages.next()).unwrap().unwrap().data(), "one");
        publish_many(&hub, "a", 0..1_000);
        let error = block_on(messages.next()).unwrap().unwrap_err();
        assert_eq!(error.kind(), StreamErrorKind::Reset(ResetReason::Trimmed));
        assert!(block_on(messages.next()).is_none());
    }
}

mod hostile {
    use super::*;

    #[test]
    fn whatever_a_client_claims_it_gets_a_stream() {
        let (hub, _, ids) = hub_with("a", 20, Retention::default());
        let last = ids.last().unwrap().as_str();
        let (epoch, _) = last.split_once('-').unwrap();
        let mut claims: Vec<Vec<u8>> = [
            &b"\xff\xfe\xfd"[..],
            b"",
            b"0",
            b"\0",
            b"\r\ndata: injected",
            &[b'x'; 64 * 1024],
            "é".repeat(40).as_bytes(),
            &[epoch.as_bytes(), b"-\xff"].concat(),
            last.to_uppercase().as_bytes(),
            publish(&Hub::new(), "a", "of another history").as_str().as_bytes(),
        ]
        .map(<[u8]>::to_vec)
        .into();
        // Not ids, and a position that the hub has not reached.
        let ends = ["", "-", "--1", "-+1", "-01", "-18446744073709551616", "-none", "-1 ", "-21"];
        claims.extend(ends.map(|end| format!("{epoch}{end}").into_bytes()));
        for claim in claims {
            let (mut reader, status) =
                Reader::open_with_status(hub.subscribe(["a"]).resume(after(&claim)));
            let shown = String::from_utf8_lossy(&claim[..claim.len().min(80)]).into_owned();
            assert_eq!(
                (&status["status"], &status["reason"]),
                (&"reset".into(), &"unknown".into()),
                "{shown}"
            );
            assert_eq!(reader.data(), numbered("a", 0..20), "{shown}");
        }
    }
}
