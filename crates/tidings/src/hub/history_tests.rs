//! A history from a hub whose log does what the test says, and one that is overrun.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::scripted_log::{ScriptedLog, epoch, other_epoch, record};
use crate::backend::{Appended, Origin};
use crate::clock::ManualClock;
use crate::error::{SubscribeError, SubscribeErrorKind};
use crate::log::feed::test_hook;
use crate::{Event, EventHistory, EventId, Filter, History, Hub, ReadHistory, Retention, Topic};

/// The outcome, if it is known.
fn poll(read: &mut ReadHistory) -> Option<Result<EventHistory, SubscribeError>> {
    match Pin::new(read).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

#[track_caller]
fn is_read(read: &mut ReadHistory, data: &[&str], position: EventId) {
    let history = poll(read).expect("it is read").unwrap();
    assert_eq!(history.events.iter().map(|event| event.data()).collect::<Vec<_>>(), data);
    assert_eq!(history.position, position);
}

#[test]
fn a_hub_that_lags_behind_its_log_has_the_position_of_the_log_and_waits_for_its_history() {
    let log = ScriptedLog::default();
    log.state().end = 3;
    log.state().records = (1..=3).map(|position| record("a", position)).collect();
    let (hub, replica) = log.hub();
    assert_eq!(hub.position(), epoch().id(3));
    let mut reads = [History::All, History::Last(2), History::None].map(|history| {
        let mut read = hub.history("a", history);
        assert!(poll(&mut read).is_none(), "{history:?}");
        read
    });
    for position in 1..=3 {
        replica.deliver(record("a", position)).unwrap();
    }
    is_read(&mut reads[0], &["1", "2", "3"], epoch().id(3));
    is_read(&mut reads[1], &["2", "3"], epoch().id(3));
    is_read(&mut reads[2], &[], epoch().id(3));
    assert_eq!(hub.position(), epoch().id(3));
}

#[test]
fn a_history_that_is_being_read_takes_no_place_of_a_stream() {
    let log = ScriptedLog::default();
    log.state().end = 1;
    log.state().records = vec![record("a", 1)];
    let builder = Hub::builder().clock(&ManualClock::new()).streams_per_topic(1);
    let hub = builder.build_on(log.clone());
    let of_admins = || Filter::equal("role", "admin").unwrap();
    let history = || hub.history("a", History::All);
    let mut reads = [history(), history().filter(of_admins())];
    assert!(reads.iter_mut().all(|read| poll(read).is_none()));
    let topic = Topic::new("a").unwrap();
    assert_eq!(hub.clients().count_of_topic(&topic), 0);
    for subscribe in [hub.subscribe("a"), hub.subscribe("a").filter(of_admins())] {
        let _stream = subscribe.open().unwrap();
        assert_eq!((hub.clients().count_of_topic(&topic), hub.clients().count()), (1, 1));
        let _one_too_many = hub.subscribe("a").open().unwrap();
        assert_eq!(hub.clients().count(), 1);
    }
    log.replica().deliver(record("a", 1)).unwrap();
    is_read(&mut reads[0], &["1"], epoch().id(1));
    assert!(poll(&mut reads[1]).expect("it is read").unwrap().events.is_empty());
    drop(reads);
    assert_eq!(hub.shared().journal.lock().log("a").unwrap().lock().readers, 0);
}

#[test]
fn a_history_is_of_one_epoch() {
    let log = ScriptedLog::default();
    log.state().end = 3;
    let (hub, replica) = log.hub();
    let mut read = hub.history("a", History::All);
    replica.deliver(record("a", 1)).unwrap();
    assert!(poll(&mut read).is_none());
    replica.restart(Origin { epoch: other_epoch(), position: 0, end: 0 }).unwrap();
    assert_eq!(hub.position(), other_epoch().id(0));
    replica.deliver(record("a", 7)).unwrap();
    is_read(&mut read, &["7"], other_epoch().id(7));
}

#[test]
fn a_topic_that_the_log_does_not_deliver_yet_is_read_from_it() {
    let log = ScriptedLog::default();
    log.state().is_selective = true;
    log.state().end = 3;
    log.state().records = (1..=3).map(|position| record("a", position)).collect();
    let (hub, replica) = log.hub();
    let mut read = hub.history("a", History::All);
    assert!(poll(&mut read).is_none());
    let (name, interest) = log.state().interests.last().cloned().unwrap();
    let pattern = name.parse().unwrap();
    replica.followed([(&pattern, interest.unwrap())], 3).unwrap();
    is_read(&mut read, &["1", "2", "3"], epoch().id(3));
    drop(read);
    assert_eq!(log.state().interests.last(), Some(&(name, None)), "it has no interest any more");
}

#[test]
fn a_log_from_which_nothing_comes_is_an_error_after_a_while() {
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let log = ScriptedLog::default();
    log.state().end = 9;
    let (hub, replica) = log.hub();
    let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
    let waker = Waker::from(wakes.clone());
    let mut read = pin!(hub.history("a", History::All));
    let mut poll = || read.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(poll().is_pending());
    for retry in 1..=15 {
        hub.shared().replication.as_ref().unwrap().retry();
        assert_eq!(wakes.0.load(Ordering::Relaxed), retry, "it is woken");
        if retry == 5 {
            replica.deliver(record("a", 1)).unwrap();
            wakes.0.store(retry, Ordering::Relaxed);
        }
        match poll() {
            Poll::Pending => assert!(retry < 15, "nothing has come for ten"),
            Poll::Ready(outcome) => {
                assert_eq!(retry, 15);
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), SubscribeErrorKind::Unavailable);
                assert_eq!(error.to_string(), "history cannot be read at present");
            }
        }
    }
}

