//! Models of concurrency: shuttle runs the core itself with one interleaving after the other. A lost wake-up shows as a
//! deadlock. docs/CONTRIBUTING.md says how to run them, and how to run a schedule again.

mod cohort;
mod delivery;
mod finish;
mod leaving;
mod past;
mod patterns;
mod presence;
mod replica;

use std::future::poll_fn;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use shuttle::Runner;
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::{self, JoinHandle};

use crate::{
    Decoder, Event, Hub, HubBuilder, Message, STATUS_EVENT, Subscribe, Subscription,
    clock::ManualClock, error::StreamError,
};

fn set<T: FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.trim().parse().unwrap_or_else(|_| panic!("{name} cannot be {value:?}")))
}

/// Runs a model under many schedules: half of them random, half of them with few changes of
/// thread, which find what random ones rarely do.
fn explore(model: fn()) {
    let run = move || {
        // Or it would not be the same again.
        fastrand::seed(1);
        model();
    };
    if let Some(schedule) = set::<String>("TIDINGS_MODEL_REPLAY") {
        return shuttle::replay(run, &schedule);
    }
    let iterations = set("TIDINGS_MODEL_ITERATIONS").unwrap_or(1_000);
    let seed = set("TIDINGS_MODEL_SEED").unwrap_or(1);
    let _hint = Hint;
    let config = || {
        let mut config = shuttle::Config::new();
        // That it takes all atomics for sequentially consistent.
        config.silence_warnings = true;
        config
    };
    Runner::new(RandomScheduler::new_from_seed(seed, iterations), config()).run(run);
    Runner::new(PctScheduler::new_from_seed(seed, 3, iterations), config()).run(run);
}

/// Says how to run a schedule again.
struct Hint;

impl Drop for Hint {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with TIDINGS_MODEL_REPLAY set to the schedule above, this test replays it");
        }
    }
}

/// A hub whose time stands still, without heartbeats.
fn hub() -> HubBuilder {
    Hub::builder().clock(ManualClock::new().clock()).heartbeat(None).retry(None)
}

/// Publishes, and returns the event's position; `None` when the hub is closed.
fn publish(hub: &Hub, topic: &str, data: &str) -> Option<u64> {
    let published = hub.publish(topic, Event::new(data)).wait().ok()?;
    Some(position(published.id().as_str()))
}

fn position(id: &str) -> u64 {
    id.rsplit_once('-').expect("an id of a hub").1.parse().expect("a position")
}

/// A client that blocks its thread while it waits.
struct Client {
    stream: Subscription,
    decoder: Decoder,
}

impl Client {
    /// A client of these topics, and the position after which its events begin.
    fn new(hub: &Hub, topics: &[&str]) -> (Self, u64) {
        Self::of(hub.subscribe(topics.iter().copied()))
    }

    fn of(subscribe: Subscribe) -> (Self, u64) {
        let stream = subscribe.open().expect("good topics");
        let mut client = Self { stream, decoder: Decoder::new() };
        let status = client.next().expect("a status event");
        assert_eq!(status.event(), STATUS_EVENT);
        (client, position(status.last_event_id()))
    }

    /// The next message; `None` at the end. Comments are left out.
    fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.next_message() {
                return Some(message);
            }
            self.bytes()?;
        }
    }

    /// The next bytes, as text, which are also decoded.
    fn bytes(&mut self) -> Option<String> {
        let next = block_on(poll_fn(|cx| {
            // Servers also poll when nothing has woken them.
            match poll(&mut self.stream, cx) {
                Poll::Pending if thread_rng().gen_bool(0.5) => poll(&mut self.stream, cx),
                next => next,
            }
        }));
        let bytes = next?.expect("no snapshot that could fail");
        self.decoder.feed(&bytes).expect("an event of a sane size");
        Some(String::from_utf8(bytes.to_vec()).expect("text"))
    }

    /// The next events have these positions.
    #[track_caller]
    fn expect(&mut self, positions: impl IntoIterator<Item = u64>) {
        for position in positions {
            assert_eq!(self.next_position(), Some(position));
        }
    }

    /// The next one's position; a status event is a failure.
    fn next_position(&mut self) -> Option<u64> {
        let message = self.next()?;
        assert_ne!(message.event(), STATUS_EVENT, "nothing is lost here");
        Some(position(message.last_event_id()))
    }
}

/// Polls as any server does, or as hyper does, which has a way of its own.
fn poll(stream: &mut Subscription, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
    #[cfg(feature = "http-body")]
    if thread_rng().gen_bool(0.5) {
        return stream.poll_data(cx);
    }
    Pin::new(stream).poll_next(cx)
}

type Chunk = Result<bytes::Bytes, StreamError>;

fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::spawn(run)
}

/// Runs something on a thread that has its own handle to a hub.
fn spawn_with<T: Send + 'static>(
    hub: &Hub,
    run: impl FnOnce(Hub) -> T + Send + 'static,
) -> JoinHandle<T> {
    let hub = hub.clone();
    spawn(move || run(hub))
}

/// Publishes an event to each of these topics, on a thread.
fn publishing<const N: usize>(hub: &Hub, topics: [&'static str; N]) -> JoinHandle<()> {
    spawn_with(hub, move |hub| {
        for topic in topics {
            publish(&hub, topic, "x").expect("it is open");
        }
    })
}

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
}
