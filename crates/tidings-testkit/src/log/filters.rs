//! Streams that are sent what matches a filter, and no more.

use fastrand::Rng;
use tidings::{Event, Filter, History, Hub, Retention};

use super::finish::finish;
use super::publisher::publish_events;
use super::resume::Journey;
use super::{Client, Engine};
use crate::checker::{Entry, is_of};

/// The attributes of an event, which follow from a seed and its number.
#[derive(Debug)]
pub(super) struct Attributes {
    role: Option<&'static str>,
    level: i64,
}

impl Attributes {
    pub(super) fn of(seed: u64, number: usize) -> Self {
        let mut random = Rng::with_seed(seed << 32 | number as u64);
        let role = random.choice([Some("admin"), Some("editor"), None]).flatten();
        Self { role, level: random.i64(0..5) }
    }

    pub(super) fn event(&self, data: &str) -> Event {
        let event = Event::new(data).with_attribute("level", self.level).expect("a name");
        match self.role {
            Some(role) => event.with_attribute("role", role).expect("a name"),
            None => event,
        }
    }
}

type Passes = fn(&Attributes) -> bool;

/// A filter, and what it is to do.
#[derive(Debug, Clone)]
pub(super) struct Sieve {
    pub(super) filter: Filter,
    /// A test must not ask the code under test.
    pub(super) passes: Passes,
}

pub(super) fn sieves() -> [Sieve; 7] {
    let role = |role: &str| Filter::equal("role", role).expect("a filter");
    let level = |least| Filter::at_least("level", least).expect("a filter");
    let sieves: [(_, Passes); 7] = [
        (role("admin"), |it| it.role == Some("admin")),
        (!role("admin"), |it| it.role != Some("admin")),
        (level(3), |it| it.level >= 3),
        (Filter::all([role("editor"), level(4)]).expect("a filter"), |it| {
            it.role == Some("editor") && it.level >= 4
        }),
        (Filter::any([role("admin"), level(4)]).expect("a filter"), |it| {
            it.role == Some("admin") || it.level >= 4
        }),
        (!Filter::present("role").expect("a filter"), |it| it.role.is_none()),
        // Nothing passes.
        (role("guest"), |_| false),
    ];
    sieves.map(|(filter, passes)| Sieve { filter, passes })
}

/// Publishes events with attributes to these topics in turn. Returns them in the log's order.
async fn publish_attributed(
    hub: &Hub,
    topics: &[&'static str],
    numbers: std::ops::Range<usize>,
) -> Vec<Entry> {
    let event = |n| (topics[n % topics.len()], Attributes::of(0, n).event(&n.to_string()));
    publish_events(hub, numbers.map(event)).await
}

/// The ids of those that a client is to be sent.
fn visible<'a>(published: &'a [Entry], topics: &[&str], sieve: &Sieve) -> Vec<&'a str> {
    let passes = |entry: &&Entry| match &*entry.data {
        "last" => true,
        number => (sieve.passes)(&Attributes::of(0, number.parse().expect("a number"))),
    };
    let of_topics = published.iter().filter(|entry| is_of(topics, &entry.topic));
    of_topics.filter(passes).map(|entry| &*entry.id).collect()
}

const TOPICS: [&str; 3] = ["a", "b", "other"];
const ASKED: [&[&str]; 4] = [&["a", "b"], &["a"], &["a*"], &["*", "b"]];

/// Topics that have nothing but their last events. These come to every stream, whatever its filter, and so show that it was
/// sent no more before.
const ENDS: [&str; 3] = ["end:0", "end:1", "end:2"];

/// Publishes events with attributes, then one of the [`ENDS`].
async fn publish_up_to(hub: &Hub, end: &str, count: usize, published: &mut Vec<Entry>) {
    let from = published.len();
    published.extend(publish_attributed(hub, &TOPICS, from..from + count).await);
    let id = finish(hub, end).await;
    published.push(Entry { id, topic: end.to_owned(), data: "last".to_owned() });
}

