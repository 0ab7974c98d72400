//! Status, resume, reset, history, first bytes: what one client is sent.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::{Reader, numbered};
use tidings::{
    DEFAULT_RETRY, Event, EventId, FieldErrorKind, History, Hub, ManualClock, ResetReason, Resume,
    Retention, Status, SubscribeErrorKind,
};

#[track_caller]
fn publish(hub: &Hub, topic: &str, data: &str) -> EventId {
    hub.publish(topic, Event::new(data)).wait().unwrap().id()
}

#[track_caller]
fn publish_many(hub: &Hub, topic: &str, range: std::ops::Range<usize>) -> Vec<EventId> {
    range.map(|n| publish(hub, topic, &format!("{topic}{n}"))).collect()
}

fn from(id: impl AsRef<[u8]>) -> Resume {
    Resume::new().with_last_event_id(id)
}

fn position(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
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
    fn a_client_that_is_cut_after_the_status_event_resumes_exactly() {
        let hub = Hub::new();
        for _ in 0..2 {
            let (reader, _) = Reader::open_with_status(hub.subscribe(["a", "b"]));
            let resume = reader.resume();
            drop(reader);
            publish(&hub, "a", "a0");
            publish(&hub, "c", "other");
            publish(&hub, "b", "b0");
            let (again, status) =
                Reader::open_with_status(hub.subscribe(["a", "b"]).resume(resume));
            assert_eq!(status["status"], "resumed");
            // Cut once more before the first real event: nothing has moved.
            let resume = again.resume();
            drop(again);
            let (mut last, _) = Reader::open_with_status(hub.subscribe(["a", "b"]).resume(resume));
            assert_eq!(last.data(), ["a0", "b0"]);
        }
    }

    #[test]
    fn the_status_id_before_history_leads_to_the_same_history() {
        let (hub, _, _) = hub_with("a", 10, Retention::default().events(7));
        for choice in [History::All, History::Last(4), History::None] {
            let (reader, _) = Reader::open_with_status(hub.subscribe(["a"]).history(choice));
            let resume = reader.resume();
            let (mut again, status) = Reader::open_with_status(hub.subscribe(["a"]).resume(resume));
            assert_eq!(status["status"], "resumed");
            assert_eq!(again.data(), history(&hub, &["a"], choice), "{choice:?}");
        }
    }

    #[test]
    fn a_resumed_client_gets_exactly_what_it_missed() {
        let (hub, _, ids) = hub_with("a", 20, Retention::default());
        for (n, id) in ids.iter().enumerate() {
            let subscribe = hub.subscribe(["a"]).history(History::All).resume(from(id.as_str()));
            let (mut reader, status) = Reader::open_with_status(subscribe);
            assert_eq!(status["status"], "resumed");
            assert_eq!(reader.subscription().status(), Status::Resumed);
            assert_eq!(reader.last_id(), id.as_str());
            assert_eq!(reader.data(), numbered("a", n + 1..20));
        }
    }

    #[test]
    fn one_id_says_what_was_seen_of_all_topics() {
        let hub = Hub::new();
        let mut all = Vec::new();
        for n in 0..30 {
            let topic = ["a", "b", "c"][n * 7 % 3];
            all.push((publish(&hub, topic, &n.to_string()), topic, n.to_string()));
        }
        for (at, (id, _, _)) in all.iter().enumerate() {
            let subscribe = hub.subscribe(["c", "a"]).resume(from(id.as_str()));
            let expected = all[at + 1..].iter().filter(|(_, topic, _)| *topic != "b");
            let expected: Vec<_> = expected.map(|(_, _, data)| data.clone()).collect();
            let (mut reader, _) = Reader::open_with_status(subscribe);
            assert_eq!(reader.data(), expected);
        }
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
        for resume in [Resume::new(), from("nonsense"), from(ids[1].as_str())] {
            let subscribe = hub.subscribe(["a"]).status(false).retry(None).resume(resume);
            let mut reader = Reader::open(subscribe);
            let bytes = reader.bytes();
            assert!(bytes.starts_with(b":\n\n"), "the first bytes leave at once");
            assert!(!String::from_utf8(bytes).unwrap().contains("tidings:"));
        }
    }

    #[test]
    fn without_status_a_reset_in_mid_stream_is_silent_and_goes_on() {
        let (hub, _, _) = hub_with("a", 0, Retention::default().events(1));
        let mut reader = Reader::open(hub.subscribe(["a"]).status(false));
        reader.bytes();
        publish_many(&hub, "a", 0..1_000);
        assert_eq!(reader.data(), ["a999"]);
    }
}

