//! The end of topics, on a log that puts events after it, and in a cohort.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::scripted_log::{ScriptedLog, epoch, received, record};
use crate::backend::{Appended, LogError, LogErrorKind, Origin, Record};
use crate::clock::ManualClock;
use crate::cohort::Cohort;
use crate::error::{PublishErrorKind, SubscribeErrorKind};
use crate::topic::TopicPattern;
use crate::{END_EVENT, Event, History, Hub, Resume, Retention, Subscription};

const END: &str = r#"{"reason":"finished"}"#;

/// The last event of a topic. Its data is its position.
fn last(topic: &str, position: u64) -> Record {
    let mut record = record(topic, position);
    record.event.tags_mut().is_last = true;
    record
}

/// Of a node that had the log up to a position.
fn seen(seen: u64, record: Record) -> Record {
    Record { seen: Some(seen), ..record }
}

fn resume(hub: &Hub, topics: &[&str], position: u64) -> Subscription {
    let resume = Resume::new().with_last_event_id(epoch().id(position).as_str());
    resume.subscribe(hub, topics.iter().copied()).open().unwrap()
}

fn is_over(hub: &Hub, topics: &[&str], position: u64) -> bool {
    let resume = Resume::new().with_last_event_id(epoch().id(position).as_str());
    let open = resume.subscribe(hub, topics.iter().copied()).open();
    open.is_err_and(|error| error.kind() == SubscribeErrorKind::Finished)
}

#[test]
fn what_a_node_publishes_that_has_not_seen_the_last_event_is_void_and_else_it_begins_the_topic_anew()
 {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    let mut live = hub.subscribe("a").open().unwrap();
    let mut pattern = hub.subscribe_matching("*").open().unwrap();
    for stream in [&mut live, &mut pattern] {
        received(stream);
    }
    for record in [
        seen(0, record("a", 1)),
        seen(1, last("a", 2)),
        seen(1, record("a", 3)),
        seen(1, record("b", 4)),
    ] {
        replica.deliver(record).unwrap();
    }
    assert_eq!(received(&mut live), ["1", "2", END]);
    assert_eq!(received(&mut pattern), ["1", "2", "4"]);
    assert!(is_over(&hub, &["a"], 2) && is_over(&hub, &["a"], 4) && !is_over(&hub, &["a"], 1));
    let error = hub.publish("a", Event::new("late")).wait().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Finished);

    // Its node has looked, and found nothing: the log has lost the last event.
    replica.deliver(seen(2, record("a", 5))).unwrap();
    assert_eq!(received(&mut pattern), ["5"]);
    assert!(!is_over(&hub, &["a"], 4));
    assert_eq!(received(&mut resume(&hub, &["a"], 4)), ["resumed", "5"]);
    replica.deliver(seen(5, last("a", 6))).unwrap();
    assert!(is_over(&hub, &["a"], 6) && !is_over(&hub, &["a"], 5));
    // The log itself has looked, or another program does not know of ends.
    replica.deliver(record("a", 7)).unwrap();
    assert_eq!(received(&mut pattern), ["6", "7"]);
}

#[test]
fn the_same_is_void_where_it_is_read_back_however_the_pages_are_cut() {
    let log = ScriptedLog::default();
    log.state().records = vec![
        record("a", 1),
        last("a", 2),
        seen(0, record("a", 3)),
        seen(1, record("a", 4)),
        seen(4, record("a", 5)),
        last("a", 6),
        seen(5, record("a", 7)),
    ];
    log.state().page_records = Some(1);
    let (hub, replica) = log.hub();
    replica.restart(Origin { epoch: epoch(), position: 7, end: 7 }).unwrap();
    assert_eq!(received(&mut resume(&hub, &["a"], 1)), ["resumed", "2", "5", "6", END]);
    assert!(is_over(&hub, &["a"], 7));
    let mut history = hub.history("a", History::All);
    let cx = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(history) = std::pin::Pin::new(&mut history).poll(cx) else {
        panic!("it is read")
    };
    assert!(history.unwrap().events.is_empty(), "of a log that is not selective, memory is read");
}

