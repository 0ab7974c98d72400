//! Streams with a filter on topics that keep the newest event of each key.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_core::Stream;
use proptest::collection::vec;
use proptest::prelude::*;
use reader::{Reader, after, position};
use tidings::clock::ManualClock;
use tidings::{
    Event, EventId, Filter, History, Hub, HubBuilder, Message, Resume, Retention, STATUS_EVENT,
    Subscribe,
};

fn builder(clock: &ManualClock) -> HubBuilder {
    let values = Retention::latest_per_key();
    Hub::builder().clock(clock.clock()).heartbeat(None).retain("values*", values).unwrap()
}

fn role(role: &str) -> Filter {
    Filter::equal("role", role).unwrap()
}

/// An event for a role, whose data names the key and the number of the event.
fn set(hub: &Hub, key: &str, role: &str, number: usize) -> EventId {
    let event = Event::keyed(key, format!("{key} {number}")).unwrap();
    hub.publish("values", event.with_attribute("role", role).unwrap()).wait().unwrap().id()
}

/// The same for one that takes the key away.
fn remove(hub: &Hub, key: &str, role: &str, number: usize) -> EventId {
    let event = Event::remove_key(key, format!("{key} {number} gone")).unwrap();
    hub.publish("values", event.with_attribute("role", role).unwrap()).wait().unwrap().id()
}

#[test]
fn a_value_is_hidden_with_its_key_if_the_newest_one_is() {
    let hub = builder(&ManualClock::new()).build();
    let start = hub.position();
    set(&hub, "a", "admin", 0);
    set(&hub, "b", "admin", 1);
    let seen = set(&hub, "c", "guest", 2);
    set(&hub, "a", "guest", 3);
    remove(&hub, "c", "admin", 4);
    for topics in ["values", "val*"] {
        for (filter, expected) in [
            (role("admin"), &["b 1", "c 4 gone"][..]),
            (role("guest"), &["a 3"]),
            (!role("guest"), &["b 1", "c 4 gone"]),
            (role("nobody"), &[]),
        ] {
            let fresh = hub.subscribe_matching(topics).filter(filter.clone());
            let (mut reader, status) = Reader::open_with_status(fresh.history(History::All));
            assert_eq!((&status["status"], status.get("complete")), (&"fresh".into(), None));
            assert_eq!(reader.data(), expected, "{topics} {filter:?}");
            let last = hub.subscribe_matching(topics).filter(filter.clone());
            let (mut reader, _) = Reader::open_with_status(last.history(History::Last(1)));
            assert_eq!(reader.data(), expected[expected.len().saturating_sub(1)..]);
            let history = hub.history_matching(topics, History::All).filter(filter.clone());
            let history = history.wait().unwrap();
            let data: Vec<_> = history.events.iter().map(Message::data).collect();
            assert_eq!(data, expected);
            let resumed = |id: &EventId| after(id.as_str()).subscribe_matching(&hub, topics);
            for (id, before) in [(&start, 0), (&seen, usize::from(expected.len() == 2))] {
                let subscribe = resumed(id).filter(filter.clone());
                let (mut reader, status) = Reader::open_with_status(subscribe);
                assert_eq!(status["status"], "resumed");
                assert_eq!(reader.data(), expected[before..], "{topics} {filter:?} after {id:?}");
            }
            // The cursor has gone past what was hidden.
            let subscribe = resumed(&history.position).filter(filter);
            let (mut reader, status) = Reader::open_with_status(subscribe);
            assert_eq!((&status["status"], reader.data().len()), (&"resumed".into(), 0));
        }
    }
}

#[test]
fn a_stream_that_lags_is_not_sent_what_a_hidden_event_has_superseded() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    // As few as a live window has, and more.
    for count in [20, 2_000] {
        let admins = || hub.subscribe("values").filter(role("admin"));
        let (mut reader, _) = Reader::open_with_status(admins());
        let (mut in_time, _) = Reader::open_with_status(admins());
        for n in 0..count {
            set(&hub, &format!("k{}", n % 10), if n % 3 == 0 { "admin" } else { "guest" }, n);
            assert_eq!(in_time.data().len(), usize::from(n % 3 == 0));
        }
        let newest = (count - 10..count).filter(|n| n % 3 == 0);
        let expected: Vec<_> = newest.map(|n| format!("k{} {n}", n % 10)).collect();
        assert_eq!(reader.data(), expected);
        assert_eq!(reader.last_id(), in_time.last_id());
        clock.advance(Duration::from_secs(60));
    }
}

#[test]
fn a_stream_that_finds_nothing_of_what_woke_it_is_woken_for_the_next_event() {
    let hub = builder(&ManualClock::new()).build();
    for more in [&[][..], &["values/other"], &["1", "2", "3", "4", "5", "6", "7", "8", "9"]] {
        let topics: Vec<_> = ["values"].iter().chain(more).copied().collect();
        let (mut reader, _) =
            Reader::open_with_status(hub.subscribe(&*topics).filter(role("admin")));
        assert_eq!(reader.data().len(), 0);
        for round in 0..3 {
            let before = reader.wakes.count();
            set(&hub, "a", "admin", round);
            set(&hub, "a", "guest", round);
            assert!(reader.wakes.count() > before);
            assert_eq!(reader.data().len(), 0, "it is hidden");
            let before = reader.wakes.count();
            set(&hub, "b", "admin", round);
            assert!(reader.wakes.count() > before, "{topics:?} {round}");
            assert_eq!(reader.data(), [format!("b {round}")]);
        }
    }
}

