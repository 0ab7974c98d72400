//! A selective log may be late, and answer interests that the hub no longer has. Interests may be patterns. And a log that
//! delivers everything may have more than it has delivered.

use super::scripted_log::{ScriptedLog, received, record};
use super::*;
use crate::backend::{Record, Replica};
use crate::{History, Retention, Snapshot};

fn records<const N: usize>(records: [(&str, u64); N]) -> Vec<Record> {
    records.map(|(topic, position)| record(topic, position)).to_vec()
}

/// The log follows a topic or pattern from a position on.
fn follow(replica: &Replica, name: &str, interest: u64, position: u64) {
    replica.followed([(&TopicPattern::new(name).unwrap(), interest)], position).unwrap();
}

/// A selective log, a hub on it, and the hub's replica.
fn begin() -> (ScriptedLog, Hub, Replica) {
    let log = ScriptedLog::default();
    log.state().is_selective = true;
    let (hub, replica) = log.hub();
    (log, hub, replica)
}

#[test]
fn an_answer_to_an_old_interest_is_ignored() {
    let (log, hub, replica) = begin();
    drop(hub.subscribe(["a"]).open().unwrap());
    let mut stream = hub.subscribe(["a", "b"]).open().unwrap();
    let interests = log.state().interests.clone();
    let [(_, Some(old)), (_, None), (_, Some(new)), (_, Some(b))] = &interests[..] else {
        panic!("{interests:?}")
    };
    follow(&replica, "b", *b, 0);
    // For the first interest; then the log stops delivering the topic, since the interest ended.
    follow(&replica, "a", *old, 0);
    replica.deliver(record("a", 1)).unwrap();
    log.state().records = records([("a", 1), ("a", 2), ("b", 3), ("a", 4)]);
    replica.deliver(record("b", 3)).unwrap();
    assert_eq!(received(&mut stream), ["fresh"], "nothing before the answer to the second");
    follow(&replica, "a", *new, 3);
    replica.deliver(record("a", 4)).unwrap();
    assert_eq!(received(&mut stream), ["1", "2", "3", "4"]);
}

#[test]
fn a_topic_that_is_followed_does_not_take_a_client_past_one_that_is_not() {
    for has_snapshot in [false, true] {
        let (log, hub, replica) = begin();
        let _other = hub.subscribe(["a"]).open().unwrap();
        follow(&replica, "a", log.state().interests[0].1.unwrap(), 0);
        let mut subscribe = hub.subscribe(["a", "b"]);
        if has_snapshot {
            let state = || Snapshot::new([Event::new("state")]);
            subscribe = subscribe.snapshot(move || std::future::ready(Ok(state())));
        }
        let mut stream = subscribe.open().unwrap();
        let beginning: &[&str] = if has_snapshot { &["fresh", "state"] } else { &["fresh"] };
        assert_eq!(received(&mut stream), beginning);
        // The log has the first event, and does not deliver it.
        log.state().records = records([("b", 1), ("a", 2), ("b", 4)]);
        replica.deliver(record("a", 2)).unwrap();
        assert_eq!(received(&mut stream), [""; 0]);
        follow(&replica, "b", log.state().interests[1].1.unwrap(), 3);
        replica.deliver(record("b", 4)).unwrap();
        assert_eq!(received(&mut stream), ["1", "2", "4"]);
    }
}

#[test]
fn events_between_an_interest_and_its_answer_are_read() {
    let (log, hub, replica) = begin();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    let interest = log.state().interests[0].1.unwrap();
    assert_eq!(received(&mut stream), ["fresh"]);
    log.state().records = vec![record("a", 1), record("a", 2)];
    // A log may repeat itself.
    let name = TopicPattern::new("a").unwrap();
    replica.followed([(&name, interest), (&name, interest)], 1).unwrap();
    replica.deliver(record("a", 2)).unwrap();
    assert_eq!(received(&mut stream), ["1", "2"]);
}

#[test]
fn events_of_a_pattern_that_come_before_the_log_follows_it_are_read() {
    let (log, hub, replica) = begin();
    let mut pattern = hub.subscribe_matching(["a:*"]).open().unwrap();
    let mut both = hub.subscribe(["a:1"]).matching(["a:*"]).open().unwrap();
    let interests = log.state().interests.clone();
    let [(pattern_name, Some(interest)), (topic_name, Some(topic_interest))] = &interests[..]
    else {
        panic!("{interests:?}")
    };
    assert_eq!((&**pattern_name, &**topic_name), ("a:*", "a:1"));
    log.state().records = records([("a:1", 1), ("b", 2), ("a:2", 3), ("a:1", 4)]);
    // Of the topic, which alone is followed.
    follow(&replica, "a:1", *topic_interest, 0);
    replica.deliver(record("a:1", 1)).unwrap();
    follow(&replica, "a:*", *interest, 3);
    replica.deliver(record("a:1", 4)).unwrap();
    for stream in [&mut pattern, &mut both] {
        assert_eq!(received(stream), ["fresh", "1", "3", "4"]);
    }
    assert_eq!(log.state().interests.len(), 2, "an event of a topic creates no interest in it");
}

#[test]
fn a_pattern_on_a_new_node_has_its_history_from_the_log() {
    let log = ScriptedLog::default();
    let records = records([("a:1", 1), ("b", 2), ("a:2", 3), ("a:1", 4), ("a:3", 5)]);
    log.state().records = records.clone();
    log.state().end = 4;
    let builder = Hub::builder().retry(None).heartbeat(None);
    let keep = Retention::default().events(2);
    let hub = builder.retain("a:*", keep).unwrap().build_on(log.clone());
    let replica = log.replica();
    let mut stream = hub.subscribe_matching(["a:*"]).history(History::All).open().unwrap();
    records.into_iter().for_each(|record| replica.deliver(record).unwrap());
    assert_eq!(received(&mut stream), ["fresh", "4", "5"]);
}
