//! What a hub makes of what its log says: one thing after the other, without threads and without chance.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::scripted_log::{ScriptedLog, epoch, other_epoch, received, record};
use super::*;
use crate::backend::{Appended, Epoch, LogError, LogErrorKind, Origin, Replica};
use crate::clock::ManualClock;
use crate::subscription::Subscription;
use crate::{History, Resume};

fn deliver(replica: &Replica, positions: impl IntoIterator<Item = u64>) {
    for position in positions {
        replica.deliver(record("a", position)).unwrap();
    }
}

/// A stream that resumes after a position of the first history.
fn resumed(hub: &Hub, position: u64) -> Subscription {
    let resume = Resume::new().with_last_event_id(epoch().id(position).as_str());
    hub.subscribe(["a"]).resume(resume).open().unwrap()
}

fn origin(epoch: Epoch, position: u64) -> Origin {
    Origin { epoch, position, end: position }
}

#[test]
fn an_event_that_is_delivered_again_is_left_out() {
    let (hub, replica) = ScriptedLog::default().hub();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    deliver(&replica, [1, 2, 3, 1, 2, 3, 4]);
    assert_eq!(received(&mut stream), ["fresh", "1", "2", "3", "4"]);
    assert_eq!(replica.position(), Ok(4));
}

#[test]
fn a_publication_is_not_acknowledged_before_the_hub_has_it() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    let mut publish = pin!(hub.publish("a", Event::new("1")));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(publish.as_mut().poll(&mut cx).is_pending(), "the log has not answered");
    let reply = log.state().appends.remove(0);
    reply.send(Ok(Appended { epoch: epoch(), position: 1, is_duplicate: false }));
    assert!(publish.as_mut().poll(&mut cx).is_pending(), "nobody could see it yet");
    deliver(&replica, [1]);
    let Poll::Ready(published) = publish.poll(&mut cx) else { panic!("it is there") };
    assert_eq!(published.unwrap().id(), epoch().id(1));
}

#[test]
fn a_position_that_the_log_has_never_reached_is_a_reset() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    deliver(&replica, [1, 2]);
    log.state().end = 2;
    assert_eq!(received(&mut resumed(&hub, 3)), ["unknown", "1", "2"]);
    // One that it has reached is waited for.
    log.state().end = 3;
    let mut stream = resumed(&hub, 3);
    assert!(received(&mut stream).is_empty());
    deliver(&replica, [3, 4]);
    assert_eq!(received(&mut stream), ["resumed", "4"]);
}

#[test]
fn a_client_that_waits_for_a_position_is_reset_when_another_history_begins() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    deliver(&replica, [1]);
    log.state().end = 2;
    let mut stream = resumed(&hub, 2);
    assert!(received(&mut stream).is_empty());
    replica.restart(origin(other_epoch(), 0)).unwrap();
    deliver(&replica, [1, 2, 3]);
    assert_eq!(received(&mut stream), ["unknown", "1", "2", "3"]);
}

#[test]
fn connected_clients_are_reset_when_another_history_begins() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    deliver(&replica, [1, 2]);
    assert_eq!(received(&mut stream), ["fresh", "1", "2"]);
    replica.restart(origin(other_epoch(), 0)).unwrap();
    deliver(&replica, [1, 2, 3]);
    log.state().end = 3;
    assert_eq!(received(&mut stream), ["unknown", "1", "2", "3"]);
}

#[test]
fn a_page_of_another_history_is_not_sent() {
    let log = ScriptedLog::default();
    log.state().trimmed = 5;
    let (hub, replica) = log.hub();
    // The log has another history already, and the hub does not know.
    log.state().trimmed = 0;
    log.state().epoch = Some(other_epoch());
    log.state().records = (1..=5).map(|position| record("a", position)).collect();
    let mut stream = resumed(&hub, 2);
    assert!(received(&mut stream).is_empty());
    replica.restart(origin(other_epoch(), 0)).unwrap();
    deliver(&replica, 1..=5);
    assert_eq!(received(&mut stream), ["unknown", "1", "2", "3", "4", "5"]);
}

#[test]
fn events_that_the_log_has_lost_are_a_reset() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    deliver(&replica, [1, 2]);
    assert_eq!(received(&mut stream), ["fresh", "1", "2"]);
    log.state().trimmed = 5;
    replica.restart(origin(epoch(), 5)).unwrap();
    deliver(&replica, [6]);
    assert_eq!(received(&mut stream), ["trimmed", "6"]);
}

#[test]
fn events_that_only_the_log_still_has_are_read_from_it() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    deliver(&replica, [1, 2]);
    log.state().records = (1..=6).map(|position| record("a", position)).collect();
    replica.restart(origin(epoch(), 5)).unwrap();
    deliver(&replica, [6]);
    assert_eq!(received(&mut stream), ["fresh", "1", "2", "3", "4", "5", "6"]);
}

