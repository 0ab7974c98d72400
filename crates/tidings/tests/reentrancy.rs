//! Nothing foreign is called while the hub holds a lock: a backend, a waker and a snapshot hook that call back into the
//! hub, from each place at which the hub calls them. A lock that is held there is a deadlock, which a time limit ends.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use reader::within;
use tidings::backend::{
    Append, Appended, Epoch, Log, LogError, LogErrorKind, Origin, Page, Read, Record, Replica,
    Reply, Start,
};
use tidings::{
    Event, History, Hub, HubBuilder, Resume, Snapshot, Subscription, Topic, TopicPattern,
    clock::ManualClock,
};

/// Calls into a hub whenever it is called by it.
#[derive(Debug, Clone, Default)]
struct Caller {
    hub: Arc<Mutex<Option<Hub>>>,
    calls: Arc<AtomicUsize>,
}

thread_local! {
    /// The hub calls its callers back from their own calls. One level is enough.
    static IS_CALLING: Cell<bool> = const { Cell::new(false) };
}

impl Caller {
    fn set(&self, hub: &Hub) {
        *self.hub.lock().unwrap() = Some(hub.clone());
    }

    /// Takes every lock of the hub.
    fn call(&self) {
        let hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(hub) = hub else { return };
        // A subscription changes the hub's interests, which are told to the log, which calls again: without an end.
        if self.calls.load(Ordering::Relaxed) > 10_000 || IS_CALLING.replace(true) {
            return;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        drop(hub.metrics());
        drop(hub.health());
        hub.cluster().nodes();
        let clients = hub.clients();
        clients.list();
        clients.topics();
        clients.patterns();
        let stream = hub.subscribe(["a", "elsewhere"]).matching(["else*"]).open();
        drop(hub.publish("elsewhere", Event::new("x")));
        drop(hub.publish_ephemeral("elsewhere", Event::new("x")));
        drop(stream);
        IS_CALLING.set(false);
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::new(CallingWaker(self.clone())))
    }
}

/// Calls when it is woken, and when its last reference is dropped.
struct CallingWaker(Caller);

impl Wake for CallingWaker {
    fn wake(self: Arc<Self>) {
        self.0.call();
    }
}

impl Drop for CallingWaker {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// A log that calls the hub from each of its methods, and answers at once.
#[derive(Debug)]
struct CallingLog {
    caller: Caller,
    is_selective: bool,
    replica: Arc<Mutex<Option<Replica>>>,
}

impl Log for CallingLog {
    fn origin(&self) -> Origin {
        Origin::new(Epoch::new("one").unwrap(), 10, 10)
    }

    fn start(&self, replica: Replica) {
        *self.replica.lock().unwrap() = Some(replica);
    }

    fn append(&self, _: Append, reply: Reply<Appended>) {
        self.caller.call();
        let epoch = Epoch::new("one").unwrap();
        reply.send(Ok(Appended::new(epoch, 11, false)));
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        self.caller.call();
        let epoch = Epoch::new("two").unwrap();
        reply.send(match read.start {
            Start::After(_) => Err(LogError::new(LogErrorKind::Trimmed, "log is trimmed")),
            Start::Newest { .. } => Ok(Page::new(epoch, Vec::new(), read.to, read.to)),
        });
    }

    fn end(&self, reply: Reply<u64>) {
        self.caller.call();
        reply.send(Ok(11));
    }

    fn stop(&self) {
        self.caller.call();
    }

    fn is_shared(&self) -> bool {
        self.caller.call();
        true
    }

    fn signal(&self, _: Bytes) {
        self.caller.call();
    }

    fn is_selective(&self) -> bool {
        self.caller.call();
        self.is_selective
    }

