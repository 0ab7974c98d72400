//! Real threads: what holds for one client holds while everything happens at once.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
#[cfg(not(feature = "http-body"))]
use futures_core::Stream;
use reader::{Reader, after, position, publish, within};
use tidings::{
    Decoder, Event, History, Hub, Message, Retention, STATUS_EVENT, Subscribe, Subscription,
    error::StreamError,
};

/// A client on a thread of its own, which sleeps while its stream waits.
struct Client {
    subscription: Pin<Box<Subscription>>,
    decoder: Decoder,
}

impl Client {
    fn open(subscribe: Subscribe) -> Self {
        Self { subscription: Box::pin(subscribe.open().unwrap()), decoder: Decoder::new() }
    }

    /// The next message; `None` at the end.
    fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.next_message() {
                return Some(message);
            }
            // Only a wake-up goes on: a lost one is a test that does not end.
            let bytes = futures_executor::block_on(poll_fn(|cx| self.poll(cx)))?;
            self.decoder.feed(&bytes.unwrap()).unwrap();
        }
    }

    /// Polls as hyper does, where that is there, which asks once more whether it is pending.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        #[cfg(feature = "http-body")]
        {
            let subscription = self.subscription.as_mut().get_mut();
            match subscription.poll_data(cx) {
                Poll::Pending => subscription.poll_data(cx),
                next => next,
            }
        }
        #[cfg(not(feature = "http-body"))]
        self.subscription.as_mut().poll_next(cx)
    }

    fn next_status(&mut self) -> serde_json::Value {
        let message = self.next().unwrap();
        assert_eq!(message.event(), STATUS_EVENT);
        serde_json::from_str(message.data()).unwrap()
    }
}

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

/// Publishes at random. Returns each position with its event's data: `<topic>.<seed>.<count>.xxx`.
fn publish_at_random(hub: &Hub, seed: u64) -> Vec<(u64, String)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut published = Vec::new();
    for n in 0..5_000 {
        let topic = TOPICS[random.usize(..TOPICS.len())];
        let largest = if random.u32(..100) == 0 { 100_000 } else { 200 };
        let data = format!("{topic}.{seed}.{n}.{}", "x".repeat(random.usize(..largest)));
        published.push((position(publish(hub, topic, &data).as_str()), data));
        if random.u32(..50) == 0 {
            hub.publish_ephemeral(topic, Event::named("ephemeral", "e").unwrap()).unwrap();
        }
        if random.u32(..20) == 0 {
            thread::yield_now();
        }
    }
    published
}

/// Readers join, read, drop and resume at random while publishers publish. Each stitches together
/// what its connections gave it: that is a part of the hub's order without gap and without double.
#[test]
fn readers_that_come_and_go_see_one_order_without_gap_or_double() {
    within(60, || {
        let hub = Hub::builder()
            .retention(Retention::default().events(1_000_000).bytes(1 << 30))
            .max_retained_bytes(1 << 30)
            .build();
        let publishers = [0, 1, 2, 3].map(|seed| {
            let hub = hub.clone();
            thread::spawn(move || publish_at_random(&hub, seed))
        });
        let readers: Vec<_> = (0..8_u64)
            .map(|seed| {
                let hub = hub.clone();
                thread::spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let topics: Vec<_> =
                        TOPICS.into_iter().filter(|_| random.bool()).chain(["a"]).collect();
                    let mut seen: Vec<(u64, String)> = Vec::new();
                    let first = hub.subscribe(topics.clone()).history(History::All);
                    let mut client = Client::open(first);
                    assert_eq!(client.next_status()["status"], "fresh");
                    let mut left = random.usize(..2_000);
                    while let Some(message) = client.next() {
                        if message.event() == "ephemeral" {
                            continue;
                        }
                        assert_ne!(message.event(), STATUS_EVENT, "{message:?}");
                        seen.push((position(message.last_event_id()), message.data().to_owned()));
                        left -= 1.min(left);
                        if left == 0 {
                            left = random.usize(..2_000);
                            // The rest of the chunk was never seen.
                            let resume = after(message.last_event_id());
                            // Sometimes the last thing that the client saw is the status event.
                            for _ in 0..random.usize(1..3) {
                                let subscribe =
                                    hub.subscribe(topics.clone()).resume(resume.clone());
                                drop(client);
                                client = Client::open(subscribe);
                                assert_eq!(client.next_status()["status"], "resumed");
                            }
                        }
                    }
                    (topics, seen)
                })
            })
            .collect();
        let mut all: Vec<_> =
            publishers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        all.sort();
        assert!(all.iter().map(|(position, _)| *position).eq(1..=all.len() as u64));
        hub.close();
        for reader in readers {
            let (topics, seen) = reader.join().unwrap();
            let expected: Vec<_> = all
                .iter()
                .filter(|(_, data)| topics.contains(&data.split_once('.').unwrap().0))
                .cloned()
                .collect();
            let differs = seen.iter().zip(&expected).position(|(a, b)| a != b);
            assert!(
                seen == expected,
                "{} of {}, differs at {differs:?}",
                seen.len(),
                expected.len()
            );
        }
    });
}

