//! Topics that keep the newest event of each key.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use reader::{Reader, after, position};
use tidings::clock::ManualClock;
use tidings::error::{PublishErrorKind, SubscribeErrorKind};
use tidings::{Event, EventId, History, Hub, HubBuilder, Message, Resume, Retention, STATUS_EVENT};

const REMOVALS: Duration = Duration::from_secs(600);

fn builder(clock: &ManualClock) -> HubBuilder {
    let values = Retention::latest_per_key();
    Hub::builder().clock(clock.clock()).heartbeat(None).retain("values*", values).unwrap()
}

/// The data names the key, and says which value of it this is: `EUR 3`.
fn set(hub: &Hub, topic: &str, key: &str, value: usize) -> EventId {
    let event = Event::keyed(key, format!("{key} {value}")).unwrap();
    hub.publish(topic, event).wait().unwrap().id()
}

fn remove(hub: &Hub, topic: &str, key: &str) -> EventId {
    let event = Event::remove_key(key, format!("{key} gone")).unwrap();
    hub.publish(topic, event).wait().unwrap().id()
}

/// What a client knows that has received these events.
fn learn(known: &mut BTreeMap<String, String>, messages: &[Message]) {
    for message in messages {
        if message.event() == STATUS_EVENT {
            if message.data().contains("reset") {
                known.clear();
            }
            continue;
        }
        let (key, value) = message.data().split_once(' ').unwrap();
        match value {
            "gone" => known.remove(key),
            value => known.insert(key.to_owned(), value.to_owned()),
        };
    }
}

#[test]
fn a_fresh_client_gets_the_newest_value_of_each_key_in_order_and_then_all() {
    let hub = builder(&ManualClock::new()).build();
    for (key, value) in [("a", 0), ("b", 0), ("a", 1), ("c", 0), ("a", 2), ("b", 1)] {
        set(&hub, "values", key, value);
    }
    for topics in ["values", "values*", "v*"] {
        let subscribe = || hub.subscribe_matching(topics);
        let (mut all, status) = Reader::open_with_status(subscribe().history(History::All));
        assert_eq!((&status["status"], status.get("complete")), (&"fresh".into(), None));
        assert_eq!(all.data(), ["c 0", "a 2", "b 1"]);
        let (mut last, _) = Reader::open_with_status(subscribe().history(History::Last(2)));
        assert_eq!(last.data(), ["a 2", "b 1"]);
        let (mut live, _) = Reader::open_with_status(subscribe());
        assert!(live.data().is_empty());
        set(&hub, "values", "a", 3);
        for reader in [&mut all, &mut last, &mut live] {
            assert_eq!(reader.data(), ["a 3"]);
        }
        set(&hub, "values", "a", 2);
        set(&hub, "values", "b", 1);
    }
}

#[test]
fn a_client_that_resumes_or_lags_gets_the_newest_values_after_its_position() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let mut ids = vec![hub.position()];
    let (mut lagging, _) = Reader::open_with_status(hub.subscribe("values"));
    let (mut pattern, _) = Reader::open_with_status(hub.subscribe_matching("val*"));
    // More than any live window has.
    for n in 0..2_000 {
        ids.push(set(&hub, "values", &format!("k{}", n * n % 7), n));
        clock.advance(Duration::from_secs(1));
    }
    for (n, id) in ids.iter().enumerate().rev().take(20).chain(ids.iter().enumerate().take(20)) {
        let mut newest = BTreeMap::new();
        newest.extend((n..2_000).map(|n| (n * n % 7, n)));
        let mut expected: Vec<_> = newest.iter().map(|(k, n)| (*n, format!("k{k} {n}"))).collect();
        expected.sort_unstable();
        let expected: Vec<_> = expected.into_iter().map(|(_, data)| data).collect();
        for topics in ["values", "v*s"] {
            let subscribe = after(id.as_str()).subscribe_matching(&hub, topics);
            let (mut reader, status) = Reader::open_with_status(subscribe);
            assert_eq!(status["status"], "resumed", "{n} {status}");
            assert_eq!(reader.data(), expected, "{topics} after {n}");
            // Its cursor is right: it comes back to nothing more.
            assert!(position(reader.last_id()) >= position(ids[2_000].as_str()) || n == 2_000);
        }
        if n == 0 {
            assert_eq!(lagging.data(), expected);
            assert_eq!(pattern.data(), expected);
        }
    }
}

