//! Coming back: what a client missed, or a reset.

use fastrand::Rng;
use serde_json::Value;
use tidings::{History, Hub, Retention};

use super::filters::{Attributes, Sieve, sieves};
use super::publisher::publish_events;
use super::{Client, Engine, EngineOptions, publish, publish_all};
use crate::checker::{Entry, Visit, check, is_of, position};

pub async fn a_client_resumes_after_every_event<E: Engine>(log: E) {
    let hub = log.hub().await;
    for topics in [&["a", "b"][..], &["a*"], &["*"], &["a*", "b"], &["*a", "a", "b*", "*b*"]] {
        resumes_after_every_event(&hub, topics, 60).await;
    }
}

/// A client that comes back with any id gets exactly the rest.
pub(super) async fn resumes_after_every_event(hub: &Hub, asked: &[&str], count: usize) {
    let topics = ["a", "b", "other", "b", "a", "a"];
    let events = (0..count).map(|n| (topics[n % topics.len()], n.to_string()));
    let published = publish_all(hub, events).await;
    for (at, entry) in published.iter().enumerate() {
        let rest = published[at + 1..].iter().filter(|entry| is_of(asked, &entry.topic));
        let rest: Vec<_> = rest.map(|entry| &*entry.id).collect();
        let mut client = Client::expect(hub, asked, Some(&entry.id), "resumed").await;
        assert_eq!(client.read_ids(rest.len()).await, rest, "after {}", entry.id);
    }
}

pub async fn random_cuts_lose_and_double_nothing<E: Engine>(log: E) {
    let hub = log.hub().await;
    for seed in 0..40 {
        Journey::new(seed).run(6, async |_| hub.clone()).await;
    }
}

/// A client that comes and goes while events are published. A seed decides when, and how many.
pub(super) struct Journey {
    seed: u64,
    random: Rng,
    /// The topics that are published to.
    published_to: [&'static str; 5],
    /// What the client subscribes to.
    topics: Vec<&'static str>,
    /// What it is sent of them, if that is not all.
    sieve: Option<Sieve>,
    published: Vec<Entry>,
    visits: Vec<Visit>,
    id: Option<String>,
}

impl Journey {
    /// Even seeds subscribe to topics, odd ones also to patterns, most of which overlap.
    pub(super) fn new(seed: u64) -> Self {
        const TOPICS: [&str; 5] = ["a:1", "a:2", "b:1", "b:2", "c"];
        const PATTERNS: [&str; 9] = ["*", "a:*", "b:*", "*:1", "*2", "a*1", "a:1", "b:2", "c"];
        let mut random = Rng::with_seed(seed);
        let topics = match seed.is_multiple_of(2) {
            true => {
                let count = random.usize(1..=3);
                random.choose_multiple(TOPICS, count)
            }
            false => {
                let count = random.usize(0..=3);
                [vec!["*:2"], random.choose_multiple(PATTERNS, count)].concat()
            }
        };
        let (sieve, published, visits, id) = (None, Vec::new(), Vec::new(), None);
        Self { seed, random, published_to: TOPICS, topics, sieve, published, visits, id }
    }

    /// The client has a filter.
    pub(super) fn filtered(mut self) -> Self {
        self.sieve = self.random.choice(sieves());
        self
    }

    /// The client comes this many times, each time to the hub with that number, and leaves again. Then it comes
    /// once more, reads everything, and what it received is checked.
    pub(super) async fn run(mut self, visits: usize, hub: impl AsyncFn(usize) -> Hub) {
        for number in 0..visits {
            self.visit(&hub(number).await).await;
        }
        let last = hub(visits).await;
        let mut client = self.connect(&last).await;
        client.read(self.unread()).await;
        self.leave(client);
        // To the client, what is hidden was not published.
        let published = self.published.iter().filter(|entry| self.passes(entry));
        let published: Vec<_> = published.cloned().collect();
        let Self { seed, topics, visits, .. } = self;
        match check(&published, &topics, &visits) {
            Ok(summary) => assert_eq!(summary.resets, 0, "seed {seed}"),
            Err(fault) => panic!("seed {seed}: {fault}: {topics:?}, {}", outline(&visits)),
        }
    }

    /// The client comes, stays while events are published, and leaves after some of them. Before and after,
    /// events are published without it.
    async fn visit(&mut self, hub: &Hub) {
        self.publish(hub).await;
        let mut client = self.connect(hub).await;
        self.publish(hub).await;
        let unread = self.unread();
        client.read(self.random.usize(0..=unread)).await;
        self.leave(client);
        self.publish(hub).await;
    }

    /// How many events there are after the client's id.
    fn unread(&self) -> usize {
        let id = self.id.as_deref().map_or(u64::MAX, position);
        let is_unread = |entry: &&Entry| position(&entry.id) > id;
        let unread = self.published.iter().rev().take_while(is_unread);
        unread.filter(|entry| is_of(&self.topics, &entry.topic) && self.passes(entry)).count()
    }

    fn passes(&self, entry: &Entry) -> bool {
        let number = entry.data.split_once(' ').and_then(|(number, _)| number.parse().ok());
        let attributes = Attributes::of(self.seed, number.expect("an event's number"));
        self.sieve.as_ref().is_none_or(|sieve| (sieve.passes)(&attributes))
    }