#[test]
fn what_is_damaged_in_the_log_is_a_reset_and_is_not_waited_for() {
    let log = ScriptedLog::default();
    log.state().trimmed = 5;
    let (hub, replica) = log.hub();
    log.state().trimmed = 0;
    log.state().records = (1..=5).map(|position| record("a", position)).collect();
    log.state().damaged = Some(4);
    let mut stream = resumed(&hub, 2);
    assert_eq!(received(&mut stream), ["trimmed"]);
    assert_eq!(received(&mut resumed(&hub, 4)), ["resumed", "5"]);
    deliver(&replica, [6]);
    assert_eq!(received(&mut stream), ["6"]);
}

#[test]
fn a_client_whose_history_is_damaged_begins_without_it_and_is_reset_once() {
    let log = ScriptedLog::default();
    log.state().is_selective = true;
    log.state().end = 3;
    log.state().records = (1..=3).map(|position| record("a", position)).collect();
    log.state().damaged = Some(3);
    let (hub, replica) = log.hub();
    let mut stream = hub.subscribe("a").history(History::All).open().unwrap();
    let (name, interest) = log.state().interests.last().cloned().unwrap();
    let pattern = name.parse().unwrap();
    replica.followed([(&pattern, interest.unwrap())], 3).unwrap();
    assert_eq!(received(&mut stream), ["fresh"]);
    // The damage is on a later page.
    log.state().page_records = Some(1);
    let mut other = hub.subscribe("a").history(History::All).open().unwrap();
    assert_eq!(received(&mut other), ["fresh", "1", "2", "trimmed", "1", "2"]);
    deliver(&replica, [4]);
    for stream in [&mut stream, &mut other] {
        assert_eq!(received(stream), ["4"]);
    }
}

#[test]
fn operators_are_told_once_a_minute_why_the_log_cannot_be_read() {
    let (hub, _replica) = ScriptedLog::default().hub();
    let replication = hub.shared().replication.as_ref().unwrap();
    let error = |cause: &str| LogError::new(LogErrorKind::Refused, cause);
    assert!(replication.is_news(&error("no permission")));
    assert!(!replication.is_news(&error("no permission")));
    assert!(replication.is_news(&error("no answer")), "another cause");
    assert!(!replication.is_news(&error("no permission")), "which was told, too");
    (0..60).for_each(|_| replication.retry());
    assert!(replication.is_news(&error("no answer")));
    // Streams may name as many causes as there are of them.
    let told = (0..100).filter(|n| replication.is_news(&error(&format!("no answer to {n}"))));
    assert_eq!(told.count(), 15);
}

#[test]
fn a_link_that_fails_again_and_again_has_everything_tried_again_once() {
    let (hub, replica) = ScriptedLog::default().hub();
    let replication = hub.shared().replication.as_ref().unwrap();
    replica.link(Ok(())).unwrap();
    let up = replication.retry_generation();
    for cause in ["no answer", "no route", "no permission"] {
        replica.link(Err(&LogError::new(LogErrorKind::Unavailable, cause))).unwrap();
        assert!(hub.health().to_string().contains(cause), "the last one is shown");
    }
    assert_eq!(replication.retry_generation(), up + 1);
    replica.link(Ok(())).unwrap();
    assert_eq!(replication.retry_generation(), up + 2);
}

#[test]
fn a_client_that_has_caught_up_has_a_position_without_a_new_event() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    deliver(&replica, [1, 2]);
    log.state().end = 3;
    let resume = Resume::new().with_last_event_id(epoch().id(3).as_str());
    let mut stream = hub.subscribe(["a"]).status(false).resume(resume).open().unwrap();
    assert!(received(&mut stream).is_empty());
    deliver(&replica, [3]);
    assert!(received(&mut stream).is_empty(), "it has that");
    // Its next event is not in memory any more.
    log.state().records = (1..=5).map(|position| record("a", position)).collect();
    replica.restart(origin(epoch(), 5)).unwrap();
    assert_eq!(received(&mut stream), ["4", "5"]);
}

#[test]
fn the_ends_of_64_topics_are_asked_for_and_not_at_once_again() {
    let clock = ManualClock::new();
    let log = ScriptedLog::default();
    log.state().trimmed = 5;
    log.state().is_down = true;
    let hub = Hub::builder().clock(&clock).retry(None).heartbeat(None).build_on(log.clone());
    let open = |topics: u64| {
        let names = (0..topics).map(|n| format!("a/{n}"));
        let resume = Resume::new().with_last_event_id(epoch().id(5).as_str());
        let mut stream = hub.subscribe(names).resume(resume).open().unwrap();
        assert_eq!(received(&mut stream), ["resumed"]);
        stream
    };
    let _too_many = open(65);
    assert!(log.state().ends.is_empty());
    let _stream = open(64);
    assert_eq!(log.state().ends, [64]);
    clock.advance(Duration::from_millis(4_999));
    drop(open(64));
    assert_eq!(log.state().ends, [64], "whoever has the same topics");
    clock.advance(Duration::from_millis(1));
    drop(open(64));
    assert_eq!(log.state().ends, [64, 64]);
    // It is known when the log has answered.
    log.state().is_down = false;
    for _ in 0..2 {
        clock.advance(Duration::from_secs(5));
        drop(open(64));
    }
    assert_eq!(log.state().ends, [64, 64, 64]);
}