/// The logs are short, so that readers lose their place all the time. Between two resets nothing
/// is missing, whenever the loss happened: at the moment of connecting too.
#[test]
fn a_gap_is_never_silent() {
    within(60, || {
        let hub = Hub::builder().retention(Retention::default().events(300)).build();
        // Nobody's live window: the log is full and every event throws one out.
        let stop = Arc::new(AtomicBool::new(false));
        let publishers: Vec<_> = (0..2)
            .map(|_| {
                let (hub, stop) = (hub.clone(), stop.clone());
                thread::spawn(move || {
                    let mut count = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        count += 1;
                        publish(&hub, "a", "x");
                    }
                    count
                })
            })
            .collect();
        let until = Instant::now() + Duration::from_secs(2);
        let (mut resumed, mut reset) = (0, 0);
        let mut epoch = None;
        let mut random = fastrand::Rng::with_seed(3);
        let newest = || publish(&hub, "a", "x").to_string();
        while Instant::now() < until {
            let id = newest();
            let (name, now) = id.rsplit_once('-').unwrap();
            epoch.get_or_insert(name.to_owned());
            // Around the end of what is retained, where a moment decides.
            let claim = now.parse::<u64>().unwrap().saturating_sub(random.u64(260..305));
            let resume = after(format!("{name}-{claim}"));
            let mut client = Client::open(hub.subscribe(["a"]).resume(resume));
            let status = client.next_status();
            let mut last = match status["status"].as_str().unwrap() {
                "resumed" => {
                    resumed += 1;
                    claim
                }
                "reset" => {
                    reset += 1;
                    position(client.decoder.last_event_id())
                }
                other => panic!("{other}"),
            };
            let messages = if random.u32(..50) == 0 { 500 } else { 1 };
            for _ in 0..messages {
                let message = client.next().unwrap();
                if message.event() != STATUS_EVENT {
                    assert_eq!(
                        position(message.last_event_id()),
                        last + 1,
                        "a silent gap, or a double"
                    );
                }
                last = position(message.last_event_id());
            }
        }
        stop.store(true, Ordering::Relaxed);
        let published: u64 = publishers.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(resumed > 0 && reset > 0, "{resumed} resumed, {reset} reset, {published} events");
    });
}

/// All that can be asked and done is, at once: for deadlocks.
#[test]
fn everything_at_once_ends_and_leaves_nothing() {
    within(60, || {
        let hub = Hub::builder()
            .retention(Retention::default().events(50).age(Duration::from_millis(100)))
            .max_retained_bytes(200_000)
            .heartbeat(Duration::from_millis(50))
            .build();
        let until = Instant::now() + Duration::from_secs(2);
        let threads: Vec<_> = (0..6_u64)
            .map(|seed| {
                let hub = hub.clone();
                thread::spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut readers: HashMap<u32, Reader> = HashMap::new();
                    while Instant::now() < until {
                        let topic = format!("t{}", random.u32(..20));
                        let data = "x".repeat(random.usize(..5_000));
                        let key = random.u32(..30);
                        match random.u32(..12) {
                            0..4 => {
                                drop(hub.publish(topic.as_str(), Event::new(data)).wait().unwrap())
                            }
                            4 => drop(
                                hub.publish_ephemeral(topic.as_str(), Event::new(data)).unwrap(),
                            ),
                            5 => {
                                let subscribe = hub.subscribe([topic.as_str(), "t1", "t2"]);
                                let subscribe = subscribe.principal(key).history(History::All);
                                readers.insert(key, Reader::open(subscribe));
                            }
                            6 => drop(readers.remove(&key)),
                            7..10 => drop(readers.get_mut(&key).map(Reader::bytes)),
                            10 => drop((hub.clients().list(), hub.clients().topics())),
                            _ => drop(hub.clients().close_principal(&key.to_string())),
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(hub.clients().count(), 0);
    });
}