#[test]
fn a_hub_is_past_what_it_has_published_itself() {
    let log = ScriptedLog::default();
    let (hub, _replica) = log.hub();
    let mut publish = pin!(hub.publish("a", Event::new("x")));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(publish.as_mut().poll(&mut cx).is_pending());
    assert_eq!(hub.position(), epoch().id(0));
    let appended = Appended { epoch: epoch(), position: 7, is_duplicate: false };
    log.state().appends.remove(0).send(Ok(appended));
    assert!(publish.as_mut().poll(&mut cx).is_pending(), "it is not delivered yet");
    assert_eq!(hub.position(), epoch().id(7));
}

#[test]
fn a_history_that_is_overrun_begins_again() {
    let hub = Hub::builder().retention(Retention::default().events(3)).build();
    let publish = |topic: &str| hub.publish(topic, Event::new("x".repeat(300_000))).wait().unwrap();
    for topic in ["a", "b", "a", "b", "a"] {
        publish(topic);
    }
    let mut looks = 0;
    let publisher = hub.clone();
    // After it has read an event, and before it reads the next: more than what is kept for connected clients.
    test_hook::set(Some(Box::new(move || {
        looks += 1;
        if looks == 4 {
            for n in 0..300 {
                publisher.publish("b", Event::new(n.to_string())).wait().unwrap();
            }
        }
    })));
    let history = hub.history(["a", "b"], History::All).wait();
    test_hook::set(None);
    let history = history.unwrap();
    let positions: Vec<_> = history.events.iter().map(|event| event.last_event_id()).collect();
    let epoch = hub.shared().epoch();
    let expected = [1, 3, 5, 303, 304, 305].map(|position| epoch.id(position).to_string());
    assert_eq!(positions, expected);
    assert_eq!(history.position.as_str(), expected[5]);
}

#[test]
fn a_history_has_the_value_of_a_key_that_changes_while_it_is_read() {
    let hub = Hub::builder().retention(Retention::latest_per_key()).build();
    let set = |hub: &Hub, key: usize, value: usize| {
        let data = format!("{key} {value} {}", "x".repeat(40_000));
        hub.publish("a", Event::keyed(key.to_string(), data).unwrap()).wait().unwrap();
    };
    for names in ["a", "a*"] {
        for key in 0..4 {
            set(&hub, key, 0);
        }
        let mut changes = 0;
        let publisher = hub.clone();
        test_hook::set(Some(Box::new(move || {
            changes += 1;
            if changes == 1 {
                set(&publisher, 3, 1);
            }
        })));
        let history = hub.history_matching(names, History::All).wait().unwrap();
        test_hook::set(None);
        let starts = history.events.iter().map(|event| &event.data()[..3]);
        assert_eq!(starts.collect::<Vec<_>>(), ["0 0", "1 0", "2 0", "3 1"], "{names}");
        assert_eq!(history.position, hub.position());
    }
}