#[test]
fn a_superseded_value_is_gone_at_once_and_memory_is_bounded_by_the_keys() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe("values"));
    for n in 0..10_000 {
        set(&hub, "values", &format!("key {}", n % 100), n);
    }
    let full = hub.metrics().retained_bytes;
    assert!(full < 100 * 600, "{full}");
    for n in 0..100_000 {
        set(&hub, "values", &format!("key {}", n % 100), n);
    }
    assert!(hub.metrics().retained_bytes <= full + 1_000, "{}", hub.metrics().retained_bytes);
    // Of all that, a reader that was not in time gets one value of each key.
    assert_eq!(reader.data().len(), 100);
}

#[test]
fn a_topic_that_ends_with_a_removal_has_that_as_its_last_event_for_as_long_as_it_is_finished() {
    const END: &str = r#"{"reason":"finished"}"#;

    for (events, before) in [(100, &["a 0"][..]), (1, &[][..])] {
        let clock = ManualClock::new();
        let values = Retention::latest_per_key().events(events);
        let hub = Hub::builder().clock(&clock).heartbeat(None).retention(values).build();
        let first = set(&hub, "values", "a", 0);
        let last = Event::remove_key("b", "b gone").unwrap();
        let last = hub.finish("values", last).wait().unwrap().id();
        clock.advance(REMOVALS + Duration::from_secs(2));
        let error = hub.publish("values", Event::new("late")).wait().unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::Finished);
        for (history, before) in [(History::All, before), (History::None, &[][..])] {
            let subscribe = hub.subscribe("values").history(history);
            let (mut fresh, status) = Reader::open_with_status(subscribe);
            assert_eq!(status["status"], "fresh");
            assert_eq!(fresh.data(), [before, &["b gone", END][..]].concat());
            assert_eq!(fresh.last_id(), last.as_str());
        }
        let (mut resumed, status) =
            Reader::open_with_status(after(first.as_str()).subscribe(&hub, "values"));
        assert_eq!(status["status"], "resumed");
        assert_eq!(resumed.data(), ["b gone", END]);
        let error = resumed.resume().subscribe(&hub, "values").open().unwrap_err();
        assert_eq!(error.kind(), SubscribeErrorKind::Finished);
    }
}

#[test]
fn a_removal_reaches_those_who_lag_and_is_then_forgotten() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    set(&hub, "values", "old", 0);
    let before = set(&hub, "values", "a", 0);
    let (mut lagging, _) = Reader::open_with_status(hub.subscribe("values"));
    remove(&hub, "values", "a");
    let kept = hub.metrics().retained_bytes;
    clock.advance(REMOVALS - Duration::from_secs(2));
    set(&hub, "values", "b", 0);
    assert_eq!(lagging.data(), ["a gone", "b 0"]);
    for topics in ["values", "va*"] {
        let subscribe = after(before.as_str()).subscribe_matching(&hub, topics);
        let (mut resumed, status) = Reader::open_with_status(subscribe);
        assert_eq!(
            (status["status"].as_str(), resumed.data()),
            (Some("resumed"), vec!["a gone".to_owned(), "b 0".to_owned()])
        );
    }
    let (mut stalled, _) =
        Reader::open_with_status(after(before.as_str()).subscribe(&hub, "values"));
    clock.advance(Duration::from_secs(3));
    assert!(hub.metrics().retained_bytes < kept + 300);
    // The one that is connected and has not read the removal, and the one that comes back, are reset.
    let status = stalled.next_status();
    assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &"expired".into()));
    assert_eq!(stalled.data(), ["old 0", "b 0"]);
    let (mut late, status) =
        Reader::open_with_status(after(before.as_str()).subscribe(&hub, "values"));
    assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &"expired".into()));
    assert_eq!(late.data(), ["old 0", "b 0"]);
    // Who knows nothing has missed nothing, although values are older than the removal that is gone.
    for topics in ["values", "va*"] {
        let fresh = hub.subscribe_matching(topics).history(History::All);
        let (mut fresh, status) = Reader::open_with_status(fresh);
        assert_eq!((&status["status"], status.get("complete")), (&"fresh".into(), None));
        // A stream that is reset again and again would have no end.
        (0..10).for_each(|_| drop(fresh.chunk()));
        let messages = fresh.messages_so_far();
        assert!(messages.iter().map(Message::data).eq(["old 0", "b 0"]), "{messages:?}");
    }
    let (mut in_time, status) =
        Reader::open_with_status(lagging.resume().subscribe(&hub, "values"));
    assert_eq!((status["status"].as_str(), in_time.data().len()), (Some("resumed"), 0));
}

