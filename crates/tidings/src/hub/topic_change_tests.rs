//! The topics of a stream change while its hub has less than the log has: one thing after the other, without chance.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::scripted_log::{ScriptedLog, epoch, received, record};
use super::*;
use crate::backend::{Appended, Origin, Record, Replica};
use crate::client_handle;
use crate::subscription::Subscription;
use crate::{History, Resume};

fn records<const N: usize>(records: [(&str, u64); N]) -> Vec<Record> {
    records.map(|(topic, position)| record(topic, position)).to_vec()
}

fn follow(log: &ScriptedLog, replica: &Replica, name: &str, position: u64) {
    let interests = log.state().interests.clone();
    let interest = interests.iter().rfind(|(it, _)| it == name).and_then(|(_, it)| *it);
    let pattern = TopicPattern::new(name).unwrap();
    replica.followed([(&pattern, interest.unwrap())], position).unwrap();
}

/// The hub publishes an event, to a topic that the log does not deliver to it.
fn publish_undelivered(hub: &Hub, log: &ScriptedLog, topic: &str, position: u64) {
    let mut publish = pin!(hub.publish(topic, Event::new(position.to_string())));
    assert!(publish.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let appended = Appended { epoch: epoch(), position, is_duplicate: false };
    log.state().appends.remove(0).send(Ok(appended));
    assert!(
        publish.poll(&mut Context::from_waker(Waker::noop())).is_ready(),
        "nobody waits for it"
    );
}

/// The next bytes of a stream.
fn next(stream: &mut Subscription) -> String {
    let next = Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Some(Ok(bytes))) = next else { panic!("{next:?}") };
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn last_id(bytes: &str) -> Option<&str> {
    bytes.lines().rev().find_map(|line| line.strip_prefix("id: "))
}

#[test]
fn a_new_topic_begins_after_what_its_node_has_published_to_it() {
    for history in [History::None, History::All] {
        let log = ScriptedLog::default();
        log.state().is_selective = true;
        let (hub, replica) = log.hub();
        let mut stream = hub.subscribe(["a"]).open().unwrap();
        follow(&log, &replica, "a", 0);
        replica.deliver(record("a", 1)).unwrap();
        // Of these the hub knows that they are there, and has none.
        log.state().records = records([("a", 1), ("b", 2), ("a", 3), ("b", 4)]);
        publish_undelivered(&hub, &log, "b", 4);
        let handle = hub.client(stream.client_id()).history(history);
        assert!(handle.subscribe("b").unwrap());
        let new = records([("b", 5), ("a", 6), ("b", 7)]);
        log.state().records.extend(new.iter().cloned());
        let before = received(&mut stream);
        follow(&log, &replica, "b", 6);
        replica.deliver(new[2].clone()).unwrap();
        let all = [before, received(&mut stream)].concat();
        let expected: &[&str] = match history {
            History::None => &["fresh", "1", "3", "5", "6", "7"],
            _ => &["fresh", "1", "3", "2", "4", "5", "6", "7"],
        };
        assert_eq!(all, expected);
    }
}

#[test]
fn nothing_overtakes_the_events_of_a_new_topic_that_the_log_does_not_deliver_yet() {
    let log = ScriptedLog::default();
    log.state().is_selective = true;
    let (hub, replica) = log.hub();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    follow(&log, &replica, "a", 0);
    replica.deliver(record("a", 1)).unwrap();
    assert_eq!(received(&mut stream), ["fresh", "1"], "it reads the hub's memory");
    assert!(hub.client(stream.client_id()).subscribe("b").unwrap());
    log.state().records = records([("a", 1), ("b", 2), ("a", 3), ("b", 5)]);
    replica.deliver(record("a", 3)).unwrap();
    assert!(received(&mut stream).is_empty());
    follow(&log, &replica, "b", 4);
    replica.deliver(record("b", 5)).unwrap();
    assert_eq!(received(&mut stream), ["2", "3", "5"]);
}

#[test]
fn a_new_topic_begins_after_what_another_node_knows_that_asks_for_it() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    let all = records([("a", 1), ("b", 2), ("a", 3), ("b", 4), ("b", 5), ("a", 6)]);
    log.state().records = all.clone();
    log.state().end = 6;
    replica.deliver(all[0].clone()).unwrap();
    let after = epoch().id(4);
    let (names, from) =
        (vec![TopicPattern::new("b").unwrap()], (History::None, after.as_str().as_bytes()));
    let add = client_handle::add(hub.shared(), stream.client_id(), Ok(names), from);
    assert!(add.unwrap());
    let before = received(&mut stream);
    assert_eq!(before, ["fresh", "1", "3"], "the rest is read when the hub has it");
    all[1..].iter().for_each(|record| replica.deliver(record.clone()).unwrap());
    assert_eq!(received(&mut stream), ["5", "6"]);
}

#[test]
fn a_stream_that_reads_the_log_changes_its_topics_where_the_change_was_asked_for() {
    for history in [History::None, History::All] {
        let log = ScriptedLog::default();
        let (hub, replica) = log.hub();
        let all = records([("a", 1), ("b", 2), ("a", 3), ("b", 4), ("a", 5), ("b", 6), ("a", 7)]);
        // What was before the fourth is in the log alone.
        replica.restart(Origin { epoch: epoch(), position: 3, end: 3 }).unwrap();
        all[3..5].iter().for_each(|record| replica.deliver(record.clone()).unwrap());
        log.state().records = all[..5].to_vec();
        log.state().page_records = Some(1);
        let resume = Resume::new().with_last_event_id(epoch().id(0).as_str());
        let mut stream = hub.subscribe(["a"]).resume(resume).open().unwrap();
        let mut text = String::new();
        while !text.contains("data: 1\n") {
            text.push_str(&next(&mut stream));
        }
        let handle = hub.client(stream.client_id()).history(history);
        assert!(handle.subscribe("b").unwrap());
        log.state().page_records = None;
        log.state().records.extend(all[5..].iter().cloned());
        all[5..].iter().for_each(|record| replica.deliver(record.clone()).unwrap());
        let mut ids = Vec::new();
        while !text.contains("data: 7\n") {
            let bytes = next(&mut stream);
            ids.extend(last_id(&bytes).map(ToOwned::to_owned));
            text.push_str(&bytes);
        }
        let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        let data: Vec<_> = data.into_iter().filter(|data| !data.starts_with('{')).collect();
        let expected: &[&str] = match history {
            History::None => &["1", "3", "5", "6", "7"],
            _ => &["1", "3", "5", "4", "6", "7"],
        };
        assert_eq!(data, expected);
        // A client that is cut off after any of them loses and doubles nothing.
        let positions: Vec<_> = ids.iter().map(|id| epoch().position(id.as_bytes())).collect();
        assert!(positions.is_sorted(), "{positions:?}");
    }
}