#[test]
fn a_stream_that_was_just_sent_an_event_of_another_topic_is_woken_for_the_next_event_too() {
    let hub = builder(&ManualClock::new()).build();
    let subscribe = hub.subscribe(["values", "other"]).filter(role("admin"));
    let (mut reader, _) = Reader::open_with_status(subscribe);
    assert_eq!(reader.data().len(), 0);
    let other = Event::new("other").with_attribute("role", "admin").unwrap();
    hub.publish("other", other).wait().unwrap();
    let waker = Waker::from(reader.wakes.clone());
    let stream = Pin::new(reader.subscription_mut());
    assert!(stream.poll_next(&mut Context::from_waker(&waker)).is_ready());
    set(&hub, "a", "admin", 0);
    set(&hub, "a", "guest", 1);
    assert_eq!(reader.data().len(), 0, "it is hidden");
    let before = reader.wakes.count();
    set(&hub, "b", "admin", 2);
    assert!(reader.wakes.count() > before);
    assert_eq!(reader.data(), ["b 2"]);
}

#[test]
fn a_removal_is_sent_to_those_whom_it_matches_and_forgotten_for_all() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let admins = || hub.subscribe("values").filter(role("admin"));
    set(&hub, "a", "admin", 0);
    set(&hub, "b", "admin", 1);
    let (mut reader, _) = Reader::open_with_status(admins().history(History::All));
    assert_eq!(reader.data(), ["a 0", "b 1"]);
    remove(&hub, "a", "admin", 2);
    // To those who see the value, it is still there.
    remove(&hub, "b", "guest", 3);
    assert_eq!(reader.data(), ["a 2 gone"]);
    let resume = reader.resume();
    let (mut fresh, _) = Reader::open_with_status(admins().history(History::All));
    assert_eq!(fresh.data(), ["a 2 gone"]);
    clock.advance(Duration::from_secs(610));
    set(&hub, "c", "admin", 4);
    assert_eq!((reader.data(), fresh.data()), (vec!["c 4".to_owned()], vec!["c 4".to_owned()]));
    let (mut fresher, _) = Reader::open_with_status(admins().history(History::All));
    assert_eq!(fresher.data(), ["c 4"]);
    // This one may come back as long as there is a stream with its filter, and is reset then: nobody knows whether the
    // removal was hidden.
    let resume = || resume.subscribe(&hub, "values").filter(role("admin"));
    assert_eq!(Reader::open_with_status(resume()).1["status"], "resumed");
    drop((reader, fresh, fresher));
    let (mut reset, status) = Reader::open_with_status(resume());
    assert_eq!((&status["status"], reset.data()), (&"reset".into(), vec!["c 4".to_owned()]));
}

#[test]
fn a_topic_that_is_added_to_a_stream_has_its_filter_in_its_history_too() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    for n in 0..10 {
        set(&hub, &format!("k{}", n % 4), if n % 3 == 0 { "admin" } else { "guest" }, n);
        for topic in ["plain", "plain/x"] {
            let event = Event::new(format!("{topic} {n}"));
            let role = if n % 2 == 0 { "admin" } else { "guest" };
            hub.publish(topic, event.with_attribute("role", role).unwrap()).wait().unwrap();
        }
    }
    let open = || Reader::open_with_status(hub.subscribe("other").filter(role("admin"))).0;
    for (topics, history, expected) in [
        ("values", History::All, &["k2 6", "k1 9"][..]),
        ("values", History::Last(1), &["k1 9"]),
        ("val*", History::All, &["k2 6", "k1 9"]),
        ("plain", History::All, &["plain 0", "plain 2", "plain 4", "plain 6", "plain 8"]),
        ("plain/*", History::Last(2), &["plain/x 6", "plain/x 8"]),
        ("plain", History::None, &[]),
    ] {
        let mut reader = open();
        let client = hub.client(reader.subscription().client_id());
        assert!(client.history(history).subscribe_matching(topics).unwrap());
        assert_eq!(reader.data(), expected, "{topics} {history:?}");
        let event = |role| Event::keyed("live", role).unwrap().with_attribute("role", role);
        let topic = topics.replace("val*", "values").replace('*', "x");
        for role in ["guest", "admin"] {
            hub.publish(topic.as_str(), event(role).unwrap()).wait().unwrap();
        }
        assert_eq!(reader.data(), ["admin"], "{topics}");
        let event = Event::remove_key("live", "gone").unwrap();
        hub.publish(topic, event).wait().unwrap();
    }
}