mod first_bytes {
    use super::*;

    fn first(hub: &Hub, set: impl Fn(tidings::Subscribe) -> tidings::Subscribe) -> String {
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

    #[test]
    fn the_default_is_to_start_live() {
        let (hub, _, _) = hub_with("a", 3, Retention::default());
        assert!(Reader::open_with_status(hub.subscribe(["a"])).0.data().is_empty());
    }

    #[test]
    fn history_of_topics_that_retain_differently_is_in_the_hubs_order() {
        let hub = Hub::builder()
            .retain("one", Retention::default().events(1))
            .unwrap()
            .retain("none", Retention::none())
            .unwrap()
            .retain("five", Retention::default().events(5))
            .unwrap()
            .build();
        // Somebody is there, so that the live window keeps more than what is retained.
        let _there = Reader::open(hub.subscribe(["one", "none", "five", "all", "empty"]));
        for n in 0..10 {
            for topic in ["one", "all", "none", "five"] {
                publish(&hub, topic, &format!("{topic}{n}"));
            }
        }
        let mut expected = numbered("all", 0..5);
        for n in 5..9 {
            expected.extend([format!("all{n}"), format!("five{n}")]);
        }
        expected.extend(["one9", "all9", "five9"].map(String::from));
        let topics = ["one", "none", "five", "all", "empty"];
        assert_eq!(history(&hub, &topics, History::All), expected);
        for count in [0, 1, 2, 3, 4, 7, 15, 16, 17] {
            let last = expected[expected.len().saturating_sub(count)..].to_vec();
            assert_eq!(history(&hub, &topics, History::Last(count)), last, "the last {count}");
        }
        assert_eq!(history(&hub, &topics, History::Within(Duration::from_secs(60))), expected);
    }

    #[test]
    fn each_topic_is_within_its_own_age() {
        let clock = ManualClock::new();
        let hub = Hub::builder()
            .clock(clock.clock())
            .retain("short", Retention::default().age(Duration::from_secs(3)))
            .unwrap()
            .build();
        for n in 0..6 {
            publish(&hub, "short", &format!("s{n}"));
            publish(&hub, "long", &format!("l{n}"));
            clock.advance(Duration::from_secs(1));
        }
        let expected = ["l0", "l1", "l2", "l3", "s4", "l4", "s5", "l5"];
        assert_eq!(history(&hub, &["short", "long"], History::All), expected);
        let recent = History::Within(Duration::from_secs(3));
        assert_eq!(history(&hub, &["short", "long"], recent), expected[3..]);
    }

    #[test]
    fn history_and_live_events_are_seamless() {
        let (hub, _, _) = hub_with("a", 500, Retention::default());
        let subscribe = hub.subscribe(["a", "b"]).history(History::Last(450));
        let (mut reader, _) = Reader::open_with_status(subscribe);
        let mut all = Vec::new();
        for n in 500..1_200 {
            publish(&hub, "a", &format!("a{n}"));
            if n % 50 == 0 {
                all.extend(reader.data());
            }
        }
        all.extend(reader.data());
        assert_eq!(all, numbered("a", 50..1_200));
    }

    #[test]
    fn history_does_not_hold_for_a_client_that_resumes() {
        let (hub, _, ids) = hub_with("a", 5, Retention::default());
        let subscribe = hub.subscribe(["a"]).history(History::All).resume(from(ids[3].as_str()));
        assert_eq!(Reader::open_with_status(subscribe).0.data(), ["a4"]);
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
        let subscribe = hub.subscribe(["a"]).resume(from(ids[1].as_str()));
        let (mut reader, status) = Reader::open_with_status(subscribe);
        reset(&status, "expired");
        assert_eq!(reader.subscription().status(), Status::Reset(ResetReason::Expired));
        assert_eq!(reader.data(), numbered("a", 3..6));
        // The newest evicted event is no gap for a client that has it.
        let subscribe = hub.subscribe(["a"]).resume(from(ids[2].as_str()));
        let (mut reader, status) = Reader::open_with_status(subscribe);
        assert_eq!(status["status"], "resumed");
        assert_eq!(reader.data(), numbered("a", 3..6));
    }

    #[test]
    fn a_trimmed_position_is_reset_and_its_neighbour_is_not() {
        let (hub, _, ids) = hub_with("a", 10, Retention::default().events(4));
        // Retained: a6 to a9.
        for (n, id) in ids.iter().enumerate() {
            let subscribe = hub.subscribe(["a"]).resume(from(id.as_str()));
            let (mut reader, status) = Reader::open_with_status(subscribe);
            if n < 5 {
                reset(&status, "trimmed");
                assert_eq!(reader.data(), numbered("a", 6..10));
            } else {
                assert_eq!(status["status"], "resumed", "after a{n}");
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
            Reader::open_with_status(hub.subscribe(["a"]).resume(from(first.as_str())));
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
    fn the_id_of_another_history_is_unknown() {
        let (hub, _, _) = hub_with("a", 3, Retention::default());
        let (other, _, ids) = hub_with("a", 3, Retention::default());
        drop(other);
        let (mut reader, status) =
            Reader::open_with_status(hub.subscribe(["a"]).resume(from(ids[1].as_str())));
        reset(&status, "unknown");
        assert_eq!(reader.data(), numbered("a", 0..3));
    }

    #[test]
    fn the_id_of_the_reset_alone_resumes() {
        let (hub, _, ids) = hub_with("a", 10, Retention::default().events(4));
        let subscribe = hub.subscribe(["a"]).resume(from(ids[0].as_str()));
        let (reader, _) = Reader::open_with_status(subscribe);
        let resume = reader.resume();
        drop(reader);
        publish(&hub, "b", "other");
        let (mut again, status) = Reader::open_with_status(hub.subscribe(["a"]).resume(resume));
        assert_eq!(status["status"], "resumed");
        assert_eq!(again.data(), numbered("a", 6..10));
    }

    #[test]
    fn a_slow_reader_that_is_overrun_is_reset_in_mid_stream() {
        let (hub, _, _) = hub_with("a", 0, Retention::default().events(300));
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a", "b"]));
        publish(&hub, "b", "b0");
        publish_many(&hub, "a", 0..300);
        // It holds the whole log by a hair.
        let (mut other, _) = Reader::open_with_status(hub.subscribe(["a"]).history(History::All));
        publish(&hub, "a", "a300");
        reset(&reader.next_status(), "trimmed");
        reset(&other.next_status(), "trimmed");
        let mut expected = vec!["b0".to_owned()];
        expected.extend(numbered("a", 1..301));
        assert_eq!(reader.data(), expected);
        assert_eq!(other.data(), numbered("a", 1..301));
        let info = hub.clients().get(reader.subscription().client_id()).unwrap();
        assert_eq!(info.last_id.as_str(), reader.last_id());
        // Live again, without another word.
        publish(&hub, "a", "a301");
        assert_eq!(reader.data(), ["a301"]);
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
    fn a_reader_is_not_reset_for_expired_events_that_it_has_read() {
        let retention = Retention::default().events(2).age(Duration::from_secs(1));
        let (hub, clock, _) = hub_with("a", 0, retention);
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a", "b"]));
        for n in 0..50 {
            publish(&hub, "a", &format!("a{n}"));
            assert_eq!(reader.data(), [format!("a{n}")]);
            clock.advance(Duration::from_secs(11));
        }
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
    fn a_reset_shows_no_event_of_another_topic() {
        let hub = Hub::builder().retention(Retention::default().events(5)).build();
        for n in 0..50 {
            for topic in ["mine", "yours", "theirs"] {
                publish(&hub, topic, &format!("{topic}{n}"));
            }
        }
        for claim in ["nonsense", "", "0", "-1"] {
            let (mut reader, status) =
                Reader::open_with_status(hub.subscribe(["mine"]).resume(from(claim)));
            reset(&status, "unknown");
            assert_eq!(reader.data(), numbered("mine", 45..50));
        }
    }

    #[test]
    fn a_topic_that_is_taken_away_is_not_served_from_an_old_id() {
        let hub = Hub::new();
        let (mut reader, _) = Reader::open_with_status(hub.subscribe(["mine", "secret"]));
        publish(&hub, "mine", "m0");
        reader.data();
        let resume = reader.resume();
        drop(reader);
        publish(&hub, "secret", "s0");
        publish(&hub, "mine", "m1");
        let (mut again, _) = Reader::open_with_status(hub.subscribe(["mine"]).resume(resume));
        assert_eq!(again.data(), ["m1"]);
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
    fn a_topic_that_retains_nothing_resets_only_clients_that_missed_an_event() {
        let (hub, _, _) = hub_with("other", 1, Retention::none());
        let (reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
        let resume = reader.resume();
        drop(reader);
        let (reader, status) =
            Reader::open_with_status(hub.subscribe(["a"]).resume(resume.clone()));
        assert_eq!(status["status"], "resumed");
        drop(reader);
        publish(&hub, "a", "x");
        let (_, status) = Reader::open_with_status(hub.subscribe(["a"]).resume(resume));
        reset(&status, "trimmed");
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
        let subscribe = || hub.subscribe(["old", "full"]).resume(from(first.as_str()));
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
        let field = source.downcast_ref::<tidings::FieldError>().unwrap();
        assert_eq!(field.kind(), FieldErrorKind::WhiteSpace);
        assert_eq!(hub.clients().count(), 0);
        assert!(hub.clients().topics().is_empty());
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
    fn clients_that_resume_from_the_same_position_are_sent_the_same_allocation() {
        let hub = Hub::new();
        let ids: Vec<_> =
            (0..1_000).map(|n| publish(&hub, ["a", "b"][n % 2], &format!("x{n}"))).collect();
        let open = || {
            let subscribe = hub.subscribe(["a", "b"]).resume(from(ids[99].as_str()));
            Reader::open_with_status(subscribe).0
        };
        let mut readers: Vec<_> = (0..10).map(|_| open()).collect();
        loop {
            let chunks: Vec<_> = readers.iter_mut().map(|reader| reader.chunk()).collect();
            let Some(first) = &chunks[0] else { break };
            assert!(first.len() > 10_000);
            assert!(chunks.iter().flatten().all(|chunk| chunk.as_ptr() == first.as_ptr()));
        }
        for reader in &mut readers {
            assert_eq!(reader.data(), numbered("x", 100..1_000));
        }
    }

    #[test]
    fn one_topics_history_is_shared_as_well() {
        let (hub, _, _) = hub_with("a", 1_000, Retention::default());
        let mut first: Vec<_> = (0..5)
            .map(|_| Reader::open_with_status(hub.subscribe(["a"]).history(History::All)).0)
            .collect();
        let chunks: Vec<_> = first.iter_mut().map(|reader| reader.chunk().unwrap()).collect();
        assert!(chunks.iter().all(|chunk| chunk.as_ptr() == chunks[0].as_ptr()));
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
            let subscribe = hub.subscribe(["a"]).resume(from(first.as_str()));
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

    #[test]
    fn replay_and_live_meet_without_gap_or_double() {
        let hub = Hub::new();
        let ids = publish_many(&hub, "a", 0..100);
        for (n, id) in ids.iter().enumerate() {
            let subscribe = hub.subscribe(["a"]).resume(from(id.as_str()));
            let (mut reader, _) = Reader::open_with_status(subscribe);
            if n % 2 == 0 {
                reader.chunk();
            }
            publish(&hub, "a", &format!("a{}", 100 + n));
            hub.publish_ephemeral("a", Event::new("e")).unwrap();
            let mut expected = numbered("a", n + 1..101 + n);
            expected.push("e".to_owned());
            assert_eq!(reader.data(), expected);
        }
    }
}

mod hostile {
    use super::*;

    #[test]
    fn whatever_a_client_claims_it_gets_a_stream() {
        let (hub, _, ids) = hub_with("a", 20, Retention::default());
        let last = ids.last().unwrap().as_str();
        let (epoch, _) = last.split_once('-').unwrap();
        let claims: Vec<Vec<u8>> = [
            &b"\xff\xfe\xfd"[..],
            b"",
            b"-",
            b"0",
            b"\0",
            b"\r\ndata: injected",
            "x".repeat(64 * 1024).as_bytes(),
            "é".repeat(40).as_bytes(),
            [epoch.as_bytes(), b"-\xff"].concat().as_slice(),
            [epoch.as_bytes(), b"-", "9".repeat(60_000).as_bytes()].concat().as_slice(),
        ]
        .map(<[u8]>::to_vec)
        .into_iter()
        .chain(
            [
                "-",
                "--1",
                "-+1",
                "-01",
                "-020",
                "-21",
                "-18446744073709551615",
                "-18446744073709551616",
                "-none",
                "-1.0",
                "-0x1",
                "-1 ",
                "- 1",
                "1",
                "",
            ]
            .map(|rest| format!("{epoch}{rest}").into_bytes()),
        )
        .chain([last.to_uppercase().into_bytes(), format!(" {last}").into_bytes()])
        .filter(|claim| claim != last.as_bytes())
        .collect();
        for claim in claims {
            let (mut reader, status) =
                Reader::open_with_status(hub.subscribe(["a"]).resume(from(&claim)));
            let shown = String::from_utf8_lossy(&claim[..claim.len().min(80)]).into_owned();
            assert_eq!(
                (&status["status"], &status["reason"]),
                (&"reset".into(), &"unknown".into()),
                "{shown}"
            );
            assert_eq!(reader.data(), numbered("a", 0..20), "{shown}");
        }
    }

    #[test]
    fn headers_and_queries_of_any_kind_give_a_stream() {
        let (hub, _, ids) = hub_with("a", 3, Retention::default());
        let (one, two) = (ids[0].as_str().as_bytes(), ids[1].as_str().as_bytes());
        let long = vec![b'9'; 64 * 1024];
        let long_query = format!("lastEventId={}", "%39".repeat(30_000));
        for (headers, query, expected) in [
            (vec![one, two], None, "reset"),
            (vec![one, one], None, "resumed"),
            (vec![one, b"\xff"], None, "reset"),
            (vec![b"", two], None, "resumed"),
            (vec![b""], None, "fresh"),
            (vec![&long[..]], None, "reset"),
            (vec![b"\xff\xfe"], None, "reset"),
            (vec![], Some("lastEventId=%ff%fe"), "reset"),
            (vec![], Some("lastEventId=%"), "reset"),
            (vec![], Some("lastEventId="), "fresh"),
            (vec![], Some("&&=&lastEventId"), "fresh"),
            (vec![], Some(long_query.as_str()), "reset"),
            (vec![one], Some("lastEventId=nonsense"), "resumed"),
        ] {
            let resume = Resume::from_request(headers.iter().copied(), query);
            let (_, status) = Reader::open_with_status(hub.subscribe(["a"]).resume(resume));
            assert_eq!(status["status"], expected, "{headers:?} {query:?}");
        }
    }

    #[test]
    fn a_position_of_the_future_is_unknown_until_it_is_one() {
        let (hub, _, ids) = hub_with("a", 3, Retention::default());
        let (epoch, _) = ids[0].as_str().split_once('-').unwrap();
        let next = format!("{epoch}-4");
        let open = || Reader::open_with_status(hub.subscribe(["a"]).resume(from(&next)));
        assert_eq!(open().1["status"], "reset");
        publish(&hub, "b", "x");
        assert_eq!(open().1["status"], "resumed");
    }

    #[test]
    fn position_zero_is_the_beginning_of_the_history() {
        let hub = Hub::new();
        let (reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
        assert_eq!(position(reader.last_id()), 0);
        let resume = reader.resume();
        publish(&hub, "a", "x");
        let (mut again, status) = Reader::open_with_status(hub.subscribe(["a"]).resume(resume));
        assert_eq!((status["status"].as_str(), again.data()), (Some("resumed"), vec!["x".into()]));
    }
}
