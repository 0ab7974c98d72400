//! Three hubs on one log, clients that hop between them, and a log that fails in every way that it can, in an
//! order that a seed decides. What the clients saw is compared with what the log had.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_core::Stream;
use tidings::{Decoder, Event, Hub, Message, Resume, Retention, STATUS_EVENT, Subscription};
use tidings_testkit::checker::is_of;
use tidings_testkit::shared_log::{SharedLog, SharedNode};

const TOPICS: [&str; 4] = ["a:1", "a:2", "b:1", "b:2"];

/// What clients ask for, some of it more than once.
const ASKED: [&str; 8] = ["a:1", "a:2", "b:1", "b:2", "a:*", "b:*", "*:1", "*"];

/// Every event that a log ever had, by epoch and in order, as id and topic.
#[derive(Default)]
struct Truth(HashMap<String, Vec<(u64, String)>>);

impl Truth {
    fn of(log: &SharedLog) -> Self {
        let mut truth = Self::default();
        for (epoch, position, topic) in log.ever() {
            truth.0.entry(epoch).or_default().push((position, topic));
        }
        truth
    }

    /// The events behind a place.
    fn after(&self, epoch: &str, position: u64, topics: &[&str]) -> impl Iterator<Item = u64> {
        let events = self.0.get(epoch).map_or(&[][..], Vec::as_slice);
        let events = events.iter().filter(move |(at, _)| *at > position);
        events.filter(|(_, topic)| is_of(topics, topic)).map(|(at, _)| *at)
    }
}

fn parts(id: &str) -> (&str, u64) {
    let (epoch, position) = id.rsplit_once('-').unwrap();
    (epoch, position.parse().unwrap())
}

struct Client {
    topics: Vec<&'static str>,
    stream: Option<(Pin<Box<Subscription>>, Decoder)>,
    seen: Vec<Message>,
    woken: Arc<Woken>,
}

/// Notes that it was woken, so that a stream which is not is not polled, and its loss is noticed.
struct Woken(std::sync::atomic::AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Release);
    }
}

impl Client {
    fn new(random: &mut Rng) -> Self {
        let count = random.usize(1..=3);
        let topics = random.choose_multiple(ASKED, count);
        let woken = Arc::new(Woken(true.into()));
        Self { topics, stream: None, seen: Vec::new(), woken }
    }

    fn last_event_id(&self) -> Option<&str> {
        self.seen.last().map(Message::last_event_id)
    }

    fn connect(&mut self, hub: &Hub) {
        let resume = Resume::new();
        let resume = match self.last_event_id() {
            Some(id) => resume.with_last_event_id(id),
            None => resume,
        };
        let (families, topics): (Vec<_>, Vec<_>) =
            self.topics.iter().copied().partition(|name| name.contains('*'));
        let subscribe = hub.subscribe(topics).matching(families).resume(resume).retry(None);
        self.stream = Some((Box::pin(subscribe.open().unwrap()), Decoder::new()));
        self.woken.0.store(true, std::sync::atomic::Ordering::Release);
    }

