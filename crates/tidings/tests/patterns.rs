//! Wildcard subscriptions.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::{Reader, after, numbered, publish};
use tidings::{
    Event, History, Hub, Retention, Snapshot, Topic,
    clock::ManualClock,
    error::{FieldErrorKind, SubscribeErrorKind},
};

fn open(hub: &Hub, patterns: &[&str]) -> Reader {
    Reader::open_with_status(hub.subscribe_matching(patterns.iter().copied())).0
}

mod live {
    use super::*;

    #[test]
    fn an_event_comes_once_however_many_names_match_it() {
        let hub = Hub::new();
        let subscribe = hub.subscribe(["a:x", "b"]).matching(["a:*", "*:x", "a:x"]);
        let (mut reader, _) = Reader::open_with_status(subscribe);
        for n in 0..10 {
            publish(&hub, ["a:x", "b", "a:y", "c"][n % 4], &n.to_string());
            hub.publish_ephemeral("a:x", Event::new(format!("e{n}"))).unwrap();
            if n % 3 == 2 {
                let expected = (n - 2..=n).flat_map(|n| {
                    (n % 4 != 3).then(|| n.to_string()).into_iter().chain([format!("e{n}")])
                });
                assert_eq!(reader.data(), expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn an_ephemeral_event_reaches_the_patterns_that_match_its_topic() {
        let hub = Hub::new();
        let mut reader = open(&hub, &["chat:*"]);
        assert_eq!(hub.publish_ephemeral("chat:1", Event::new("typing")).unwrap(), 1);
        assert_eq!(hub.publish_ephemeral("news", Event::new("x")).unwrap(), 0);
        assert_eq!(reader.data(), ["typing"]);
        assert_eq!(hub.clients().topics(), []);
    }

    #[test]
    fn a_burst_of_topics_that_retain_nothing_fits_into_the_live_window() {
        let hub = Hub::builder().retention(Retention::none()).build();
        let mut reader = open(&hub, &["a:*"]);
        for n in 0..256 {
            publish(&hub, &format!("a:{n}"), &format!("n{n}"));
        }
        assert_eq!(reader.data(), numbered("n", 0..256));
        for n in 0..257 {
            publish(&hub, &format!("a:{n}"), &format!("n{n}"));
        }
        assert_eq!(reader.next_status()["reason"], "trimmed");
    }
}

mod budget {
    use super::*;

    #[test]
    fn the_budget_is_kept_when_topics_and_patterns_have_the_same_events() {
        let hub = Hub::builder().max_retained_bytes(20_000).build();
        let mut reader = Reader::open_with_status(hub.subscribe(["a:1"]).matching(["a:*", "*"])).0;
        for n in 0..1_000 {
            publish(&hub, &format!("a:{}", n % 3), &format!("n{n}"));
        }
        assert_eq!(reader.next_status()["status"], "reset");
        let rest = reader.data();
        assert!((10..120).contains(&rest.len()), "{} of 20,000 bytes", rest.len());
        assert_eq!(rest, numbered("n", 1_000 - rest.len()..1_000));
    }
}

mod past {
    use super::*;

    #[test]
    fn a_vanished_topic_of_the_pattern_is_a_reset_and_other_topics_are_not() {
        let clock = ManualClock::new();
        let short = Retention::default().age(Duration::from_secs(5));
        let hub = Hub::builder().clock(clock.clock()).retain("short:*", short).unwrap().build();
        let first = publish(&hub, "long:1", "0");
        publish(&hub, "short:1", "1");
        publish(&hub, "long:1", "2");
        clock.advance(Duration::from_secs(60));
        assert_eq!(hub.clients().topics().len(), 1, "the other one has vanished");
        let status = |pattern: &str| {
            let subscribe = hub.subscribe_matching([pattern]).resume(after(first.as_str()));
            Reader::open_with_status(subscribe).1
        };
        assert_eq!(status("long:*")["status"], "resumed");
        assert_eq!(status("short:*")["reason"], "expired");
        assert_eq!(status("*")["reason"], "expired");
    }

    #[test]
    fn history_is_that_of_the_topics_each_by_its_own_retention() {
        let hub = Hub::builder().retain("price:*", Retention::default().events(1)).unwrap().build();
        for n in 0..30 {
            publish(&hub, &format!("price:{}", n % 3), &n.to_string());
        }
        let history = |history| {
            let subscribe = hub.subscribe_matching(["price:*"]).history(history);
            let (mut reader, status) = Reader::open_with_status(subscribe);
            assert_eq!(status["status"], "fresh");
            // While the history is being read.
            publish(&hub, "price:9", "live");
            reader.data()
        };
        assert_eq!(history(History::None), ["live"]);
        assert_eq!(history(History::All), ["27", "28", "29", "live", "live"]);
        assert_eq!(history(History::Last(2)), ["29", "live", "live"]);
        let all = history(History::Within(Duration::from_secs(60)));
        assert_eq!(all, ["27", "28", "29", "live", "live"]);
    }

    #[test]
    fn a_replay_whose_events_are_evicted_is_a_reset() {
        let hub = Hub::builder().retention(Retention::default().events(300).bytes(1 << 30)).build();
        let large = "x".repeat(10_000);
        let first = publish(&hub, "a:1", "first");
        (0..200).for_each(|_| drop(publish(&hub, "a:1", &large)));
        let subscribe = hub.subscribe_matching(["a:*"]).resume(after(first.as_str()));
        let (mut reader, status) = Reader::open_with_status(subscribe);
        assert_eq!(status["status"], "resumed");
        assert!(reader.chunk().is_some());
        let begun = reader.messages_so_far().len();
        assert!(0 < begun && begun < 100);
        (0..300).for_each(|n| drop(publish(&hub, "a:1", &format!("n{n}"))));
        assert_eq!(reader.next_status()["status"], "reset");
        assert_eq!(reader.data(), numbered("n", 0..300));
    }

    #[test]
    fn a_snapshot_replaces_the_past_of_a_pattern_too() {
        let hub = Hub::new();
        publish(&hub, "a:1", "old");
        let subscribe = hub
            .subscribe_matching(["a:*"])
            .snapshot(|| async { Ok(Snapshot::new([Event::new("state")])) });
        let mut reader = Reader::open(subscribe);
        assert_eq!(reader.messages().last().unwrap().data(), "state");
        publish(&hub, "a:2", "new");
        assert_eq!(reader.data(), ["new"]);
    }

    #[test]
    fn a_hub_that_closes_sends_the_past_first() {
        let hub = Hub::new();
        (0..500).for_each(|n| drop(publish(&hub, &format!("a:{n}"), &format!("n{n}"))));
        let subscribe = hub.subscribe_matching(["a:*"]).history(History::All);
        let (mut reader, _) = Reader::open_with_status(subscribe);
        hub.close();
        assert_eq!(reader.data(), numbered("n", 0..500));
        assert!(reader.ended);
    }
}

mod registry {
    use super::*;

    #[test]
    fn the_count_of_a_topic_includes_its_pattern_subscribers() {
        let hub = Hub::new();
        let topic = Topic::new("a:1").unwrap();
        let named = Reader::open(hub.subscribe(["a:1"]));
        let pattern = open(&hub, &["a:*", "b:*"]);
        assert_eq!(hub.clients().count_of_topic(&topic), 2);
        assert_eq!(hub.publish("a:1", Event::new("x")).wait().unwrap().subscribers(), 2);
        assert_eq!(hub.publish("a:2", Event::new("x")).wait().unwrap().subscribers(), 1);
        let patterns: Vec<_> =
            hub.clients().patterns().into_iter().map(|(name, n)| (name.to_string(), n)).collect();
        assert_eq!(patterns, [("a:*".to_owned(), 1), ("b:*".to_owned(), 1)]);
        let info = hub.clients().get(pattern.subscription().client_id()).unwrap();
        assert_eq!((info.topics.len(), info.patterns.len()), (0, 2));
        drop((named, pattern));
        assert_eq!(hub.clients().count_of_topic(&topic), 0);
        assert_eq!(hub.clients().patterns(), []);
    }

    #[test]
    fn ten_thousand_patterns_that_come_and_go_leave_nothing() {
        let hub = Hub::builder().retention(Retention::none()).build();
        let mut readers: Vec<_> =
            (0..10_000).map(|n| open(&hub, &[&format!("user:{n}:*")])).collect();
        publish(&hub, "user:77:orders", "x");
        for (n, reader) in readers.iter_mut().enumerate() {
            assert_eq!(reader.data().len(), usize::from(n == 77));
        }
        drop(readers);
        assert_eq!(hub.clients().patterns(), []);
        assert_eq!(hub.clients().topics(), []);
    }

    #[test]
    fn a_bad_pattern_or_none_at_all_is_refused() {
        let hub = Hub::new();
        let error = hub.subscribe_matching(["two words*"]).open().unwrap_err();
        assert_eq!(error.kind(), SubscribeErrorKind::Topic);
        assert_eq!(error.to_string(), "topic pattern contains ' ' at byte 3");
        let error = hub.subscribe_matching([] as [&str; 0]).open().unwrap_err();
        assert_eq!(error.kind(), SubscribeErrorKind::NoTopics);
        // A pattern is not a topic: a name that a client sends never becomes a wildcard.
        let error = hub.subscribe(["user:*"]).matching(["a:*"]).open().unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        let field: &tidings::error::FieldError = source.downcast_ref().unwrap();
        assert_eq!(field.kind(), FieldErrorKind::ForbiddenCharacter);
    }
}