pub async fn a_filtered_client_is_sent_what_matches_and_no_more<E: Engine>(log: E) {
    let hub = log.hub().await;
    let asked = ASKED.map(|topics| [topics, &ENDS].concat());
    let mut clients = Vec::new();
    for topics in &asked {
        for sieve in sieves() {
            let filter = Some(sieve.filter.clone());
            let mut client = Client::connect_filtered(&hub, topics, filter, None);
            assert_eq!(client.status().await["status"], "fresh");
            clients.push((topics, sieve, client));
        }
    }
    let mut published = Vec::new();
    publish_up_to(&hub, ENDS[0], 100, &mut published).await;
    let first = published[0].id.clone();
    for (topics, sieve, client) in &mut clients {
        let expected = visible(&published, topics, sieve);
        assert_eq!(client.read_ids(expected.len()).await, expected, "{topics:?} {sieve:?}");
    }
    // Others come back, while those are there and when they are gone.
    for end in &ENDS[1..] {
        publish_up_to(&hub, end, 50, &mut published).await;
        for topics in &asked {
            for sieve in sieves() {
                let filter = Some(sieve.filter.clone());
                let mut client = Client::connect_filtered(&hub, topics, filter, Some(&first));
                assert_eq!(client.status().await["status"], "resumed");
                let expected = visible(&published[1..], topics, &sieve);
                assert_eq!(client.read_ids(expected.len()).await, expected, "{topics:?} {sieve:?}");
            }
        }
        clients.clear();
    }
}

pub async fn random_cuts_of_filtered_clients_lose_and_double_nothing<E: Engine>(log: E) {
    let hub = log.hub().await;
    for seed in 400..450 {
        Journey::new(seed).filtered().run(6, async |_| hub.clone()).await;
    }
}

pub async fn a_filtered_history_is_what_matches<E: Engine>(log: E) {
    let hub = log.node(Hub::builder().retention(Retention::default().events(10_000))).await;
    let published = publish_attributed(&hub, &TOPICS, 0..120).await;
    let mut clients = Vec::new();
    for topics in ASKED {
        for sieve in sieves() {
            let all = visible(&published, topics, &sieve);
            for (history, count) in [
                (History::All, all.len()),
                (History::Last(5), 5),
                (History::Last(1), 1),
                (History::None, 0),
            ] {
                let expected = &all[all.len().saturating_sub(count)..];
                let subscribe = hub.subscribe_matching(topics).history(history);
                let subscribe = subscribe.filter(sieve.filter.clone()).retry(None).heartbeat(None);
                let subscription = subscribe.open().expect("the subscription opens");
                let mut client = Client::of(subscription, None);
                assert_eq!(client.status().await["status"], "fresh");
                assert_eq!(client.read_ids(expected.len()).await, expected, "{topics:?} {sieve:?}");
                clients.push((topics, sieve.clone(), client));

                let read = hub.history_matching(topics, history).filter(sieve.filter.clone());
                let read = crate::limit::within("a history", read).await.expect("the log answers");
                let ids: Vec<_> = read.events.iter().filter_map(|event| event.id()).collect();
                assert_eq!(ids, expected, "{topics:?} {sieve:?} {history:?}");
                let filter = Some(sieve.filter.clone());
                let id = Some(read.position.as_str());
                let mut client = Client::connect_filtered(&hub, topics, filter, id);
                assert_eq!(client.status().await["status"], "resumed");
            }
        }
    }
    // History that was not asked for would come first.
    let published = publish_attributed(&hub, &TOPICS, 120..150).await;
    for (topics, sieve, client) in &mut clients {
        let expected = visible(&published, topics, sieve);
        assert_eq!(client.read_ids(expected.len()).await, expected, "{topics:?} {sieve:?}");
    }
}

pub async fn an_ephemeral_event_comes_to_those_whom_it_matches<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut clients = Vec::new();
    for sieve in sieves() {
        let filter = Some(sieve.filter.clone());
        let mut client = Client::connect_filtered(&hub, &["a"], filter, None);
        client.status().await;
        clients.push((sieve, client));
    }
    // The first may come from the log, if the topic is not delivered yet. The second come from memory, and all are live then.
    for numbers in [0..100, 100..200] {
        let published = publish_attributed(&hub, &["a"], numbers).await;
        for (sieve, client) in &mut clients {
            let expected = visible(&published, &["a"], sieve);
            assert_eq!(client.read_ids(expected.len()).await, expected, "{sieve:?}");
        }
    }
    for number in 0..50 {
        let attributes = Attributes::of(0, number);
        let event = attributes.event(&number.to_string());
        let sent = hub.publish_ephemeral("a", event).expect("the event is sent");
        let passes = |sieve: &Sieve| (sieve.passes)(&attributes);
        assert_eq!(sent, clients.iter().filter(|(sieve, _)| passes(sieve)).count());
        for (sieve, client) in clients.iter_mut().filter(|(sieve, _)| passes(sieve)) {
            assert_eq!(client.read(1).await[0].data(), number.to_string(), "{sieve:?}");
        }
    }
    // It comes to everybody, and the others were sent nothing before it.
    let last = finish(&hub, "a").await;
    for (sieve, client) in &mut clients {
        assert_eq!(client.read_ids(1).await, [&*last], "{sieve:?}");
    }
}