#[test]
fn what_was_void_comes_back_once_the_last_event_is_trimmed() {
    let log = ScriptedLog::default();
    log.state().records = vec![record("a", 1), last("a", 2), seen(1, record("a", 3))];
    log.state().end = 3;
    let (knows, replica) = log.hub();
    replica.deliver(record("a", 1)).unwrap();
    replica.deliver(last("a", 2)).unwrap();
    replica.deliver(seen(1, record("a", 3))).unwrap();
    let mut stream = knows.subscribe("a").history(History::All).open().unwrap();
    assert_eq!(received(&mut stream), ["fresh", "1", "2", END]);

    log.state().trimmed = 2;
    log.state().records.drain(..2);
    let (is_new, replica) = log.hub();
    replica.deliver(seen(1, record("a", 3))).unwrap();
    let mut stream = is_new.subscribe("a").history(History::All).open().unwrap();
    assert_eq!(received(&mut stream), ["fresh", "3"]);
    assert!(!is_over(&is_new, &["a"], 2));
    assert_eq!(received(&mut resume(&is_new, &["a"], 2)), ["resumed", "3"]);
    // Read back, too.
    replica.restart(Origin { epoch: epoch(), position: 3, end: 3 }).unwrap();
    assert_eq!(received(&mut resume(&is_new, &["a"], 2)), ["resumed", "3"]);
}

#[test]
fn the_log_is_asked_for_ends_that_memory_does_not_have() {
    let log = ScriptedLog::default();
    log.state().records = vec![record("a", 1), last("a", 2), record("b", 3), last("c", 4)];
    log.state().trimmed = 0;
    let (hub, replica) = log.hub();
    replica.restart(Origin { epoch: epoch(), position: 4, end: 4 }).unwrap();
    // Nobody has asked yet.
    assert!(!is_over(&hub, &["a"], 3));
    assert_eq!(received(&mut resume(&hub, &["a"], 3)), ["resumed", END]);
    assert!(is_over(&hub, &["a"], 3) && !is_over(&hub, &["a", "c"], 4));
    assert_eq!(received(&mut resume(&hub, &["a", "c"], 3)), ["resumed", "4", END]);
    assert!(is_over(&hub, &["a", "c"], 4));
    // One that is open, and one that the log has never had.
    assert_eq!(received(&mut resume(&hub, &["a", "b"], 4)), ["resumed"]);
    assert_eq!(received(&mut resume(&hub, &["d"], 4)), ["resumed"]);
    // A fresh client has come for the last event.
    let mut fresh = hub.subscribe(["a", "c"]).open().unwrap();
    assert_eq!(received(&mut fresh), ["fresh", "2", "4", END]);
    let mut open = hub.subscribe(["a", "b"]).open().unwrap();
    assert_eq!(received(&mut open), ["fresh"]);
    replica.deliver(last("b", 5)).unwrap();
    assert_eq!(received(&mut open), ["5", END]);
}

#[test]
fn an_end_that_is_not_delivered_yet_is_no_end() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    let mut stream = hub.subscribe("a").history(History::All).open().unwrap();
    log.state().records = vec![last("a", 1)];
    assert_eq!(received(&mut stream), ["fresh"]);
    replica.deliver(last("a", 1)).unwrap();
    assert_eq!(received(&mut stream), ["1", END]);
}

#[test]
fn a_gap_leaves_no_end_that_is_not_asked_for() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    replica.deliver(last("a", 1)).unwrap();
    assert!(is_over(&hub, &["a"], 1));
    // The log has lost all that it had.
    log.state().trimmed = 5;
    replica.restart(Origin { epoch: epoch(), position: 5, end: 5 }).unwrap();
    assert_eq!(received(&mut resume(&hub, &["a"], 5)), ["resumed"]);
}

