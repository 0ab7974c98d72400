//! Who is on a topic.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use reader::Reader;
use serde_json::Value;
use tidings::clock::ManualClock;
use tidings::presence::{JOIN_EVENT, LEAVE_EVENT, MAX_PRINCIPAL_BYTES, Presence, topic_of};
use tidings::{History, Hub, HubBuilder, STATUS_EVENT, Subscription};

const GRACE: Duration = Duration::from_secs(5);
/// Enough for what is to be done now.
const NOW: Duration = Duration::from_millis(1);

struct Rooms {
    hub: Hub,
    clock: ManualClock,
}

fn builder(clock: &ManualClock) -> HubBuilder {
    let builder = Hub::builder().clock(clock).heartbeat(None).retry(None);
    builder.presence("room/*", Presence::default()).unwrap()
}

impl Rooms {
    fn new() -> Self {
        Self::of(|builder| builder)
    }

    fn of(set: impl FnOnce(HubBuilder) -> HubBuilder) -> Self {
        let clock = ManualClock::new();
        let hub = set(builder(&clock)).build();
        clock.advance(NOW);
        Self { hub, clock }
    }

    fn join(&self, principal: &str, topics: &[&str]) -> Subscription {
        let stream = self.hub.subscribe_matching(topics.iter().copied()).principal(principal);
        let stream = stream.open().unwrap();
        self.clock.advance(NOW);
        stream
    }

