//! The hub against a naive model: a list of all events ever published, and the rules of retention.
//!
//! Every reader is handed what the model says, or a reset; and a reset only where the model agrees
//! that something is lost. Some read by themselves, others are served through a cohort, which they
//! join, leave by stalling, and come back to.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::collections::{HashMap, HashSet, VecDeque};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use reader::{Reader, after, position, publish};
use tidings::{
    Event, History, Hub, Message, Retention, STATUS_EVENT, Subscribe,
    clock::ManualClock,
    transport::{Cohort, CohortKey},
};

const TOPICS: [&str; 4] = ["none", "few", "short", "default"];

/// Patterns, and the topics that belong to them, a bit each.
const PATTERNS: [(&str, u8); 3] = [("*o*", 0b0101), ("*t", 0b1100), ("n*", 0b0001)];

/// What a client subscribes to: four bits for the topics, then three for the patterns.
#[derive(Debug, Clone, Copy)]
struct Asked(u8);

impl Asked {
    fn patterns(self) -> impl Iterator<Item = (&'static str, u8)> {
        (0..PATTERNS.len()).filter(move |n| self.0 & (0b1_0000 << n) != 0).map(|n| PATTERNS[n])
    }

    fn named(self) -> impl Iterator<Item = usize> {
        (0..TOPICS.len()).filter(move |n| self.0 & (1 << n) != 0)
    }

    /// The topics whose events it gets.
    fn topics(self) -> u8 {
        self.patterns().fold(self.0 & 0b1111, |all, (_, topics)| all | topics)
    }

    /// The topics of each log that it is read from.
    fn logs(self) -> impl Iterator<Item = u8> {
        self.named().map(|n| 1 << n).chain(self.patterns().map(|(_, topics)| topics))
    }

    fn subscribe(self, hub: &Hub) -> Subscribe {
        let names = self.named().map(|n| TOPICS[n]);
        hub.subscribe(names).matching(self.patterns().map(|(name, _)| name))
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    // Mostly topics alone.
    prop_oneof![2 => 1..16_u8, 1 => 1..128_u8].prop_map(Asked)
}

fn retention(topic: usize) -> Retention {
    match TOPICS[topic] {
        "none" => Retention::none(),
        "few" => Retention::default().events(5),
        "short" => Retention::default().events(300).bytes(1 << 30).age(Duration::from_secs(20)),
        _ => Retention::default().events(1_000).bytes(1 << 30),
    }
}

/// Number of events and milliseconds.
fn limits(topic: usize) -> (usize, u64) {
    [(0, 600_000), (5, 600_000), (300, 20_000), (1_000, 600_000)][topic]
}

#[derive(Debug, Clone)]
enum Step {
    Publish {
        topic: usize,
        size: usize,
        times: usize,
        ephemeral: bool,
    },
    Advance(u64),
    Subscribe {
        asked: Asked,
        history: History,
        in_cohort: bool,
    },
    /// Reads some chunks, or all that there is.
    Read {
        reader: usize,
        chunks: Option<usize>,
    },
    Drop {
        reader: usize,
    },
    /// A transport's turn: what the reader's cohort has is handed to all who are level.
    Turn {
        reader: usize,
    },
    /// The reader's socket takes nothing more for now.
    Stall {
        reader: usize,
    },
    /// Drops a reader and comes back with its last id.
    Resume {
        reader: usize,
        in_cohort: bool,
    },
    /// Comes with any position, counted back from the newest.
    Claim {
        asked: Asked,
        back: u64,
        in_cohort: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![20 => 0..200_usize, 1 => 30_000..100_000_usize];
    let times = prop_oneof![10 => 1..4_usize, 2 => 4..60_usize, 1 => 200..400_usize];
    let history = prop_oneof![
        Just(History::None),
        Just(History::All),
        (0..40_usize).prop_map(History::Last),
        (0..30_000_u64).prop_map(|millis| History::Within(Duration::from_millis(millis))),
    ];
    let chunks = proptest::option::of(0..4_usize);
    prop_oneof![
        8 => (0..4_usize, size, times, prop::bool::weighted(0.2)).prop_map(
            |(topic, size, times, ephemeral)| {
                // Many large ones would only make the test slow.
                let times = if size > 200 { times.min(8) } else { times };
                Step::Publish { topic, size, times, ephemeral }
            }
        ),
        2 => prop_oneof![0..3_000_u64, 0..30_000_u64, Just(700_000)].prop_map(Step::Advance),
        3 => (asked(), history, any::<bool>()).prop_map(
            |(asked, history, in_cohort)| Step::Subscribe { asked, history, in_cohort }
        ),
        8 => (0..8_usize, chunks).prop_map(|(reader, chunks)| Step::Read { reader, chunks }),
        1 => (0..8_usize).prop_map(|reader| Step::Drop { reader }),
        3 => (0..8_usize).prop_map(|reader| Step::Turn { reader }),
        1 => (0..8_usize).prop_map(|reader| Step::Stall { reader }),
        3 => (0..8_usize, any::<bool>())
            .prop_map(|(reader, in_cohort)| Step::Resume { reader, in_cohort }),
        2 => (asked(), prop_oneof![0..10_u64, 0..400_u64], any::<bool>())
            .prop_map(|(asked, back, in_cohort)| Step::Claim { asked, back, in_cohort }),
    ]
}

/// An event, as the model knows it. Its number is its place in the list of all.
#[derive(Debug, Clone)]
struct Known {
    topic: usize,
    at: u64,
    /// `None`: ephemeral.
    position: Option<u64>,
    size: usize,
}

#[derive(Default)]
struct Model {
    now: u64,
    position: u64,
    all: Vec<Known>,
}

impl Model {
    fn of(&self, topics: u8) -> impl DoubleEndedIterator<Item = (u64, &Known)> {
        self.all.iter().filter_map(move |event| {
            let mine = topics & (1 << event.topic) != 0;
            event.position.filter(|_| mine).map(|position| (position, event))
        })
    }