#[test]
fn a_topic_in_memory_is_as_new_when_its_last_event_is_gone() {
    let hub = Hub::builder().max_retained_bytes(1_000).retry(None).heartbeat(None).build();
    let mut both = hub.subscribe(["a", "b"]).open().unwrap();
    received(&mut both);
    let id = hub.finish("a", Event::new("last")).wait().unwrap().id();
    assert_eq!(received(&mut both), ["last"]);
    let over = || Resume::new().with_last_event_id(id.as_str()).subscribe(&hub, "a").open();
    assert_eq!(over().unwrap_err().kind(), SubscribeErrorKind::Finished);
    for _ in 0..10 {
        hub.publish("other", Event::new("x".repeat(500))).wait().unwrap();
    }
    assert_eq!(received(&mut over().unwrap()), ["resumed"]);
    hub.publish("a", Event::new("anew")).wait().unwrap();
    assert_eq!(received(&mut both), ["anew"]);

    // What retains nothing keeps its last event for those who are connected.
    let none = Retention::none();
    let hub = Hub::builder().retention(none).retry(None).heartbeat(None).build();
    let mut live = hub.subscribe("a").open().unwrap();
    received(&mut live);
    hub.finish("a", Event::new("last")).wait().unwrap();
    assert_eq!(received(&mut live), ["last", END]);
    drop(live);
    assert_eq!(received(&mut hub.subscribe("a").open().unwrap()), ["fresh"]);
}

#[test]
fn a_node_knows_for_a_minute_that_a_topic_is_finished_whose_last_event_it_has_not_kept() {
    let log = ScriptedLog::default();
    let clock = ManualClock::new();
    let builder = Hub::builder().clock(&clock).retention(Retention::none()).retry(None);
    let hub = builder.heartbeat(None).build_on(log.clone());
    log.replica().deliver(last("a", 1)).unwrap();
    clock.advance(Duration::from_millis(59_999));
    assert!(is_over(&hub, &["a"], 1));
    let error = hub.publish("a", Event::new("late")).wait().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Finished);
    assert!(log.state().ends.is_empty(), "it has not asked");
    // The log has lost the event meanwhile.
    clock.advance(Duration::from_millis(1));
    assert!(!is_over(&hub, &["a"], 1));
    assert_eq!(received(&mut resume(&hub, &["a"], 1)), ["resumed"]);
    let mut publish = pin!(hub.publish("a", Event::new("anew")));
    assert!(publish.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(log.state().appends.len(), 1);
}

#[test]
fn an_ephemeral_event_that_is_refused_reaches_no_other_node() {
    let log = ScriptedLog::default();
    log.state().is_shared = true;
    let (hub, replica) = log.hub();
    let told = || {
        let is_event = |signal: &&Bytes| String::from_utf8_lossy(signal).contains("ephemeral");
        log.state().signals.iter().filter(is_event).count()
    };
    let send = |topic: &str| hub.publish_ephemeral(topic, Event::new("typing"));
    assert_eq!(send("a").unwrap(), 0);
    assert_eq!(told(), 1);
    let _stream = hub.subscribe("a").open().unwrap();
    replica.deliver(last("a", 1)).unwrap();
    assert_eq!(send("a").unwrap_err().kind(), PublishErrorKind::Finished);
    hub.close();
    assert_eq!(send("b").unwrap_err().kind(), PublishErrorKind::Closed);
    assert_eq!(told(), 1);
}

#[test]
fn an_end_is_not_forgotten_when_its_topic_is_followed() {
    let log = ScriptedLog::default();
    log.state().is_selective = true;
    let (hub, replica) = log.hub();
    log.state().records = vec![last("a", 1)];
    replica.reached(1).unwrap();
    let mut one = hub.subscribe("a").open().unwrap();
    assert_eq!(received(&mut one), [""; 0], "the log has said that it is finished");
    let interest = log.state().interests[0].1.unwrap();
    replica.followed([(&TopicPattern::new("a").unwrap(), interest)], 1).unwrap();
    // From now on it says nothing.
    log.state().records.clear();
    assert_eq!(received(&mut hub.subscribe("a").open().unwrap()), ["fresh", END]);
}