    fn after(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn leave(&self, stream: Subscription) {
        drop(stream);
        self.clock.advance(NOW);
    }

    fn present(&self, topic: &str) -> Vec<String> {
        self.clock.advance(NOW);
        let present = self.hub.presence(topic).wait().unwrap();
        present.into_iter().map(|present| present.principal).collect()
    }

    /// A client that is told who comes and goes.
    fn watch(&self, topic: &str) -> Watcher {
        let topic = topic_of(topic).unwrap();
        let subscribe = self.hub.subscribe(topic).history(History::All);
        Watcher(Reader::open_with_status(subscribe).0)
    }
}

struct Watcher(Reader);

impl Watcher {
    /// `+ada` for a join, `-ada` for a leave.
    fn news(&mut self) -> Vec<String> {
        let messages = self.0.messages();
        let news = messages.iter().filter(|message| message.event() != STATUS_EVENT);
        news.map(|message| {
            let data: Value = serde_json::from_str(message.data()).unwrap();
            let sign = match message.event() {
                JOIN_EVENT => '+',
                LEAVE_EVENT => '-',
                event => panic!("{event} is no event of presence"),
            };
            format!("{sign}{}", data["principal"].as_str().unwrap())
        })
        .collect()
    }
}

#[test]
fn a_stream_with_a_principal_joins_and_leaves_after_the_grace() {
    let rooms = Rooms::new();
    let mut watcher = rooms.watch("room/1");
    let stream = rooms.join("ada", &["room/1", "room/2", "news", "*"]);
    assert_eq!(watcher.news(), ["+ada"]);
    rooms.after(2 * GRACE);
    rooms.leave(stream);
    rooms.after(GRACE - 3 * NOW);
    assert_eq!(watcher.news(), [""; 0], "the grace is not over");
    assert_eq!(rooms.present("room/1"), ["ada"]);
    rooms.after(NOW);
    assert_eq!(watcher.news(), ["-ada"]);
    assert_eq!(rooms.present("room/1"), [""; 0]);
    assert_eq!(rooms.present("room/2"), [""; 0]);
    assert_eq!(rooms.hub.metrics().present, 0);
}

#[test]
fn a_client_that_comes_back_within_the_grace_is_no_news() {
    let rooms = Rooms::new();
    let mut watcher = rooms.watch("room/1");
    let mut stream = rooms.join("ada", &["room/1"]);
    assert_eq!(watcher.news(), ["+ada"]);
    for _ in 0..20 {
        rooms.leave(stream);
        rooms.after(GRACE - 3 * NOW);
        stream = rooms.join("ada", &["room/1"]);
    }
    rooms.after(2 * GRACE);
    assert_eq!(watcher.news(), [""; 0]);
    rooms.leave(stream);
    rooms.after(GRACE);
    assert_eq!(watcher.news(), ["-ada"], "the grace was over");
    let stream = rooms.join("ada", &["room/1"]);
    assert_eq!(watcher.news(), ["+ada"]);
    drop(stream);
}

#[test]
fn several_streams_of_a_principal_are_one() {
    let rooms = Rooms::new();
    let mut watcher = rooms.watch("room/1");
    let one = rooms.join("ada", &["room/1"]);
    let other = rooms.join("ada", &["room/1", "room/2"]);
    let grace = rooms.join("grace", &["room/2"]);
    rooms.leave(one);
    rooms.after(2 * GRACE);
    assert_eq!(watcher.news(), ["+ada"]);
    assert_eq!(rooms.present("room/2"), ["ada", "grace"]);
    assert_eq!(rooms.hub.metrics().present, 3);
    rooms.leave(other);
    rooms.after(GRACE);
    assert_eq!(watcher.news(), ["-ada"]);
    assert_eq!(rooms.present("room/2"), ["grace"]);
    drop(grace);
}

#[test]
fn a_stream_is_present_on_the_topics_that_it_has_now() {
    let rooms = Rooms::new();
    let mut watchers = ["room/1", "room/2"].map(|topic| rooms.watch(topic));
    let mut news = || watchers.each_mut().map(Watcher::news).concat();
    let stream = rooms.join("ada", &["room/1"]);
    let client = rooms.hub.client(stream.client_id());
    client.subscribe(["room/1", "room/2", "news"]).unwrap();
    client.subscribe_matching("room/*").unwrap();
    rooms.after(NOW);
    assert_eq!(news(), ["+ada", "+ada"]);
    client.unsubscribe("room/1").unwrap();
    rooms.after(GRACE);
    assert_eq!(news(), ["-ada"]);
    assert_eq!(rooms.present("room/2"), ["ada"]);
    // A page that goes to and fro.
    client.unsubscribe("room/2").unwrap();
    client.subscribe("room/2").unwrap();
    rooms.after(2 * GRACE);
    assert_eq!(news(), [""; 0]);
    rooms.leave(stream);
    assert!(!client.subscribe("room/1").unwrap(), "it has ended");
    rooms.after(GRACE);
    assert_eq!(news(), ["-ada"]);
}

#[test]
fn a_principal_whose_streams_are_closed_leaves_after_the_grace() {
    let rooms = Rooms::new();
    let mut watcher = rooms.watch("room/1");
    let mut readers = ["room/1", "room/2"].map(|topic| Reader::new(rooms.join("ada", &[topic])));
    assert_eq!(watcher.news(), ["+ada"]);
    assert_eq!(rooms.hub.clients().close_principal("ada"), 2);
    for reader in &mut readers {
        reader.bytes();
        assert!(reader.ended);
    }
    drop(readers);
    rooms.after(GRACE);
    assert_eq!(watcher.news(), ["-ada"]);
    assert_eq!(rooms.present("room/2"), [""; 0]);
}

#[test]
fn who_comes_later_is_told_who_is_there() {
    let rooms = Rooms::new();
    let streams = ["ada", "grace", "joan"].map(|name| rooms.join(name, &["room/1", "room/2"]));
    let [ada, grace, joan] = streams;
    rooms.leave(grace);
    rooms.after(GRACE);
    let mut late = rooms.watch("room/1");
    let mut known = late.news();
    known.retain(|news| news != "-grace");
    assert_eq!(known, ["+ada", "+joan"]);
    assert_eq!(rooms.present("room/1"), ["ada", "joan"]);
    // One that was away is told what has changed.
    let resume = late.0.resume();
    let was_away = rooms.hub.subscribe("presence/room/1").resume(resume);
    rooms.leave(ada);
    rooms.after(GRACE);
    assert_eq!(Watcher(Reader::open_with_status(was_away).0).news(), ["-ada"]);
    drop(joan);
}

#[test]
fn only_who_subscribes_to_what_says_who_is_there_is_told() {
    let rooms = Rooms::new();
    let told = |names: &[&str]| {
        let subscribe = rooms.hub.subscribe_matching(names.iter().copied()).history(History::All);
        let (mut reader, _) = Reader::open_with_status(subscribe);
        let stream = rooms.join("ada", &["room/1"]);
        let messages = reader.messages();
        rooms.leave(stream);
        rooms.after(2 * GRACE);
        messages.iter().any(|message| message.event() == JOIN_EVENT)
    };
    for names in [&["room/1"][..], &["room/*", "news"], &["presence/room/2", "presence"]] {
        assert!(!told(names), "{names:?}");
    }
    for names in [&["presence/room/1"][..], &["presence/*"], &["*"], &["*room/1"]] {
        assert!(told(names), "{names:?}");
    }
}

#[test]
fn events_say_who_since_when_and_where() {
    let rooms = Rooms::new();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let stream = rooms.join("ada \"lovelace\"\u{2028}", &["room/1"]);
    let mut watcher = rooms.watch("room/1");
    let messages = watcher.0.messages();
    assert_eq!(messages[0].event(), JOIN_EVENT);
    let data: Value = serde_json::from_str(messages[0].data()).unwrap();
    let since = u128::from(data["since"].as_u64().unwrap());
    assert!((before - 10..before + 60_000).contains(&since));
    assert_eq!(data["principal"], "ada \"lovelace\"\u{2028}");
    assert_eq!(data["topic"], "room/1");
    let node = data["node"].as_str().unwrap();
    assert_eq!((node.len(), data.as_object().unwrap().len()), (16, 4));
    let present = rooms.hub.presence("room/1").wait().unwrap();
    assert_eq!(
        serde_json::to_value(&present).unwrap(),
        serde_json::json!([{"principal": data["principal"], "since": data["since"], "nodes": [node]}])
    );
    // The grace is no break.
    rooms.leave(stream);
    let stream = rooms.join("ada \"lovelace\"\u{2028}", &["room/1"]);
    assert_eq!(rooms.hub.presence("room/1").wait().unwrap(), present);
    rooms.leave(stream);
    rooms.after(GRACE);
    let messages = watcher.0.messages();
    assert_eq!(messages[0].event(), LEAVE_EVENT);
    let left: Value = serde_json::from_str(messages[0].data()).unwrap();
    let expected =
        serde_json::json!({"topic": "room/1", "principal": data["principal"], "node": node});
    assert_eq!(left, expected);
}

#[test]
fn what_has_no_principal_or_no_rule_is_not_present() {
    let rooms = Rooms::new();
    let long = "x".repeat(MAX_PRINCIPAL_BYTES + 1);
    let streams = [
        rooms.join("ada", &["news", "room/*", "presence/room/1", "presence/room/2"]),
        rooms.join(&long, &["room/1"]),
        rooms.join("two\nlines", &["room/1"]),
        rooms.hub.subscribe("room/1").open().unwrap(),
    ];
    rooms.after(2 * GRACE);
    assert_eq!(rooms.hub.metrics().present, 0);
    for topic in ["room/1", "news", "presence/room/1"] {
        assert_eq!(rooms.present(topic), [""; 0], "{topic}");
    }
    assert_eq!(rooms.hub.metrics().published, 0);
    drop(streams);
    let longest = rooms.join(&long[1..], &["room/1", &format!("room/{}", &long[..200])]);
    assert_eq!(rooms.present("room/1"), [&long[1..]]);
    drop(longest);
    // Where it is on for all topics, it is not for its own.
    let rooms = Rooms::of(|builder| builder.presence("*", Presence::default()).unwrap());
    let long = format!("{long}{}", "x".repeat(16));
    let streams =
        [rooms.join("ada", &["news", "presence/news"]), rooms.join("ada", &[&long[..248]])];
    rooms.after(GRACE);
    assert_eq!(rooms.hub.metrics().present, 1);
    assert_eq!(rooms.present("news"), ["ada"]);
    drop(streams);
}

#[test]
fn a_hub_without_presence_does_nothing() {
    let hub = Hub::builder().clock(&ManualClock::new()).build();
    let stream = hub.subscribe("room/1").principal("ada").open().unwrap();
    assert!(hub.presence("room/1").wait().unwrap().is_empty());
    assert_eq!((hub.metrics().published, hub.topics().len()), (0, 1));
    drop(stream);
    assert!(Hub::builder().presence("x".repeat(248), Presence::default()).is_err());
    assert!(Hub::builder().presence("x".repeat(247), Presence::default()).is_ok());
    assert!(Hub::builder().presence("two words", Presence::default()).is_err());
}

#[test]
fn the_first_rule_of_a_topic_has_its_grace() {
    let rooms = Rooms::of(|builder| {
        let builder = builder.presence("room/*", Presence::default().grace(100 * GRACE)).unwrap();
        let builder = builder.presence("hall", Presence::default().grace(Duration::ZERO)).unwrap();
        builder.presence("ha*", Presence::default().grace(Duration::MAX)).unwrap()
    });
    rooms.leave(rooms.join("ada", &["room/1", "hall", "harbour"]));
    assert_eq!(rooms.present("hall"), [""; 0]);
    assert_eq!(rooms.present("room/1"), ["ada"]);
    rooms.after(GRACE);
    assert_eq!(rooms.present("room/1"), [""; 0]);
    rooms.after(1_000 * GRACE);
    assert_eq!(rooms.present("harbour"), ["ada"]);
}

#[test]
fn a_hub_that_is_closed_or_dropped_lets_go_of_everything() {
    let rooms = Rooms::new();
    let stream = rooms.join("ada", &["room/1"]);
    let mut watcher = rooms.watch("room/1");
    rooms.hub.close();
    assert_eq!(watcher.news(), ["+ada"]);
    assert!(watcher.0.ended);
    rooms.leave(stream);
    rooms.after(2 * GRACE);
    let Rooms { hub, clock } = rooms;
    drop((hub, watcher));
    // Nothing of the hub is left that would hold the clock.
    clock.advance(100 * GRACE);
}

#[test]
fn thousands_come_and_go_in_steps() {
    let rooms = Rooms::new();
    let names: Vec<_> = (0..3_000).map(|n| format!("user {n:04}")).collect();
    let open = |name: &String| rooms.hub.subscribe("room/1").principal(name).open().unwrap();
    let streams: Vec<_> = names.iter().map(open).collect();
    let published = || rooms.hub.metrics().published;
    rooms.clock.advance(NOW);
    assert!((1..1_000).contains(&published()), "others that are due have their turn");
    for _ in 0..40 {
        rooms.clock.advance(NOW);
    }
    let mut present = rooms.present("room/1");
    present.sort();
    assert!(present == names, "{} are present", present.len());
    drop(streams);
    rooms.after(GRACE);
    for _ in 0..40 {
        rooms.clock.advance(NOW);
    }
    assert_eq!(rooms.present("room/1"), [""; 0]);
    assert_eq!(published(), 6_000, "nothing is said twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever streams do: after each step, those are present that have a stream, or had one within the grace.
    #[test]
    fn a_list_is_that_of_a_model(steps in prop::collection::vec((0..6_u8, 0..3_usize, 0..3_usize, 1..4_000_u64), 1..60)) {
        let rooms = Rooms::new();
        let (names, topics) = (["ada", "grace", "joan"], ["room/1", "room/2", "room/3"]);
        let mut streams: Vec<(usize, Vec<usize>, Subscription)> = Vec::new();
        let mut last_seen = BTreeMap::<(usize, usize), u64>::new();
        let mut watchers = topics.map(|topic| (rooms.watch(topic), Vec::<String>::new()));
        let mut now = 0;
        for (step, name, topic, time) in steps {
            for (name, have, _) in &streams {
                last_seen.extend(have.iter().map(|topic| ((*name, *topic), now)));
            }
            match step {
                0 | 1 => {
                    let stream = rooms.join(names[name], &[topics[topic]]);
                    now += 1;
                    streams.push((name, vec![topic], stream));
                }
                2 if !streams.is_empty() => {
                    drop(streams.swap_remove((name + 3 * topic) % streams.len()));
                }
                3 if !streams.is_empty() => {
                    let at = name % streams.len();
                    let (_, have, stream) = &mut streams[at];
                    rooms.hub.client(stream.client_id()).subscribe(topics[topic]).unwrap();
                    if !have.contains(&topic) {
                        have.push(topic);
                    }
                }
                4 if !streams.is_empty() => {
                    let at = name % streams.len();
                    let (_, have, stream) = &mut streams[at];
                    if rooms.hub.client(stream.client_id()).unsubscribe(topics[topic]).is_ok() {
                        have.retain(|it| *it != topic);
                    }
                }
                _ => {
                    rooms.after(Duration::from_millis(time));
                    now += time;
                }
            }
            let has = |name, topic| streams.iter().any(|(it, have, _)| *it == name && have.contains(&topic));
            rooms.after(NOW);
            now += 1;
            for (topic, (watcher, known)) in watchers.iter_mut().enumerate() {
                for news in watcher.news() {
                    let (sign, name) = news.split_at(1);
                    known.retain(|it| it != name);
                    if sign == "+" {
                        known.push(name.to_owned());
                    }
                }
                known.sort();
                let left = |name| {
                    let seen = last_seen.get(&(name, topic));
                    has(name, topic) || seen.is_some_and(|seen| now - seen < 5_000)
                };
                let expected: Vec<_> = (0..3).filter(|name| left(*name)).map(|name| names[name]).collect();
                prop_assert_eq!(&*known, &expected[..], "topic {} at {}", topic, now);
            }
        }
    }
}