    /// The positions that the topics retain, by the rules and no more.
    fn retained(&self, topics: u8) -> Vec<u64> {
        let mut retained = Vec::new();
        for topic in 0..TOPICS.len() {
            let (count, age) = limits(topic);
            let newest = self.of(topics & (1 << topic)).rev().take(count);
            let young = newest.filter(|(_, event)| event.at + age > self.now);
            retained.extend(young.map(|(position, _)| position));
        }
        retained.sort_unstable();
        retained
    }

    /// Positions that a client connected to a log of these topics can certainly read, though they are
    /// not retained.
    fn live(&self, log: u8) -> Vec<u64> {
        self.in_live_window(self.of(log).rev()).collect()
    }

    /// Numbers of the ephemeral events that a client connected to a log of these topics must have been
    /// handed.
    fn live_ephemeral(&self, log: u8) -> Vec<usize> {
        let is_mine = |event: &Known| event.position.is_none() && log & (1 << event.topic) != 0;
        let numbered = self.all.iter().enumerate().rev();
        self.in_live_window(numbered.filter(|(_, event)| is_mine(event))).collect()
    }

    /// Those of the newest events that a live window is sure to have.
    fn in_live_window<'a, T>(
        &self,
        newest: impl Iterator<Item = (T, &'a Known)>,
    ) -> impl Iterator<Item = T> {
        let mut bytes = 0;
        let is_live = move |(_, event): &(T, &Known)| {
            bytes += event.size + 400;
            bytes <= 256 * 1024 && event.at + 10_000 > self.now
        };
        newest.take(256).take_while(is_live).map(|(key, _)| key)
    }