    async fn publish(&mut self, hub: &Hub) {
        let from = self.published.len();
        // What its own node has acknowledged is no news to a fresh client; what was published on others before may be.
        let least = usize::from(self.published.is_empty());
        let count = self.random.usize(least..30);
        let topics: Vec<_> = (0..count).map(|_| self.random.choice(self.published_to)).collect();
        let data = |n: usize| format!("{n} of seed {}\n{}", self.seed, "·".repeat(n % 100));
        let event = |n| Attributes::of(self.seed, n).event(&data(n));
        let events = topics.into_iter().flatten().zip(from..).map(|(topic, n)| (topic, event(n)));
        self.published.extend(publish_events(hub, events).await);
    }

    async fn connect(&mut self, hub: &Hub) -> Client {
        let expected = if self.id.is_some() { "resumed" } else { "fresh" };
        let filter = self.sieve.as_ref().map(|sieve| sieve.filter.clone());
        let mut client = Client::connect_filtered(hub, &self.topics, filter, self.id.as_deref());
        let status = client.status().await;
        assert_eq!(status["status"], expected, "seed {}: {status}", self.seed);
        self.id = Some(client.last_event_id().to_owned());
        client
    }

    fn leave(&mut self, mut client: Client) {
        // Some clients do not take the id of a block without data.
        let id = match self.seed.is_multiple_of(4) {
            true => client.last_event_id(),
            false => client.last_id_of_any_block(),
        };
        self.id = Some(id.to_owned());
        self.visits.push(client.leave());
    }
}

/// The ids of what a client has received.
fn outline(visits: &[Visit]) -> String {
    let outline = visits.iter().map(|visit| {
        let ids: Vec<_> = visit.messages.iter().map(|m| m.last_event_id()).collect();
        format!("{:?}: {}", visit.claimed, ids.join(" "))
    });
    outline.collect::<Vec<_>>().join("; ")
}

pub async fn a_position_of_the_future_is_a_reset<E: Engine>(log: E) {
    let hub = log.hub().await;
    let entry = publish(&hub, "a", "one").await;
    let (epoch, _) = entry.id.rsplit_once('-').expect("an id of a hub");
    let future = position(&entry.id) + (1 << 40);
    for future in [future, u64::MAX] {
        let id = format!("{epoch}-{future}");
        Client::expect(&hub, &["a"], Some(&id), "unknown").await;
    }
}

pub async fn an_id_of_another_history_is_a_reset<E: Engine>(log: E) {
    let Some(other) = E::begin(EngineOptions::default()).await else { return };
    let (hub, other) = (log.hub().await, other.hub().await);
    publish(&hub, "a", "one").await;
    publish(&other, "a", "one").await;
    let entry = publish(&other, "a", "two").await;
    Client::expect(&hub, &["a"], Some(&entry.id), "unknown").await;
    Client::expect(&other, &["a"], Some(&entry.id), "resumed").await;
}

pub async fn a_fresh_client_learns_whether_history_is_missing<E: Engine>(_: E) {
    const KEPT: usize = 100;
    let Some(log) = E::begin(EngineOptions::max_events(KEPT)).await else { return };
    let hub = log.node(Hub::builder().retention(Retention::default().events(50))).await;
    let complete = async |history| {
        let subscribe = hub.subscribe(["a"]).history(history).retry(None).heartbeat(None);
        Client::of(subscribe.open().expect("the subscription opens"), None).status().await
    };
    for n in 0..20 {
        publish(&hub, "a", &n.to_string()).await;
    }
    for history in [History::None, History::Last(10)] {
        assert_eq!(complete(history).await.get("complete"), None, "{history:?}");
    }
    let events = (0..10 * KEPT + 1_000).map(|n| ("a", n.to_string()));
    publish_all(&hub, events).await;
    for (history, is_complete) in [
        (History::None, true),
        (History::Last(10), true),
        (History::All, false),
        (History::Last(101), false),
    ] {
        let expected = (!is_complete).then_some(&Value::Bool(false));
        assert_eq!(complete(history).await.get("complete"), expected, "{history:?}");
    }
}

pub async fn a_client_whose_next_event_is_gone_is_reset<E: Engine>(_: E) {
    const KEPT: usize = 100;
    let Some(log) = E::begin(EngineOptions::max_events(KEPT)).await else { return };
    let hub = log.node(Hub::builder().retention(Retention::default().events(10))).await;
    let first = publish(&hub, "a", "first").await;
    let second = publish(&hub, "a", "second").await;
    let events = (0..10 * KEPT + 1_000).map(|n| ("a", n.to_string()));
    let published = publish_all(&hub, events).await;
    let mut client = Client::expect(&hub, &["a"], Some(&first.id), "trimmed").await;
    // The newest events are always kept.
    client.read_to(&published.last().expect("some").id).await;
    let mut client = Client::connect(&hub, &["a"], Some(&second.id));
    let status = client.status().await;
    assert_eq!(status["status"], "reset", "{status}");
}
