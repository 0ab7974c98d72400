//! Three hubs on one log, clients that move between them, and a log with every failure that it may have, in an
//! order that a seed decides. What each client received is compared with what the log had.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_core::Stream;
use tidings::{Decoder, Event, Hub, Message, Resume, Retention, Subscription};
use tidings_testkit::checker::{EventId, Summary, Visit, check_unfinished};
use tidings_testkit::shared_log::{SharedLog, SharedNode};

const TOPICS: [&str; 4] = ["a:1", "a:2", "b:1", "b:2"];

/// What clients subscribe to. Some of these overlap.
const ASKED: [&str; 8] = ["a:1", "a:2", "b:1", "b:2", "a:*", "b:*", "*:1", "*"];

struct Client {
    topics: Vec<&'static str>,
    stream: Option<(Pin<Box<Subscription>>, Decoder)>,
    visits: Vec<Visit>,
    waker: Arc<Flag>,
}

/// Set when a stream is woken. A stream that is not woken is not polled, so a lost wake-up is noticed.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Client {
    fn new(random: &mut Rng) -> Self {
        let count = random.usize(1..=3);
        let topics = random.choose_multiple(ASKED, count);
        Self { topics, stream: None, visits: Vec::new(), waker: Arc::new(Flag(true.into())) }
    }

    fn last_event_id(&self) -> Option<&str> {
        let messages = self.visits.iter().rev().flat_map(|visit| visit.messages.last());
        messages.map(Message::last_event_id).next()
    }

    fn connect(&mut self, hub: &Hub) {
        let claimed = self.last_event_id().map(str::to_owned);
        let resume = claimed.iter().fold(Resume::new(), |resume, id| resume.with_last_event_id(id));
        let subscribe = hub.subscribe_matching(self.topics.iter().copied());
        let stream = subscribe.resume(resume).retry(None).open().unwrap();
        self.stream = Some((Box::pin(stream), Decoder::new()));
        self.visits.push(Visit { claimed, messages: Vec::new() });
        self.waker.0.store(true, Ordering::Release);
    }

    /// Reads what there is, at most `count` times. Returns whether there may be more.
    fn read(&mut self, count: usize) -> bool {
        let Some((stream, decoder)) = &mut self.stream else { return false };
        if !self.waker.0.swap(false, Ordering::AcqRel) {
            return false;
        }
        let waker = Waker::from(self.waker.clone());
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
            let messages = std::iter::from_fn(|| decoder.next_message());
            self.visits.last_mut().unwrap().messages.extend(messages);
        }
        self.waker.0.store(true, Ordering::Release);
        true
    }

    fn has_caught_up(&self, log: &SharedLog) -> bool {
        log.newest(&self.topics).is_none_or(|newest| {
            self.last_event_id().is_some_and(|id| EventId::of(id).has(EventId::of(&newest)))
        })
    }
}

fn build(log: &SharedLog, random: &mut Rng) -> (Hub, SharedNode) {
    let link = if random.bool() { log.selective_node() } else { log.node() };
    let small = Hub::builder().retention(Retention::none()).max_retained_bytes(3_000);
    let builder = if random.bool() { small } else { Hub::builder() };
    (builder.build_on(link.clone()), link)
}

/// Returns what all clients received.
fn run(seed: u64) -> Summary {
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
            // A node is killed and restarted.
            7 => nodes[node] = build(&log, &mut random),
            8..25 => {
                let topic = TOPICS[random.usize(..TOPICS.len())];
                // Nobody waits for the outcome: the log knows what was published.
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
    while !clients.iter().all(|client| client.has_caught_up(&log)) {
        for (n, client) in clients.iter_mut().enumerate() {
            if client.stream.is_none() {
                client.connect(&nodes[n % 3].0);
            }
            while client.read(10) {}
        }
        std::thread::yield_now();
        if began.elapsed() > Duration::from_secs(20) {
            let late = clients.iter().find(|client| !client.has_caught_up(&log)).unwrap();
            panic!("seed {seed}: a client of {:?} stays at {:?}", late.topics, late.visits.last());
        }
    }
    let published = log.published();
    let mut all = Summary::default();
    for Client { topics, visits, .. } in &mut clients {
        // A fresh client may be reset first, if the history changes before its node can serve it.
        let is_reset = |message: &&Message| message.data().contains("reset");
        for visit in visits.iter_mut().filter(|visit| wipes && visit.claimed.is_none()) {
            visit.claimed = visit.messages.first().filter(is_reset).map(|_| String::new());
        }
        all += check_unfinished(&published, topics, visits)
            .unwrap_or_else(|fault| panic!("seed {seed}: {topics:?}: {fault}: {visits:?}"));
    }
    all
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_whatever_the_log_does() {
    let seeds = std::env::var("TIDINGS_CHAOS").map_or(40, |seeds| seeds.parse().unwrap());
    let mut all = Summary::default();
    for seed in 0..seeds {
        all += run(seed);
    }
    // There were many events, and most of them came without a reset.
    assert!(all.events > 10_000 && all.resets > 10 && all.resets < all.events / 4, "{all:?}");
    println!("{all:?}");
}