    /// Reads what there is, at most `count` times. Returns whether there was anything.
    fn read(&mut self, count: usize) -> bool {
        let Some((stream, decoder)) = &mut self.stream else { return false };
        if !self.woken.0.swap(false, std::sync::atomic::Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(self.woken.clone());
        let mut cx = Context::from_waker(&waker);
        for _ in 0..count {
            match stream.as_mut().poll_next(&mut cx) {
                Poll::Ready(Some(bytes)) => decoder.feed(&bytes.unwrap()).unwrap(),
                Poll::Ready(None) => {
                    self.stream = None;
                    return true;
                }
                Poll::Pending => return false,
            }
            while let Some(message) = decoder.next_message() {
                self.seen.push(message);
            }
        }
        // It may have more.
        self.woken.0.store(true, std::sync::atomic::Ordering::Release);
        true
    }

    /// Compares what was seen with what there was.
    fn judge(&self, truth: &Truth) -> Result<usize, String> {
        let mut resets = 0;
        let mut place: Option<(&str, u64)> = None;
        for message in &self.seen {
            let id = message.last_event_id();
            let (epoch, position) = parts(id);
            if message.event() == STATUS_EVENT {
                let is_reset = message.data().contains("reset");
                resets += usize::from(is_reset);
                let is_resumed = message.data().contains("resumed");
                if is_resumed && place != Some((epoch, position)) {
                    return Err(format!("resumed at {id}, and stood at {place:?}"));
                }
                place = Some((epoch, position));
                continue;
            }
            let Some((at_epoch, at)) = place else { return Err(format!("no status before {id}")) };
            let expected = truth.after(at_epoch, at, &self.topics).next();
            if at_epoch != epoch || expected != Some(position) {
                return Err(format!("{id} behind {at_epoch}-{at}, where {expected:?} is next"));
            }
            let (_, topic) = message.data().split_once(' ').unwrap();
            if !is_of(&self.topics, topic) {
                return Err(format!("{id} is of {topic}"));
            }
            place = Some((epoch, position));
        }
        Ok(resets)
    }

    fn has_all(&self, log: &SharedLog) -> bool {
        let newest = log.newest(&self.topics);
        match (self.last_event_id(), newest) {
            (Some(id), Some((epoch, position))) => {
                let (at_epoch, at) = parts(id);
                at_epoch == epoch && at >= position
            }
            (_, newest) => newest.is_none(),
        }
    }
}

fn build(log: &SharedLog, random: &mut Rng) -> (Hub, SharedNode) {
    let link = if random.bool() { log.selective_node() } else { log.node() };
    let small = Hub::builder().retention(Retention::none()).max_retained_bytes(3_000);
    let builder = if random.bool() { small } else { Hub::builder() };
    (builder.build_on(link.clone()), link)
}

/// Returns the number of events and of resets.
fn run(seed: u64) -> (usize, usize) {
    let mut random = Rng::with_seed(seed);
    let log = SharedLog::new();
    log.replay(random.usize(0..50));
    let mut nodes: Vec<_> = (0..3).map(|_| build(&log, &mut random)).collect();
    let mut clients: Vec<_> = (0..8).map(|_| Client::new(&mut random)).collect();
    let wipes = random.bool();
    for n in 0..400 {
        let node = random.usize(..nodes.len());
        match random.usize(..40) {
            0 => nodes[node].1.cut(),
            1 => nodes[node].1.hold(),
            2..5 => {
                nodes[node].1.mend();
                nodes[node].1.release();
            }
            5 => log.trim(random.usize(0..40)),
            6 if wipes && random.usize(..4) == 0 => log.wipe(),
            // A node is killed, and comes back.
            7 => nodes[node] = build(&log, &mut random),
            8..25 => {
                let topic = TOPICS[random.usize(..TOPICS.len())];
                // Most of them are not refused: the log has the truth.
                drop(nodes[node].0.publish(topic, Event::new(format!("{n} {topic}"))));
            }
            25..28 => {
                let client = random.usize(..clients.len());
                clients[client].stream = None;
            }
            _ => {}
        }
        for client in &mut clients {
            if client.stream.is_none() && random.usize(..4) == 0 {
                client.connect(&nodes[random.usize(..nodes.len())].0);
            }
            client.read(random.usize(..4));
        }
        if random.usize(..5) == 0 {
            std::thread::yield_now();
        }
    }
    for (_, link) in &nodes {
        link.mend();
        link.release();
    }
    let began = Instant::now();
    while !clients.iter().all(|client| client.has_all(&log)) {
        for (n, client) in clients.iter_mut().enumerate() {
            if client.stream.is_none() {
                client.connect(&nodes[n % 3].0);
            }
            while client.read(10) {}
        }
        std::thread::yield_now();
        if began.elapsed() > Duration::from_secs(20) {
            let late = clients.iter().find(|client| !client.has_all(&log)).unwrap();
            panic!("seed {seed}: a client of {:?} stays at {:?}", late.topics, late.seen.last());
        }
    }
    let truth = Truth::of(&log);
    let mut resets = 0;
    let mut events = 0;
    for client in &clients {
        events += client.seen.len();
        resets += client.judge(&truth).unwrap_or_else(|fault| {
            panic!("seed {seed}: {:?}: {fault}: {:?}", client.topics, client.seen)
        });
    }
    (events, resets)
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_the_log_does() {
    let seeds = std::env::var("TIDINGS_CHAOS").ok();
    let seeds = seeds.map_or(0..40, |seeds| seeds.parse().map(|n| 0..n).unwrap());
    let (mut events, mut resets) = (0, 0);
    for seed in seeds {
        let (more_events, more_resets) = run(seed);
        events += more_events;
        resets += more_resets;
    }
    // There was something to see, and not all of it was resets.
    assert!(events > 10_000 && resets > 10 && resets < events / 4, "{events} {resets}");
    println!("{events} events, {resets} resets");
}

#[test]
fn the_judge_sees_what_is_wrong() {
    the_judge_sees_what_is_wrong_for(vec!["a:1", "b:1"]);
    the_judge_sees_what_is_wrong_for(vec!["*:1", "b:*"]);
}

fn the_judge_sees_what_is_wrong_for(topics: Vec<&'static str>) {
    let log = SharedLog::new();
    let (hub, _) = (Hub::builder().build_on(log.node()), ());
    let mut random = Rng::with_seed(1);
    let mut client = Client::new(&mut random);
    client.topics = topics;
    client.connect(&hub);
    client.read(1);
    for n in 0..20 {
        let topic = TOPICS[n % 3];
        hub.publish(topic, Event::new(format!("{n} {topic}"))).wait().unwrap();
    }
    while !client.has_all(&log) {
        client.read(10);
    }
    let truth = Truth::of(&log);
    assert_eq!(client.judge(&truth), Ok(0));
    let good = client.seen.clone();
    let judge = |client: &mut Client, seen: Vec<Message>| {
        client.seen = seen;
        client.judge(&truth)
    };
    let mut dropped = good.clone();
    dropped.remove(5);
    assert!(judge(&mut client, dropped).is_err());
    let mut doubled = good.clone();
    doubled.insert(5, good[5].clone());
    assert!(judge(&mut client, doubled).is_err());
    let mut swapped = good.clone();
    swapped.swap(5, 6);
    assert!(judge(&mut client, swapped).is_err());
    client.topics = vec!["a:*"];
    assert!(judge(&mut client, good).is_err());
}
