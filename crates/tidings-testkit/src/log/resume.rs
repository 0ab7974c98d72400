//! Coming back: what a client missed, or a reset.

use fastrand::Rng;
use tidings::{Hub, Retention};

use super::{Client, Engine, Settings, publish, publish_all};
use crate::checker::{Entry, Visit, check, is_of, position};

pub async fn a_client_resumes_behind_every_event<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    resumes_behind_every_event(&hub, &["a", "b"], 60).await;
}

/// A client that comes back with any id gets exactly the rest.
pub(super) async fn resumes_behind_every_event(hub: &Hub, asked: &[&str], count: usize) {
    let topics = ["a", "b", "other", "b", "a", "a"];
    let events = (0..count).map(|n| (topics[n % topics.len()], n.to_string()));
    let published = publish_all(hub, events).await;
    for (at, entry) in published.iter().enumerate() {
        let rest = published[at + 1..].iter().filter(|entry| is_of(asked, &entry.topic));
        let rest: Vec<_> = rest.map(|entry| &*entry.id).collect();
        let mut client = Client::expect(hub, asked, Some(&entry.id), "resumed").await;
        let seen: Vec<_> =
            client.read(rest.len()).await.iter().map(|m| m.last_event_id()).collect();
        assert_eq!(seen, rest, "behind {}", entry.id);
    }
}

pub async fn random_cuts_lose_and_double_nothing<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    for seed in 0..20 {
        let mut journey = Journey::new(seed);
        for _ in 0..6 {
            journey.leg(&hub).await;
        }
        journey.end(&hub).await;
    }
}

const TOPICS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Topics, and what can be asked for of them: most of them by several names.
const RELATED: [&str; 5] = ["a:1", "a:2", "b:1", "b:2", "c"];
const FAMILIES: [&str; 9] = ["*", "a:*", "b:*", "*:1", "*2", "a*1", "a:1", "b:2", "c"];

/// A client with some topics that comes and goes while events are published, each in a measure that a
/// seed decides.
pub(super) struct Journey {
    seed: u64,
    random: Rng,
    /// What is published to.
    ground: [&'static str; 5],
    topics: Vec<&'static str>,
    published: Vec<Entry>,
    visits: Vec<Visit>,
    id: Option<String>,
}

impl Journey {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let count = random.usize(1..=3);
        let topics = random.choose_multiple(TOPICS, count);
        Self::of(seed, random, TOPICS, topics)
    }

    /// As [`new`](Self::new), with families, and topics that may belong to them.
    pub(super) fn of_families(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let count = random.usize(1..=4);
        let mut topics = random.choose_multiple(FAMILIES, count);
        if !topics.iter().any(|name| name.contains('*')) {
            topics.push("*:2");
        }
        Self::of(seed, random, RELATED, topics)
    }

    fn of(seed: u64, random: Rng, ground: [&'static str; 5], topics: Vec<&'static str>) -> Self {
        Self { seed, random, ground, topics, published: Vec::new(), visits: Vec::new(), id: None }
    }

    /// The client comes, stays while something is published, and leaves somewhere in the midst of it; more
    /// is published without it.
    pub(super) async fn leg(&mut self, hub: &Hub) {
        self.publish(hub).await;
        let mut client = self.connect(hub).await;
        self.publish(hub).await;
        let all = self.unread();
        let count = self.random.usize(0..=all);
        client.read(count).await;
        self.leave(client);
        self.publish(hub).await;
    }

    /// The client comes once more, reads all, and is judged.
    pub(super) async fn end(mut self, hub: &Hub) {
        let mut client = self.connect(hub).await;
        client.read(self.unread()).await;
        self.leave(client);
        let Self { seed, topics, published, visits, .. } = self;
        match check(&published, &topics, &visits) {
            Ok(summary) => assert_eq!(summary.resets, 0, "seed {seed}"),
            Err(fault) => panic!("seed {seed}: {fault}: {topics:?}, {}", outline(&visits)),
        }
    }

    /// How many events there are behind the client's id.
    fn unread(&self) -> usize {
        let id = self.id.as_deref().map_or(u64::MAX, position);
        let is_unread = |entry: &&Entry| position(&entry.id) > id;
        let unread = self.published.iter().rev().take_while(is_unread);
        unread.filter(|entry| is_of(&self.topics, &entry.topic)).count()
    }

    async fn publish(&mut self, hub: &Hub) {
        let count = self.random.usize(0..30);
        let from = self.published.len();
        let topics: Vec<_> =
            (0..count).map(|_| self.ground[self.random.usize(..self.ground.len())]).collect();
        let data = |n: usize| format!("{n} of seed {}\n{}", self.seed, "·".repeat(n % 100));
        let events = topics.iter().zip(from..).map(|(topic, n)| (*topic, data(n)));
        self.published.extend(publish_all(hub, events).await);
    }

    async fn connect(&mut self, hub: &Hub) -> Client {
        let expected = if self.id.is_some() { "resumed" } else { "fresh" };
        let client = Client::expect(hub, &self.topics, self.id.as_deref(), expected).await;
        self.id = Some(client.last_event_id().to_owned());
        client
    }

    fn leave(&mut self, client: Client) {
        self.id = Some(client.last_event_id().to_owned());
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

pub async fn a_position_of_the_future_is_a_reset<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let entry = publish(&hub, "a", "one").await;
    let (epoch, _) = entry.id.rsplit_once('-').expect("an id of a hub");
    let future = position(&entry.id) + (1 << 40);
    for future in [future, u64::MAX] {
        let id = format!("{epoch}-{future}");
        Client::expect(&hub, &["a"], Some(&id), "unknown").await;
    }
}

pub async fn an_id_of_another_history_is_a_reset<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let Some(other) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let other = other.node(Hub::builder()).await;
    for hub in [&hub, &other] {
        publish(hub, "a", "one").await;
    }
    let entry = publish(&other, "a", "two").await;
    Client::expect(&hub, &["a"], Some(&entry.id), "unknown").await;
    Client::expect(&other, &["a"], Some(&entry.id), "resumed").await;
}

pub async fn a_client_whose_next_event_is_gone_is_reset<E: Engine>() {
    const KEPT: usize = 100;
    let Some(engine) = E::begin(Settings { max_events: KEPT, ..Settings::default() }).await else {
        return;
    };
    let hub = engine.node(Hub::builder().retention(Retention::default().events(10))).await;
    let first = publish(&hub, "a", "first").await;
    let second = publish(&hub, "a", "second").await;
    let events = (0..10 * KEPT + 1_000).map(|n| ("a", n.to_string()));
    let published = publish_all(&hub, events).await;
    let mut client = Client::expect(&hub, &["a"], Some(&first.id), "trimmed").await;
    // The newest are there in any case.
    let last = &published.last().expect("some").id;
    client.read_to(last).await;
    // Nothing of its own came behind it: but whether it is still known that nothing did is the log's
    // affair, so there may be a reset; never silence where something is missing.
    let mut client = Client::connect(&hub, &["a"], Some(&second.id));
    let status = client.status().await;
    assert_eq!(status["status"], "reset", "{status}");
}