#[test]
fn what_is_hidden_opens_no_gate_and_the_newest_values_that_match_leave_at_the_end_of_an_interval() {
    const INTERVAL: Duration = Duration::from_millis(16);
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let subscribe = hub.subscribe("values").filter(role("admin")).at_most_every(INTERVAL);
    let (mut reader, _) = Reader::open_with_status(subscribe);
    assert!(reader.data().is_empty());
    for _ in 0..3 {
        let wakes = reader.wakes.count();
        set(&hub, "a", "guest", 0);
        assert_eq!((reader.wakes.count(), reader.data().len()), (wakes, 0));
        set(&hub, "a", "admin", 1);
        assert_eq!((reader.wakes.count(), reader.data()), (wakes + 1, vec!["a 1".to_owned()]));
        for (key, role) in [("a", "admin"), ("b", "admin"), ("c", "admin"), ("b", "admin")] {
            set(&hub, key, role, 2);
        }
        set(&hub, "c", "guest", 3);
        assert!(reader.data().is_empty());
        clock.advance(INTERVAL);
        assert_eq!(reader.wakes.count(), wakes + 2);
        assert_eq!(reader.data(), ["a 2", "b 2"]);
        clock.advance(Duration::from_millis(100));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, bool),
    Remove(u8, bool),
    Advance(u64),
    Read { client: usize, chunks: Option<usize> },
    Cut { client: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12_u8, any::<bool>()).prop_map(|(key, role)| Step::Set(key, role)),
        2 => (0..12_u8, any::<bool>()).prop_map(|(key, role)| Step::Remove(key, role)),
        1 => (0..20_000_u64).prop_map(Step::Advance),
        6 => (0..4_usize, proptest::option::of(0..3_usize))
            .prop_map(|(client, chunks)| Step::Read { client, chunks }),
        2 => (0..4_usize).prop_map(|client| Step::Cut { client }),
    ]
}

/// The newest event of each key: its number, and whether it is for admins.
type Newest = BTreeMap<String, (usize, bool)>;

struct Client {
    topics: &'static str,
    reader: Reader,
    known: BTreeMap<String, usize>,
    last_id: String,
}

impl Client {
    fn subscribe(topics: &str, hub: &Hub, resume: &Resume) -> Subscribe {
        let subscribe = resume.subscribe_matching(hub, topics).filter(role("admin"));
        subscribe.history(History::All)
    }

    fn read(&mut self, chunks: Option<usize>, newest: &Newest) {
        let mut left = chunks.unwrap_or(usize::MAX);
        while left > 0 && self.reader.chunk().is_some() {
            left -= 1;
        }
        let messages = self.reader.messages_so_far();
        let positions = messages.iter().filter_map(Message::id).map(position);
        assert!(positions.is_sorted(), "{messages:?}");
        for message in messages {
            if message.event() == STATUS_EVENT {
                assert!(!message.data().contains("reset"), "{message:?}");
                continue;
            }
            let mut words = message.data().split(' ');
            let (key, number) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
            // The log of a pattern has what is new to it as it was published.
            if self.topics == "values" {
                assert_eq!(newest[key], (number, true), "{message:?}");
            }
            self.known.insert(key.to_owned(), number);
        }
        if !self.reader.last_id().is_empty() {
            self.last_id = self.reader.last_id().to_owned();
        }
    }
}

proptest! {
    /// Whatever a client reads, and wherever it is cut and comes back: of a topic it is sent nothing but newest events that
    /// match, and all of these.
    #[test]
    fn all_clients_come_to_know_the_newest_values_that_match(steps in vec(step(), 1..300)) {
        let clock = ManualClock::new();
        let values = Retention::latest_per_key().removals(Duration::MAX);
        let hub = Hub::builder().clock(clock.clock()).heartbeat(None);
        let hub = hub.retain("values", values).unwrap().build();
        let mut newest = Newest::new();
        let mut clients: Vec<_> = ["values", "values", "values*", "v*"].into_iter().map(|topics| Client {
            topics,
            reader: Reader::open(Client::subscribe(topics, &hub, &Resume::new())),
            known: BTreeMap::new(),
            last_id: String::new(),
        }).collect();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Set(key, is_admin) | Step::Remove(key, is_admin) => {
                    let key = format!("k{key}");
                    let role = if is_admin { "admin" } else { "guest" };
                    match step {
                        Step::Set(..) => set(&hub, &key, role, number),
                        _ => remove(&hub, &key, role, number),
                    };
                    newest.insert(key, (number, is_admin));
                }
                Step::Advance(millis) => clock.advance(Duration::from_millis(millis)),
                Step::Read { client, chunks } => {
                    // No chunk of a moment ago.
                    clock.advance(Duration::from_millis(60));
                    clients[client].read(chunks, &newest);
                }
                Step::Cut { client } => {
                    let client = &mut clients[client];
                    let resume = match &*client.last_id {
                        "" => Resume::new(),
                        id => after(id),
                    };
                    client.reader = Reader::open(Client::subscribe(client.topics, &hub, &resume));
                }
            }
        }
        clock.advance(Duration::from_millis(60));
        for client in &mut clients {
            client.read(None, &newest);
            for (key, (number, _)) in newest.iter().filter(|(_, (_, is_admin))| *is_admin) {
                prop_assert_eq!(client.known.get(key), Some(number), "{} {}", key, client.topics);
            }
        }
    }
}