    fn history(&self, topics: u8, history: History) -> VecDeque<u64> {
        let mut retained = self.retained(topics);
        match history {
            History::All => {}
            History::Last(count) => drop(retained.drain(..retained.len().saturating_sub(count))),
            History::Within(age) => {
                let since = self.now.saturating_sub(age.as_millis() as u64);
                let at = |position| self.of(topics).find(|(p, _)| *p == position).unwrap().1.at;
                retained.retain(|position| at(*position) >= since);
            }
            _ => retained.clear(),
        }
        retained.into()
    }
}

/// A client and what it has to be handed next.
struct Client {
    reader: Reader,
    asked: Asked,
    /// History that is still to come.
    past: VecDeque<u64>,
    /// Then everything after this position.
    cursor: u64,
    /// Number of the last event that was handed out, plus one; ephemeral ones count from joining.
    joined: usize,
    /// From this number on, it is sure to be handed ephemeral events.
    certain: usize,
    seen: usize,
    /// Numbers of the ephemeral events that it was handed.
    ephemeral: HashSet<usize>,
    /// What it would send as its Last-Event-ID.
    last: u64,
    /// For one that is served through a cohort.
    member: Option<Member>,
}

struct Member {
    key: CohortKey,
    /// Whether it is handed what its cohort has.
    is_caught_up: bool,
}

struct Test {
    hub: Hub,
    clock: ManualClock,
    epoch: String,
    model: Model,
    clients: Vec<Client>,
    cohorts: HashMap<CohortKey, Cohort>,
}

impl Test {
    fn new() -> Self {
        let clock = ManualClock::new();
        let mut builder = Hub::builder().clock(clock.clock()).heartbeat(None).retry(None);
        for (topic, name) in TOPICS.iter().enumerate() {
            builder = builder.retain(*name, retention(topic)).unwrap();
        }
        let hub = builder.max_retained_bytes(1 << 30).build();
        let first = publish(&hub, "elsewhere", "x");
        let epoch = first.as_str().rsplit_once('-').unwrap().0.to_owned();
        // The clock begins at 1.
        let model = Model { now: 1, position: 1, all: Vec::new() };
        Self { hub, clock, epoch, model, clients: Vec::new(), cohorts: HashMap::new() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish { topic, size, times, ephemeral } => {
                (0..times).for_each(|_| self.publish(topic, size, ephemeral));
            }
            Step::Advance(millis) => {
                self.clock.advance(Duration::from_millis(millis));
                self.model.now += millis;
            }
            Step::Subscribe { asked, history, in_cohort } => {
                let past = self.model.history(asked.topics(), history);
                let subscribe = asked.subscribe(&self.hub).history(history);
                let (reader, status) = Reader::open_with_status(subscribe);
                assert_eq!(status["status"], "fresh");
                self.enter(reader, asked, past, None, in_cohort);
            }
            Step::Claim { asked, back, in_cohort } => {
                // Sometimes one of the future.
                let claim = (self.model.position + 2).saturating_sub(back);
                self.resume(asked, claim, in_cohort);
            }
            _ if self.clients.is_empty() => {}
            Step::Read { reader, chunks } => self.read(reader % self.clients.len(), chunks),
            Step::Drop { reader } => drop(self.leave(reader)),
            Step::Turn { reader } => {
                let reader = reader % self.clients.len();
                if let Some(Member { key, .. }) = self.clients[reader].member {
                    self.turn(key);
                }
            }
            Step::Stall { reader } => {
                let reader = reader % self.clients.len();
                if let Some(member) = &mut self.clients[reader].member {
                    member.is_caught_up = false;
                }
            }
            Step::Resume { reader, in_cohort } => {
                let client = self.leave(reader);
                let (asked, last) = (client.asked, client.last);
                drop(client);
                self.resume(asked, last, in_cohort);
            }
        }
    }

    fn leave(&mut self, reader: usize) -> Client {
        let client = self.clients.swap_remove(reader % self.clients.len());
        if let Some(Member { key, .. }) = client.member {
            let is_its = |other: &Client| other.member.as_ref().is_some_and(|m| m.key == key);
            if !self.clients.iter().any(is_its) {
                self.cohorts.remove(&key);
            }
        }
        client
    }

    /// Hands what a cohort has to all who are level.
    fn turn(&mut self, key: CohortKey) {
        loop {
            let (model, cohort) = (&self.model, self.cohorts.get_mut(&key).unwrap());
            match cohort.next_batch() {
                Ok(Some(batch)) => {
                    for client in
                        self.clients.iter_mut().filter(|client| client.is_caught_up_in(key))
                    {
                        cohort.mark_sent(&batch, client.reader.subscription_mut());
                        client.reader.feed(batch.bytes());
                        for message in client.reader.messages_so_far() {
                            client.check(model, &message);
                        }
                    }
                }
                Ok(None) => return,
                // Each is reset on its own.
                Err(_) => {
                    for index in 0..self.clients.len() {
                        if self.clients[index].is_caught_up_in(key) {
                            self.read(index, None);
                        }
                    }
                }
            }
        }
    }