#[test]
fn a_key_that_comes_back_after_its_removal_has_its_new_value() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let before = set(&hub, "values", "a", 0);
    for n in 1..1_000 {
        remove(&hub, "values", "a");
        set(&hub, "values", "a", n);
    }
    clock.advance(2 * REMOVALS);
    let (mut resumed, status) =
        Reader::open_with_status(after(before.as_str()).subscribe(&hub, "values"));
    assert_eq!(
        (status["status"].as_str(), resumed.data()),
        (Some("resumed"), vec!["a 999".to_owned()])
    );
}

#[test]
fn limits_remove_removals_first_and_then_the_oldest_values() {
    let clock = ManualClock::new();
    let retention = Retention::latest_per_key().events(3).age(Duration::from_secs(60));
    let hub = builder(&clock).retain("few", retention).unwrap().build();
    let [first, ..] = ["a", "b", "c"].map(|key| set(&hub, "few", key, 0));
    let removed = remove(&hub, "few", "b");
    let read = |id: &EventId| {
        let (mut reader, status) =
            Reader::open_with_status(after(id.as_str()).subscribe(&hub, "few"));
        (status["reason"].as_str().map(str::to_owned), reader.data().join(", "))
    };
    assert_eq!(read(&first), (None, "c 0, b gone".to_owned()));
    set(&hub, "few", "d", 0);
    // Nobody reads, so nothing is kept for those who are connected.
    assert_eq!(read(&first), (Some("trimmed".to_owned()), "a 0, c 0, d 0".to_owned()));
    assert_eq!(read(&removed), (None, "d 0".to_owned()));
    let position = set(&hub, "few", "e", 0);
    assert_eq!(read(&removed), (None, "d 0, e 0".to_owned()));
    assert_eq!(read(&first), (Some("trimmed".to_owned()), "c 0, d 0, e 0".to_owned()));
    clock.advance(Duration::from_secs(61));
    assert_eq!(read(&removed), (Some("expired".to_owned()), String::new()));
    assert_eq!(read(&position), (None, String::new()));
}

#[test]
fn events_without_a_key_are_superseded_by_nothing() {
    let hub = builder(&ManualClock::new()).build();
    let id = hub.publish("values", Event::new("plain 1")).wait().unwrap().id();
    set(&hub, "values", "a", 0);
    hub.publish("values", Event::new("plain 2")).wait().unwrap();
    set(&hub, "values", "a", 1);
    let (mut fresh, _) = Reader::open_with_status(hub.subscribe("values").history(History::All));
    assert_eq!(fresh.data(), ["plain 1", "plain 2", "a 1"]);
    let (mut resumed, _) = Reader::open_with_status(after(id.as_str()).subscribe(&hub, "values"));
    assert_eq!(resumed.data(), ["plain 2", "a 1"]);
}

#[test]
fn keys_mean_nothing_elsewhere_and_are_those_of_their_topic() {
    let hub = builder(&ManualClock::new()).build();
    for n in 0..3 {
        set(&hub, "plain", "a", n);
        set(&hub, "values:1", "a", n);
        set(&hub, "values:2", "a", n);
    }
    let (mut reader, _) = Reader::open_with_status(
        hub.subscribe(["plain", "values:1", "values:2"]).history(History::All),
    );
    assert_eq!(reader.data(), ["a 0", "a 1", "a 2", "a 2", "a 2"]);
    let (mut pattern, _) = Reader::open_with_status(hub.subscribe_matching("*"));
    for n in 0..3 {
        set(&hub, "values:1", "a", n);
        set(&hub, "values:2", "a", n);
    }
    assert_eq!(pattern.data().len(), 6, "a pattern has all events of those who are in time");
}