    fn set_interest(&self, _: &TopicPattern, _: Option<u64>) {
        self.caller.call();
    }
}

/// Polls a stream until it waits or ends.
fn poll(stream: &mut Subscription, waker: &Waker) {
    let mut cx = Context::from_waker(waker);
    while let Poll::Ready(Some(_)) = Pin::new(&mut *stream).poll_next(&mut cx) {}
}

fn builder(clock: &ManualClock) -> HubBuilder {
    Hub::builder().clock(clock.clock()).heartbeat(Duration::from_secs(5))
}

/// What every hub does. `changes` are called one by one while streams wait.
fn exercise(hub: &Hub, clock: &ManualClock, caller: &Caller, changes: &[&dyn Fn()]) {
    let resume = |position: u64| Resume::new().with_last_event_id(format!("one-{position}"));
    let subscribe = |resume| hub.subscribe(["a", "b"]).matching(["*"]).resume(resume);
    let mut streams = vec![
        hub.subscribe(["a"]).open().unwrap(),
        hub.subscribe(["a"]).history(History::All).principal("ada").open().unwrap(),
        subscribe(resume(3)).open().unwrap(),
        subscribe(resume(11)).open().unwrap(),
        subscribe(resume(99)).open().unwrap(),
    ];
    let hook = caller.clone();
    let snapshot = hub.subscribe(["a"]).snapshot(move || {
        hook.call();
        let hook = hook.clone();
        async move {
            hook.call();
            Ok(Snapshot::default())
        }
    });
    streams.push(snapshot.open().unwrap());
    for change in changes {
        // A new waker for each: the old one is dropped, which calls, too.
        streams.iter_mut().for_each(|stream| poll(stream, &caller.waker()));
        change();
    }
    for _ in 0..20 {
        streams.iter_mut().for_each(|stream| poll(stream, &caller.waker()));
        clock.advance(Duration::from_secs(1));
    }
    hub.clients().close_principal("ada");
    let mut publish = Box::pin(hub.publish("a", Event::new("last")));
    let _ = Future::poll(publish.as_mut(), &mut Context::from_waker(&caller.waker()));
    clock.advance(Duration::from_secs(1_000));
    drop(publish);
    hub.close();
    streams.iter_mut().for_each(|stream| poll(stream, &caller.waker()));
}

#[test]
fn a_hub_in_memory_calls_nothing_foreign_under_a_lock() {
    within(30, || {
        let (clock, caller) = (ManualClock::new(), Caller::default());
        let hub = builder(&clock).max_retained_bytes(500_000).pinned_limit(50_000).build();
        caller.set(&hub);
        let publish = |topic: &str, data: String| {
            let publish = hub.publish(topic, Event::new(data));
            publish.wait().unwrap();
        };
        exercise(
            &hub,
            &clock,
            &caller,
            &[
                &|| publish("a", "x".to_owned()),
                &|| {
                    hub.publish_ephemeral("b", Event::new("x")).unwrap();
                },
                &|| (0..600).for_each(|n| publish(&format!("t{n}"), "x".repeat(1_000))),
                // Streams keep the rest of the first when the others evict it, and are cut.
                &|| publish("a", "x".repeat(100_000)),
                &|| (0..4).for_each(|_| publish("b", "x".repeat(100_000))),
            ],
        );
        assert!(caller.calls.load(Ordering::Relaxed) > 50);
        assert!(hub.metrics().streams_cut > 0);
        caller.hub.lock().unwrap().take();
    });
}

#[test]
fn a_replica_calls_nothing_foreign_under_a_lock() {
    for is_selective in [false, true] {
        within(30, move || {
            let (clock, caller) = (ManualClock::new(), Caller::default());
            let replica = Arc::<Mutex<Option<Replica>>>::default();
            let log = CallingLog { caller: caller.clone(), is_selective, replica: replica.clone() };
            let hub = builder(&clock).build_on(log);
            caller.set(&hub);
            let replica = replica.lock().unwrap().clone().unwrap();
            let deliver = |position| {
                let topic = Topic::new("a").unwrap();
                let record = Record::new(position, 0, topic, Event::new("x"));
                replica.deliver(record).unwrap();
            };
            let names = ["a", "b", "*"].map(|name| TopicPattern::new(name).unwrap());
            let restart = |epoch: &str, position| {
                let epoch = Epoch::new(epoch).unwrap();
                replica.restart(Origin::new(epoch, position, position)).unwrap();
            };
            exercise(
                &hub,
                &clock,
                &caller,
                &[
                    &|| replica.link(Ok(())).unwrap(),
                    // The numbers of the first interests, whatever they name.
                    &|| {
                        let numbers = (1..20).flat_map(|n| names.iter().map(move |name| (name, n)));
                        replica.followed(numbers, 10).unwrap();
                    },
                    &|| (11..15).for_each(deliver),
                    &|| replica.reached(15).unwrap(),
                    &|| restart("one", 20),
                    &|| (21..25).for_each(deliver),
                    &|| restart("two", 3),
                    &|| replica.caught_up().unwrap(),
                ],
            );
            assert!(caller.calls.load(Ordering::Relaxed) > 50);
            caller.hub.lock().unwrap().take();
            drop(hub);
        });
    }
}