    /// A member's next bytes, of what is for it alone. `None` when it is level.
    fn poll_member(&mut self, index: usize) -> Option<()> {
        loop {
            let client = &mut self.clients[index];
            let member = client.member.as_mut().unwrap();
            let cohort = &self.cohorts[&member.key];
            let subscription = client.reader.subscription_mut();
            let mut cx = Context::from_waker(Waker::noop());
            match cohort.poll_member(subscription, &mut cx) {
                Poll::Ready(bytes) => {
                    member.is_caught_up = false;
                    client.reader.feed(&bytes.expect("the hub is open").unwrap());
                    return Some(());
                }
                Poll::Pending if cohort.is_overtaken_by(subscription) => {
                    let key = member.key;
                    self.turn(key);
                }
                Poll::Pending => {
                    assert!(cohort.is_caught_up(subscription), "nobody would wake it");
                    member.is_caught_up = true;
                    return None;
                }
            }
        }
    }

    fn publish(&mut self, topic: usize, size: usize, ephemeral: bool) {
        let data = format!("{} {}", self.model.all.len(), "x".repeat(size));
        let position = if ephemeral {
            self.hub.publish_ephemeral(TOPICS[topic], Event::new(data)).unwrap();
            None
        } else {
            self.model.position += 1;
            let id = publish(&self.hub, TOPICS[topic], &data);
            assert_eq!(id.as_str(), format!("{}-{}", self.epoch, self.model.position));
            Some(self.model.position)
        };
        self.model.all.push(Known { topic, at: self.model.now, position, size });
    }

    fn resume(&mut self, asked: Asked, claim: u64, in_cohort: bool) {
        let id = format!("{}-{claim}", self.epoch);
        let subscribe = asked.subscribe(&self.hub).resume(after(id));
        let (reader, status) = Reader::open_with_status(subscribe);
        let topics = asked.topics();
        let missed: Vec<u64> =
            self.model.of(topics).map(|(p, _)| p).filter(|p| *p > claim).collect();
        let retained = self.model.retained(topics);
        let lost = missed.iter().any(|position| !retained.contains(position));
        match (status["status"].as_str().unwrap(), status["reason"].as_str()) {
            // A gap would show when the stream is read.
            ("resumed", None) => {
                assert!(claim <= self.model.position);
                self.enter(reader, asked, missed.into(), Some(claim), in_cohort);
            }
            ("reset", Some("unknown")) => {
                assert!(claim > self.model.position);
                self.enter(reader, asked, retained.into(), None, in_cohort);
            }
            ("reset", Some("expired" | "trimmed")) => {
                assert!(lost, "reset after {claim}, but {missed:?} are retained");
                self.enter(reader, asked, retained.into(), None, in_cohort);
            }
            other => panic!("{other:?}"),
        }
    }

    /// A client that has read its status event, whose id has to be the place before `past`.
    fn enter(
        &mut self,
        reader: Reader,
        asked: Asked,
        past: VecDeque<u64>,
        claim: Option<u64>,
        in_cohort: bool,
    ) {
        let begins = claim
            .unwrap_or_else(|| past.front().map_or(self.model.position, |position| position - 1));
        assert_eq!(reader.last_id(), format!("{}-{begins}", self.epoch), "id of the status event");
        self.clients.push(Client {
            reader,
            asked,
            past,
            cursor: self.model.position,
            joined: self.model.all.len(),
            certain: self.model.all.len(),
            seen: 0,
            ephemeral: HashSet::new(),
            last: begins,
            member: None,
        });
        if in_cohort {
            let client = self.clients.last_mut().unwrap();
            let subscription = client.reader.subscription();
            let key = CohortKey::of(subscription);
            let new = || Cohort::of(subscription, Waker::noop().clone());
            self.cohorts.entry(key).or_insert_with(new);
            client.member = Some(Member { key, is_caught_up: false });
            self.turn(key);
        }
    }

