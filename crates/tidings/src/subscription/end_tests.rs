//! How a stream ends that its hub ends on purpose: polled as a body, and as a member of a cohort.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;

use super::Subscription;
use crate::backend::{Origin, Replica};
use crate::cohort::Cohort;
use crate::decode::{Decoder, Message};
use crate::end_reason::{END_EVENT, EndReason};
use crate::error::StreamErrorKind;
use crate::event::Event;
use crate::hub::Hub;
use crate::hub::scripted_log::{ScriptedLog, epoch, received, record};
use crate::resume::Resume;
use crate::status::STATUS_EVENT;

/// What a stream sends up to its end, as text and as events, and how it ends.
fn rest(
    stream: &mut Subscription,
    is_member: bool,
) -> (String, Vec<Message>, Option<StreamErrorKind>) {
    let cohort = is_member.then(|| Cohort::of(stream, Waker::noop().clone()));
    let mut cx = Context::from_waker(Waker::noop());
    let (mut text, mut decoder) = (String::new(), Decoder::new());
    let error = loop {
        let polled = match &cohort {
            Some(cohort) => cohort.poll_member(stream, &mut cx),
            None => Pin::new(&mut *stream).poll_next(&mut cx),
        };
        match polled {
            Poll::Ready(Some(Ok(bytes))) => {
                text.push_str(std::str::from_utf8(&bytes).unwrap());
                decoder.feed(&bytes).unwrap();
            }
            Poll::Ready(Some(Err(error))) => break Some(error.kind()),
            Poll::Ready(None) => break None,
            // It lets the server send what it has.
            Poll::Pending => {}
        }
    };
    (text, std::iter::from_fn(|| decoder.next_message()).collect(), error)
}