#[test]
fn values_make_room_for_others_last() {
    let clock = ManualClock::new();
    let hub = builder(&clock).max_retained_bytes(100_000).build();
    set(&hub, "values", "old", 0);
    for n in 0..1_000 {
        hub.publish("plain", Event::new("x".repeat(500))).wait().unwrap();
        set(&hub, "values", "new", n);
    }
    assert!(hub.metrics().retained_bytes <= 100_000);
    let history = hub.history("values", History::All).wait().unwrap();
    assert_eq!(history.events.len(), 2);
    // But they do make room.
    for n in 0..1_000 {
        let event = Event::keyed(format!("{n}"), "x".repeat(500)).unwrap();
        hub.publish("values", event).wait().unwrap();
        hub.publish("plain", Event::new("x")).wait().unwrap();
        assert!(hub.metrics().retained_bytes <= 100_000);
    }
    let history = hub.history("values", History::All).wait().unwrap();
    assert_eq!(history.events.last().unwrap().data().len(), 500);
}

#[test]
fn a_slow_reader_is_handed_no_value_that_was_superseded_before() {
    const KEYS: usize = 1_000;
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe("values").history(History::All));
    let (mut newest, mut known) = (vec![0; KEYS], vec![0; KEYS]);
    let mut received = 0;
    for round in 0..20 {
        for n in 0..5_000 {
            let key = (n * 7_919 + round) % KEYS;
            newest[key] += 1;
            let data = format!("{key} {} {}", newest[key], "x".repeat(150));
            hub.publish("values", Event::keyed(key.to_string(), data).unwrap()).wait().unwrap();
        }
        clock.advance(Duration::from_secs(1));
        // The socket takes one chunk, and all that is left in the end.
        let chunks = if round < 19 { 1 } else { usize::MAX };
        for chunk in std::iter::from_fn(|| reader.chunk()).take(chunks) {
            assert!(chunk.len() <= 8 * 1024, "much of it would be superseded before it is read");
        }
        for message in reader.messages_so_far() {
            let mut words = message.data().split(' ').map(|word| word.parse::<usize>());
            let (key, value) = (words.next().unwrap().unwrap(), words.next().unwrap().unwrap());
            assert_eq!(value, newest[key], "key {key} in round {round}");
            known[key] = value;
            received += 1;
        }
    }
    assert!(received < 19 * 50 + KEYS, "{received} of 100,000");
    assert_eq!(known, newest);
}

#[test]
fn a_newcomer_is_not_sent_a_value_whose_removal_is_forgotten() {
    // More than the live window has, and more than a chunk.
    const KEYS: usize = 300;
    let clock = ManualClock::new();
    let few = Retention::latest_per_key().events(KEYS);
    let hub = builder(&clock).retain("few", few).unwrap().build();
    let set_long = |key: usize| {
        let data = format!("k{key} {}", "x".repeat(300));
        hub.publish("few", Event::keyed(format!("k{key}"), data).unwrap()).wait().unwrap();
    };
    (0..KEYS).for_each(set_long);
    let fresh = || Reader::open_with_status(hub.subscribe("few").history(History::All)).0;
    let mut one = fresh();
    let first = one.chunk().unwrap().len();
    assert!(first > 4 * 1024, "it has k9");
    remove(&hub, "few", "k9");
    set_long(KEYS);
    // The same moment by the clock, and the same range: the chunk is there.
    let mut other = fresh();
    let mut known = BTreeMap::new();
    learn(&mut known, &other.messages());
    assert_eq!(known.len(), KEYS);
    assert!(!known.contains_key("k9"));
    // The first one is reset, since it was sent the value.
    let mut known = BTreeMap::new();
    learn(&mut known, &one.messages());
    assert_eq!((known.len(), known.contains_key("k9")), (KEYS, false));
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8),
    Remove(u8),
    Plain(usize),
    Advance(u64),
    Read { client: usize, chunks: Option<usize> },
    Cut { client: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12_u8).prop_map(Step::Set),
        2 => (0..12_u8).prop_map(Step::Remove),
        1 => (1..400_usize).prop_map(Step::Plain),
        1 => (0..20_000_u64).prop_map(Step::Advance),
        6 => (0..6_usize, proptest::option::of(0..3_usize))
            .prop_map(|(client, chunks)| Step::Read { client, chunks }),
        2 => (0..6_usize).prop_map(|client| Step::Cut { client }),
    ]
}