#[test]
fn a_topic_that_is_followed_from_before_its_end_ends_when_that_comes() {
    let log = ScriptedLog::default();
    log.state().is_selective = true;
    let (hub, replica) = log.hub();
    // Nobody has the topic here, so its last event is not waited for.
    let mut finish = pin!(hub.finish("a", Event::new("last")));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(finish.as_mut().poll(cx).is_pending());
    let appended = Appended { epoch: epoch(), position: 2, is_duplicate: false };
    log.state().appends.remove(0).send(Ok(appended));
    assert!(finish.poll(cx).is_ready());
    let mut stream = resume(&hub, &["a"], 0);
    let interest = log.state().interests[0].1.unwrap();
    replica.followed([(&TopicPattern::new("a").unwrap(), interest)], 0).unwrap();
    assert_eq!(received(&mut stream), ["resumed"]);
    replica.deliver(record("a", 1)).unwrap();
    replica.deliver(last("a", 2)).unwrap();
    assert_eq!(received(&mut stream), ["1", "2", END]);
}

#[test]
fn an_event_that_the_log_has_put_after_the_last_one_is_in_doubt() {
    let log = ScriptedLog::default();
    let (hub, replica) = log.hub();
    let mut publish = pin!(hub.publish("a", Event::new("late")));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(publish.as_mut().poll(cx).is_pending());
    replica.deliver(last("a", 1)).unwrap();
    let appended = Appended { epoch: epoch(), position: 2, is_duplicate: false };
    log.state().appends.remove(0).send(Ok(appended));
    replica.deliver(seen(0, record("a", 2))).unwrap();
    let Poll::Ready(outcome) = publish.poll(cx) else { panic!("it is delivered") };
    let error = outcome.unwrap_err();
    let kind = error.log_error().map(LogError::kind);
    assert_eq!(kind, Some(LogErrorKind::Unacknowledged), "{error}");
    // With a key, the log finds what it has. Trying again changes nothing.
    let mut again = pin!(hub.publish_once("key", "a", Event::new("late")));
    assert!(again.as_mut().poll(cx).is_pending());
    let appended = Appended { epoch: epoch(), position: 2, is_duplicate: true };
    log.state().appends.remove(0).send(Ok(appended));
    let Poll::Ready(Err(error)) = again.poll(cx) else { panic!("it is refused") };
    assert_eq!(error.kind(), PublishErrorKind::Finished);
    // From now on it is certain.
    let error = hub.publish("a", Event::new("later")).wait().unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Finished);
}

#[test]
fn every_stream_of_a_cohort_ends_and_the_cohort_waits() {
    let hub = Hub::builder().retry(None).heartbeat(None).build();
    let mut streams: Vec<_> = (0..3).map(|_| hub.subscribe("a").open().unwrap()).collect();
    let mut cohort = Cohort::of(&streams[0], Waker::noop().clone());
    let cx = &mut Context::from_waker(Waker::noop());
    for stream in &mut streams {
        while cohort.poll_member(stream, cx).is_ready() {}
    }
    assert!(cohort.next_batch().unwrap().is_none());
    hub.finish("a", Event::new("last")).wait().unwrap();
    let batch = cohort.next_batch().unwrap().unwrap();
    // One of them does not get it yet.
    for stream in &mut streams[1..] {
        cohort.mark_sent(&batch, stream);
    }
    assert!(cohort.next_batch().is_err(), "each of them has something of its own");
    assert!(cohort.next_batch().unwrap().is_none(), "they are told once");
    for (n, stream) in streams.iter_mut().enumerate() {
        let mut text = String::new();
        while let Poll::Ready(Some(bytes)) = cohort.poll_member(stream, cx) {
            text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        }
        assert_eq!(text.contains("data: last"), n == 0);
        assert!(text.ends_with(&format!("event: {END_EVENT}\ndata: {END}\n\n")), "{text}");
        assert!(matches!(cohort.poll_member(stream, cx), Poll::Ready(None)));
    }
}