#[test]
fn a_stream_that_is_ended_says_why_and_ends_and_goes_on_where_it_was() {
    for (reason, is_member, by_reset) in [
        (EndReason::Expired, false, false),
        (EndReason::Expired, true, false),
        (EndReason::Drained, false, true),
        (EndReason::Drained, true, true),
        (EndReason::Finished, false, false),
        (EndReason::Finished, true, false),
    ] {
        let hub = Hub::new();
        hub.end_streams_by_reset(by_reset);
        let mut stream = hub.subscribe(["a"]).retry(Duration::from_secs(10)).open().unwrap();
        let cohort = Cohort::of(&stream, Waker::noop().clone());
        let mut cx = Context::from_waker(Waker::noop());
        while cohort.poll_member(&mut stream, &mut cx).is_ready() {}
        let id = hub.position();
        hub.publish("a", Event::new("last")).wait().unwrap();
        stream.client.end(reason);
        stream.client.end(EndReason::Limited);

        let (text, events, error) = rest(&mut stream, is_member);
        let sent: Vec<_> = events.iter().map(Message::event).collect();
        let sends_the_rest = reason != EndReason::Expired;
        assert_eq!(sent, if sends_the_rest { &["message", END_EVENT][..] } else { &[END_EVENT] });
        let last = events.last().unwrap();
        assert_eq!(last.data(), format!(r#"{{"reason":"{reason}"}}"#));
        // The event and its `retry` are one block, and the last.
        let block = text.trim_end_matches('\n').rsplit("\n\n").next().unwrap();
        let lines: Vec<_> = block.lines().collect();
        assert_eq!(lines[0], format!("event: {END_EVENT}"), "{text}");
        let retry = lines[1].strip_prefix("retry: ").map(|retry| retry.parse::<u64>().unwrap());
        assert_eq!(retry.is_some(), reason != EndReason::Finished, "{text}");
        assert!(retry.is_none_or(|retry| (8_000..=12_000).contains(&retry)), "{text}");
        let count = if retry.is_some() { 3 } else { 2 };
        assert!(lines.len() == count && !block.contains("id:"), "{text}");
        assert_eq!(error, by_reset.then_some(StreamErrorKind::Ended));
        assert_eq!(
            hub.metrics().to_prometheus().lines().find(|line| {
                line.starts_with("tidings_streams_ended_total") && line.ends_with(" 1")
            }),
            Some(&*format!("tidings_streams_ended_total{{reason=\"{reason}\"}} 1"))
        );
        drop(stream);

        let resume = Resume::new().with_last_event_id(id.as_str());
        let mut again = resume.subscribe(&hub, "a").open().unwrap();
        hub.close();
        let (_, events, _) = rest(&mut again, is_member);
        assert_eq!(events[0].event(), STATUS_EVENT);
        assert_eq!(events[1].data(), "last");
    }
}

#[test]
fn a_stream_that_is_ended_before_it_was_polled_sends_its_status_first() {
    for is_member in [false, true] {
        let hub = Hub::new();
        let mut stream = hub.subscribe(["a"]).open().unwrap();
        stream.client.end(EndReason::Revoked);
        let (text, events, error) = rest(&mut stream, is_member);
        let sent: Vec<_> = events.iter().map(Message::event).collect();
        assert_eq!((sent, error), (vec![STATUS_EVENT, END_EVENT], None));
        assert_eq!(text.matches("retry:").count(), 1, "only that of the beginning");
    }
}

#[test]
fn a_stream_that_is_closed_ends_without_a_word() {
    for is_ended_first in [false, true] {
        let hub = Hub::new();
        let mut stream = hub.subscribe(["a"]).open().unwrap();
        if is_ended_first {
            stream.client.end(EndReason::Revoked);
        }
        assert!(hub.clients().close(stream.client_id()));
        stream.client.end(EndReason::Expired);
        assert!(rest(&mut stream, false).1.is_empty());
        assert_eq!(hub.metrics().ended_revoked + hub.metrics().ended_expired, 0);
    }
}

#[test]
fn a_large_event_is_whole_before_the_end() {
    let hub = Hub::new();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    hub.publish("a", Event::new("x".repeat(100_000))).wait().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let mut decoder = Decoder::new();
    for _ in 0..3 {
        let Poll::Ready(Some(Ok(bytes))) = Pin::new(&mut stream).poll_next(&mut cx) else {
            panic!("there is more");
        };
        decoder.feed(&bytes).unwrap();
    }
    stream.client.end(EndReason::Expired);
    decoder.feed(rest(&mut stream, false).0.as_bytes()).unwrap();
    let events: Vec<_> = std::iter::from_fn(|| decoder.next_message()).collect();
    assert_eq!(events[1].data().len(), 100_000);
    assert_eq!(events[2].event(), END_EVENT);
}

/// A stream that resumes after position 0 of a log with so many events, page by page: one has one event, and comes when the
/// test says so. Its hub has none of them in memory, and drains.
fn reading_from(events: u64) -> (ScriptedLog, Hub, Replica, Subscription) {
    let log = ScriptedLog::default();
    log.state().records = (1..=events).map(|position| record("a", position)).collect();
    log.state().page_records = Some(1);
    log.state().holds_reads = true;
    let (hub, replica) = log.hub();
    replica.restart(Origin { epoch: epoch(), position: events, end: events }).unwrap();
    let resume = Resume::new().with_last_event_id(epoch().id(0).as_str());
    let mut stream = hub.subscribe(["a"]).resume(resume).open().unwrap();
    assert!(received(&mut stream).is_empty());
    drop(hub.drain(Duration::ZERO));
    assert!(received(&mut stream).is_empty());
    (log, hub, replica, stream)
}

const DRAINED: &str = r#"{"reason":"drained"}"#;

#[test]
fn a_stream_that_reads_the_log_is_sent_what_was_published_until_it_was_told_to_end() {
    let (log, hub, replica, mut stream) = reading_from(20);
    // More than what memory retains.
    for position in 21..2_000 {
        log.state().records.push(record("a", position));
        replica.deliver(record("a", position)).unwrap();
    }
    let mut data = Vec::new();
    for _ in 0..20 {
        // A second.
        hub.shared().replication.as_ref().unwrap().retry();
        assert!(received(&mut stream).is_empty());
        log.answer_reads();
        data.extend(received(&mut stream));
    }
    let mut expected = vec!["resumed".to_owned()];
    expected.extend((1..=20).map(|position| position.to_string()));
    expected.push(DRAINED.to_owned());
    assert_eq!(data, expected);
}

#[test]
fn a_stream_whose_log_gives_nothing_ends_without_the_rest() {
    let (log, hub, _replica, mut stream) = reading_from(20);
    let retry = || hub.shared().replication.as_ref().unwrap().retry();
    retry();
    log.answer_reads();
    assert_eq!(received(&mut stream), ["resumed", "1"]);
    retry();
    assert!(received(&mut stream).is_empty());
    retry();
    assert_eq!(received(&mut stream), [DRAINED]);
}

#[test]
fn a_client_that_takes_its_time_for_a_page_is_sent_the_next_one_before_the_end() {
    let (log, hub, _replica, mut stream) = reading_from(2);
    log.answer_reads();
    let (mut cx, mut text) = (Context::from_waker(Waker::noop()), String::new());
    while !text.contains("data: 1\n") {
        let polled = Pin::new(&mut stream).poll_next(&mut cx);
        let Poll::Ready(Some(Ok(bytes))) = polled else { panic!("{polled:?}") };
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    (0..5).for_each(|_| hub.shared().replication.as_ref().unwrap().retry());
    assert!(received(&mut stream).is_empty());
    log.answer_reads();
    assert_eq!(received(&mut stream), ["2", DRAINED]);
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_stream_whose_log_gives_nothing_is_woken_to_end() {
    let (_log, hub, _replica, mut stream) = reading_from(20);
    let woken = Arc::new(Woken::default());
    let waker = woken.clone().into();
    for _ in 0..2 {
        assert!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker)).is_pending());
        hub.shared().replication.as_ref().unwrap().retry();
        assert!(woken.0.swap(false, Ordering::Relaxed));
    }
    assert_eq!(received(&mut stream), [DRAINED]);
}