/// A client, and what it knows.
struct Client {
    topics: &'static [&'static str],
    reader: Reader,
    known: BTreeMap<String, String>,
    /// The last id of all its connections.
    last_id: String,
    resets: usize,
}

impl Client {
    fn read(&mut self, chunks: Option<usize>) {
        for _ in 0..chunks.unwrap_or(usize::MAX) {
            if self.reader.chunk().is_none() {
                break;
            }
        }
        let messages = self.reader.messages_so_far();
        let resets = messages.iter().filter(|it| it.data().contains("reset")).count();
        let positions = messages.iter().filter_map(Message::id).map(position);
        assert!(resets > 0 || positions.is_sorted(), "{messages:?}");
        self.resets += resets;
        if !self.reader.last_id().is_empty() {
            self.last_id = self.reader.last_id().to_owned();
        }
        let of_keys = |it: &&Message| it.data() != "plain";
        let messages: Vec<_> = messages.iter().filter(of_keys).cloned().collect();
        learn(&mut self.known, &messages);
    }
}

proptest! {
    /// Whatever a client reads, and wherever it is cut and comes back: when it has read everything, it knows the value of
    /// each key, and no other. It is reset only if a removal is forgotten that it has not been sent.
    #[test]
    fn all_clients_come_to_know_the_same(
        steps in vec(step(), 1..400),
        removals in prop_oneof![Just(REMOVALS * 1_000), Just(Duration::from_secs(5))],
    ) {
        const SETS: [&[&str]; 6] =
            [&["values"], &["values"], &["values", "plain"], &["values*"], &["v*", "plain"], &["*"]];
        let clock = ManualClock::new();
        let hub = Hub::builder()
            .clock(clock.clock())
            .heartbeat(None)
            .retain("values", Retention::latest_per_key().removals(removals)).unwrap()
            // A client of the plain topic must not be reset because of it.
            .retain("plain", Retention::default().events(1_000_000).bytes(1 << 30).age(REMOVALS * 1_000)).unwrap()
            .build();
        let mut values = BTreeMap::new();
        let mut clients: Vec<_> = SETS.into_iter().map(|topics| Client {
            topics,
            reader: Reader::open(hub.subscribe_matching(topics).history(History::All)),
            known: BTreeMap::new(),
            last_id: String::new(),
            resets: 0,
        }).collect();
        let mut n = 0;
        for step in steps {
            n += 1;
            match step {
                Step::Set(key) => {
                    set(&hub, "values", &format!("k{key}"), n);
                    values.insert(format!("k{key}"), n.to_string());
                }
                Step::Remove(key) => {
                    remove(&hub, "values", &format!("k{key}"));
                    values.remove(&format!("k{key}"));
                }
                Step::Plain(times) => for _ in 0..times {
                    hub.publish("plain", Event::new("plain")).wait().unwrap();
                },
                Step::Advance(millis) => clock.advance(Duration::from_millis(millis)),
                Step::Read { client, chunks } => clients[client].read(chunks),
                Step::Cut { client } => {
                    let client = &mut clients[client];
                    client.read(Some(0));
                    let resume = match &*client.last_id {
                        "" => Resume::new(),
                        id => after(id),
                    };
                    let subscribe = resume.subscribe_matching(&hub, client.topics);
                    client.reader = Reader::open(subscribe.history(History::All));
                }
            }
        }
        for client in &mut clients {
            client.read(None);
            prop_assert_eq!(&client.known, &values, "{:?}", client.topics);
            prop_assert!(client.resets == 0 || removals < REMOVALS, "{:?}", client.topics);
        }
    }
}
