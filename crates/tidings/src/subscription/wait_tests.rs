//! A publisher comes in between a stream's last look and its wait, for each topic and each state
//! that the wait lists can be in: the stream is woken, or has not begun to wait.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::Subscription;
use crate::event::Event;
use crate::hub::Hub;
use crate::log::feed::test_hook;
use crate::waking::{Waiter, Waking};

type Hook = Box<dyn FnOnce()>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Called by a stream that has found nothing, before its waker is registered.
pub(super) fn before_waiting() {
    if let Some(hook) = HOOK.take() {
        hook();
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(stream: &mut Subscription, wakes: &Arc<Wakes>) -> Option<String> {
    let waker = Waker::from(wakes.clone());
    match Pin::new(stream).poll_next(&mut Context::from_waker(&waker)) {
        Poll::Ready(Some(Ok(bytes))) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
        Poll::Ready(_) => panic!("it neither ends nor fails"),
        Poll::Pending => None,
    }
}

fn publish(hub: &Hub, topic: &'static str) {
    hub.publish(topic, Event::new(topic)).wait().unwrap();
}

#[test]
fn an_event_between_the_last_look_and_the_wait_is_not_missed() {
    const TOPICS: [&str; 3] = ["a", "b", "c"];
    // What was read before the stream waits again; and what comes in between.
    let before: [&[&'static str]; 5] = [&[], &["a"], &["c"], &["a", "b"], &["b", "b"]];
    for first in before {
        for waited in [false, true] {
            for between in TOPICS {
                let hub = Hub::builder().retry(None).build();
                let mut stream = hub.subscribe(TOPICS).status(false).open().unwrap();
                let wakes = Arc::new(Wakes::default());
                assert!(poll(&mut stream, &wakes).is_some(), "the first bytes");
                if waited {
                    assert!(poll(&mut stream, &wakes).is_none());
                }
                first.iter().for_each(|topic| publish(&hub, topic));
                if !first.is_empty() {
                    assert!(poll(&mut stream, &wakes).is_some(), "what was published first");
                }
                let woken = wakes.0.load(Ordering::Relaxed);
                let publisher = hub.clone();
                HOOK.set(Some(Box::new(move || publish(&publisher, between))));
                let mut next = poll(&mut stream, &wakes);
                // A stream that waits already does not look again.
                before_waiting();
                if next.is_none() && wakes.0.load(Ordering::Relaxed) > woken {
                    next = poll(&mut stream, &wakes);
                }
                let expected = format!("data: {between}\n");
                let came = next.is_some_and(|bytes| bytes.starts_with(&expected));
                assert!(came, "{first:?} {waited} {between}");
            }
        }
    }
}

#[test]
fn an_event_of_a_list_that_was_just_joined_is_not_forgotten() {
    let hub = Hub::builder().retry(None).build();
    publish(&hub, "elsewhere");
    let mut stream = hub.subscribe(["a", "b"]).status(false).open().unwrap();
    let wakes = Arc::new(Wakes::default());
    assert!(poll(&mut stream, &wakes).is_some(), "the first bytes");
    // Something happens before it waits each time, so that it must look for what that was.
    let publish_elsewhere = || {
        let publisher = hub.clone();
        HOOK.set(Some(Box::new(move || publish(&publisher, "elsewhere"))));
    };
    publish_elsewhere();
    let publisher = hub.clone();
    let mut is_first = true;
    test_hook::set(Some(Box::new(move || {
        if std::mem::take(&mut is_first) {
            publish(&publisher, "a");
        }
    })));
    assert!(poll(&mut stream, &wakes).is_none());
    test_hook::set(None);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(poll(&mut stream, &wakes).is_some());
    publish_elsewhere();
    assert!(poll(&mut stream, &wakes).is_none());
    publish(&hub, "a");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    assert!(poll(&mut stream, &wakes).is_some());
}

#[test]
fn a_stream_that_was_woken_in_its_turn_is_awake_until_it_runs_or_is_dropped() {
    let hub = Hub::builder().retry(None).build();
    let mut stream = hub.subscribe(["a"]).status(false).open().unwrap();
    let client = stream.client.clone();
    let wakes = Arc::new(Wakes::default());
    assert!(poll(&mut stream, &wakes).is_some(), "the first bytes");
    let assert_is_woken = || {
        let woken = wakes.0.load(Ordering::Relaxed);
        client.wake_in_turn(Waking::shared());
        assert!(client.heartbeat.turn.is_awake() && wakes.0.load(Ordering::Relaxed) == woken + 1);
        // It is awake once, whoever wakes it.
        client.wake_in_turn(Waking::shared());
        assert_eq!(wakes.0.load(Ordering::Relaxed), woken + 1);
    };
    for _ in 0..2 {
        assert!(poll(&mut stream, &wakes).is_none());
        assert!(!client.heartbeat.turn.is_awake());
        assert_is_woken();
    }
    // As a member of a cohort.
    let waker = Waker::from(wakes.clone());
    for _ in 0..2 {
        let next = stream.poll_whole(hub.shared().watermark(), &mut Context::from_waker(&waker));
        assert!(next.is_pending() && !client.heartbeat.turn.is_awake());
        assert_is_woken();
    }
    drop(stream);
    assert!(!client.heartbeat.turn.is_awake());
    client.wake_in_turn(Waking::shared());
    assert!(!client.heartbeat.turn.is_awake(), "nobody would end it");
}

#[test]
fn a_stream_that_has_paused_is_awake_until_it_goes_on() {
    let hub = Hub::builder().retry(None).build();
    let mut stream = hub.subscribe(["a"]).status(false).open().unwrap();
    let client = stream.client.clone();
    let wakes = Arc::new(Wakes::default());
    assert!(poll(&mut stream, &wakes).is_some(), "the first bytes");
    hub.publish("a", Event::new("x".repeat(500_000))).wait().unwrap();
    while poll(&mut stream, &wakes).is_some() {}
    let until = Instant::now() + Duration::from_secs(10);
    while wakes.0.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < until, "it is woken");
        thread::yield_now();
    }
    assert!(client.heartbeat.turn.is_awake());
    assert!(poll(&mut stream, &wakes).is_some(), "the next piece");
    assert!(!client.heartbeat.turn.is_awake());
}