    fn read(&mut self, index: usize, chunks: Option<usize>) {
        let key = self.clients[index].member.as_ref().map(|member| member.key);
        let (model, client) = (&self.model, &mut self.clients[index]);
        if client.asked.patterns().next().is_some() && client.is_off_a_log(model) {
            // The rest is read from the topics of the patterns, as on a resume.
            client.certain = model.all.len();
        }
        let mut left = chunks.unwrap_or(usize::MAX);
        while left > 0 {
            left -= 1;
            let ended = match key {
                Some(_) => self.poll_member(index).is_none(),
                None => self.clients[index].reader.chunk().is_none(),
            };
            if let Some(key) = key.filter(|_| ended) {
                self.turn(key);
            }
            let (model, client) = (&self.model, &mut self.clients[index]);
            for message in client.reader.messages_so_far() {
                client.check(model, &message);
            }
            if ended {
                assert!(!client.reader.ended && client.reader.error.is_none());
                assert_eq!(client.next(model), None, "the reader waits, and something is there");
                let mut ephemeral = client.asked.logs().flat_map(|log| model.live_ephemeral(log));
                let missed = ephemeral
                    .find(|number| *number >= client.certain && !client.ephemeral.contains(number));
                assert_eq!(missed, None, "an ephemeral event was left out");
                break;
            }
        }
    }
}

impl Client {
    fn is_caught_up_in(&self, key: CohortKey) -> bool {
        self.member.as_ref().is_some_and(|member| member.is_caught_up && member.key == key)
    }

    /// The positions that it has to be handed still.
    fn missed(&self, model: &Model) -> impl Iterator<Item = u64> {
        let after = model.of(self.asked.topics()).map(|(p, _)| p).filter(|p| *p > self.cursor);
        self.past.iter().copied().chain(after)
    }

    /// Whether one of the logs that it is read from may not have all that it has to be handed.
    fn is_off_a_log(&self, model: &Model) -> bool {
        let is_off = |log: u8| {
            let mut kept = model.live(log);
            if log.count_ones() == 1 && self.asked.0 & log != 0 {
                kept.extend(model.retained(log));
            }
            let mut missed = model.of(log).map(|(p, _)| p).filter(|p| *p > self.cursor);
            missed.any(|position| !kept.contains(&position))
        };
        self.asked.logs().any(is_off)
    }

    /// The position that comes next.
    fn next(&self, model: &Model) -> Option<u64> {
        let live = || model.of(self.asked.topics()).map(|(p, _)| p).find(|p| *p > self.cursor);
        self.past.front().copied().or_else(live)
    }

    fn check(&mut self, model: &Model, message: &Message) {
        if message.event() == STATUS_EVENT {
            return self.check_reset(model, message);
        }
        let number: usize = message.data().split_once(' ').unwrap().0.parse().unwrap();
        let event = &model.all[number];
        assert!(self.asked.topics() & (1 << event.topic) != 0, "an event of another topic");
        assert!(number >= self.seen, "event {number} is out of order or comes twice");
        self.seen = number + 1;
        let Some(published) = event.position else {
            assert!(number >= self.joined, "an ephemeral event of the past");
            assert_eq!(
                position(message.last_event_id()),
                self.last,
                "ephemeral events do not move the cursor"
            );
            self.ephemeral.insert(number);
            return;
        };
        assert_eq!(Some(published), self.next(model), "a silent gap");
        assert_eq!(position(message.last_event_id()), published);
        if self.past.pop_front().is_none() {
            self.cursor = published;
        }
        self.last = published;
    }

    fn check_reset(&mut self, model: &Model, message: &Message) {
        let status: serde_json::Value = serde_json::from_str(message.data()).unwrap();
        assert_eq!(status["status"], "reset");
        assert!(["expired", "trimmed"].contains(&status["reason"].as_str().unwrap()));
        let retained = model.retained(self.asked.topics());
        let named = self.asked.named().flat_map(|topic| model.live(1 << topic));
        let kept: HashSet<u64> = retained.iter().copied().chain(named).collect();
        let is_lost = self.missed(model).any(|position| !kept.contains(&position));
        // A pattern's log may have what its topics do not retain.
        let is_to_be_read = self.past.is_empty() && !self.is_off_a_log(model);
        assert!(is_lost && !is_to_be_read, "a reset, and nothing is lost");
        self.past = retained.into();
        self.cursor = model.position;
        self.joined = model.all.len();
        self.certain = self.joined;
        self.seen = 0;
        self.last = self.past.front().map_or(model.position, |position| position - 1);
        assert_eq!(position(message.last_event_id()), self.last, "id of the status event");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_reader_is_handed_what_the_model_says_or_a_reset(steps in vec(step(), 1..60)) {
        let mut test = Test::new();
        steps.into_iter().for_each(|step| test.step(step));
        for index in 0..test.clients.len() {
            test.read(index, None);
        }
    }
}
