//! Streams that end leave nothing.

use super::*;
use crate::Retention;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A subscription that waits, and how often it is woken.
fn waiting(hub: &Hub, topics: &[&str]) -> (Subscription, Arc<Wakes>) {
    wait(Client::new(hub, topics).0.stream)
}

fn wait(mut stream: Subscription) -> (Subscription, Arc<Wakes>) {
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(wakes.clone());
    assert!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker)).is_pending());
    (stream, wakes)
}

fn assert_nothing_is_left(hub: &Hub) {
    assert_eq!((hub.clients().patterns(), hub.clients().topics()), (vec![], vec![]));
    assert_eq!(hub.shared().journal.lock().index_sizes(), (0, 0));
}

/// Nobody is subscribed, and nobody waits.
fn assert_nobody_is_left(hub: &Hub, topics: &[&str]) {
    assert_eq!(hub.clients().count(), 0);
    let shared = hub.shared();
    for topic in topics {
        if let Some(log) = shared.journal.lock().log(topic) {
            let state = log.lock();
            assert_eq!((state.subscribers, state.waiting()), (0, 0), "{topic}");
        }
    }
    // The thread that wakes may not have got round to those it was given.
    while shared.feeds.len() > 0 {
        thread::yield_now();
    }
}

#[test]
fn a_subscriber_that_is_dropped_while_a_publish_takes_the_list_leaves_nothing() {
    explore(|| {
        let hub = hub().build();
        let (first, wakes) = waiting(&hub, &["a", "b"]);
        let (second, _) = waiting(&hub, &["a", "b"]);
        let leaving = [first, second].map(|stream| spawn(move || drop(stream)));
        publish(&hub, "a", "x").expect("it is open");
        join(leaving);
        assert_nobody_is_left(&hub, &["a", "b"]);
        // Those who have gone are not woken any more.
        let woken = wakes.0.load(Ordering::Relaxed);
        publish(&hub, "a", "x").expect("it is open");
        publish(&hub, "b", "x").expect("it is open");
        assert!(woken <= 1 && wakes.0.load(Ordering::Relaxed) == woken);
    });
}

#[test]
fn streams_that_are_dropped_before_they_run_do_not_keep_others_from_being_woken() {
    explore(|| {
        let hub = hub().build();
        // More than may be awake.
        let leaving = [(); 3].map(|()| waiting(&hub, &["a"]).0);
        let (mut stays, _) = Client::new(&hub, &["a"]);
        let staying = spawn(move || stays.expect(1..=1));
        publish(&hub, "a", "x").expect("it is open");
        join(leaving.map(|stream| spawn(move || drop(stream))));
        join([staying]);
    });
}

/// The last client of what retains nothing leaves, and another one comes, while three events are published.
pub(super) fn come_and_go(join_in: fn(&Hub) -> (Client, u64), topics: [&'static str; 3]) {
    let hub = hub().retention(Retention::none()).build();
    let last = wait(join_in(&hub).0.stream).0;
    let leaving = spawn(move || drop(last));
    let joining = spawn_with(&hub, move |hub| {
        let (mut client, begin) = join_in(&hub);
        client.expect(begin + 1..=3);
    });
    for topic in topics {
        publish(&hub, topic, "x").expect("it is open");
    }
    join([leaving, joining]);
    assert_nobody_is_left(&hub, &topics);
    assert_nothing_is_left(&hub);
}

#[test]
fn a_topic_that_vanishes_and_comes_back_hides_no_event() {
    explore(|| come_and_go(|hub| Client::new(hub, &["a"]), ["a"; 3]));
}

#[test]
fn a_client_that_comes_back_to_a_vanished_topic_is_reset() {
    explore(|| {
        let hub = hub().retention(Retention::none()).build();
        let (Client { stream, .. }, begin) = Client::new(&hub, &["a"]);
        let id = hub.shared().epoch().id(begin);
        let leaving = spawn(move || drop(stream));
        publish(&hub, "a", "x").expect("it is open");
        join([leaving]);
        let resume = crate::Resume::new().with_last_event_id(id.as_str());
        let stream = hub.subscribe(["a"]).resume(resume).open().expect("a good topic");
        assert!(matches!(stream.status(), crate::Status::Reset(_)), "{:?}", stream.status());
    });
}

#[test]
fn two_that_leave_at_once_leave_nothing() {
    explore(|| {
        let hub = hub().retention(Retention::none()).build();
        let streams = [waiting(&hub, &["a", "b"]).0, waiting(&hub, &["b"]).0];
        publish(&hub, "b", "x").expect("it is open");
        join(streams.map(|stream| spawn(move || drop(stream))));
        assert_nobody_is_left(&hub, &["a", "b"]);
        assert_nothing_is_left(&hub);
    });
}

/// Whoever looks while two topics come finds one of them at some moment, and so while they go.
#[test]
fn a_subscription_enters_and_leaves_its_topics_in_steps() {
    use std::sync::atomic::AtomicBool;

    static SEEN: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

    explore(|| {
        let hub = hub().build();
        let look = |seen: &'static AtomicBool| {
            spawn_with(&hub, |hub| {
                if hub.metrics().topics == 1 {
                    seen.store(true, Ordering::Relaxed);
                }
            })
        };
        let looking = look(&SEEN[0]);
        let client = Client::new(&hub, &["a", "b"]);
        join([looking]);
        let looking = look(&SEEN[1]);
        drop(client);
        join([looking]);
        assert_nothing_is_left(&hub);
    });
    assert!(SEEN.iter().all(|seen| seen.load(Ordering::Relaxed)), "{SEEN:?}");
}
