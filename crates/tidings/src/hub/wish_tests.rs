//! A log that delivers what is wanted may be late: it answers wishes that are no more.

use super::scripted_log::{ScriptedLog, record, told};
use super::*;
use crate::backend::Replica;
use crate::topic::Topic;

/// A log that delivers what is wanted, a hub on it, and what the log has of that.
fn begin() -> (ScriptedLog, Hub, Replica) {
    let log = ScriptedLog::default();
    log.state().is_selective = true;
    let (hub, replica) = log.hub();
    (log, hub, replica)
}

#[test]
fn an_answer_to_a_wish_that_is_no_more_is_none() {
    let (log, hub, replica) = begin();
    drop(hub.subscribe(["a"]).open().unwrap());
    let mut stream = hub.subscribe(["a", "b"]).open().unwrap();
    let wishes = log.state().wishes.clone();
    let [(_, Some(old)), (_, None), (_, Some(new)), (_, Some(b))] = &wishes[..] else {
        panic!("{wishes:?}")
    };
    let [topic_a, topic_b] = ["a", "b"].map(|name| Topic::new(name).unwrap());
    let answer =
        |topic, wish: &u64, position| replica.followed([(topic, *wish)], position).unwrap();
    answer(&topic_b, b, 0);
    // Of the first wish; then the log ceases to deliver the topic, as it was told to.
    answer(&topic_a, old, 0);
    replica.deliver(record("a", 1)).unwrap();
    let records = [("a", 1), ("a", 2), ("b", 3), ("a", 4)];
    log.state().records = records.map(|(topic, position)| record(topic, position)).to_vec();
    replica.deliver(record("b", 3)).unwrap();
    assert_eq!(told(&mut stream), ["fresh"], "nothing in front of the second");
    answer(&topic_a, new, 3);
    replica.deliver(record("a", 4)).unwrap();
    assert_eq!(told(&mut stream), ["1", "2", "3", "4"]);
}

#[test]
fn what_comes_between_a_wish_and_its_answer_is_read() {
    let (log, hub, replica) = begin();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    let wish = log.state().wishes[0].1.unwrap();
    assert_eq!(told(&mut stream), ["fresh"]);
    log.state().records = vec![record("a", 1), record("a", 2)];
    replica.followed([(&Topic::new("a").unwrap(), wish)], 1).unwrap();
    replica.deliver(record("a", 2)).unwrap();
    assert_eq!(told(&mut stream), ["1", "2"]);
}
