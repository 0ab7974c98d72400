//! A hub that is drained, and streams that end by their age.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use reader::{Reader, Wakes, publish};
use tidings::{Drain, END_EVENT, Hub, HubBuilder, Message, STATUS_EVENT, clock::ManualClock};

fn hub(clock: &ManualClock) -> HubBuilder {
    Hub::builder().clock(clock).heartbeat(None)
}

/// Reads an end of this reason, which is the last event, and returns its `retry` in milliseconds.
#[track_caller]
fn retry_of_end(reader: &mut Reader, reason: &str) -> u64 {
    let text = String::from_utf8(reader.bytes()).unwrap();
    assert!(reader.ended, "{text:?}");
    let end = text.trim_end().rsplit("\n\n").next().unwrap().to_owned();
    let lines: Vec<_> = end.lines().collect();
    let data = format!("data: {{\"reason\":\"{reason}\"}}");
    assert_eq!((lines[0], lines[2]), ("event: tidings:end", &*data));
    lines[1].strip_prefix("retry: ").unwrap().parse().unwrap()
}

fn poll(drain: &mut Drain, wakes: &Arc<Wakes>) -> Poll<()> {
    Pin::new(drain).poll(&mut Context::from_waker(&Waker::from(wakes.clone())))
}

#[test]
fn streams_end_evenly_over_the_time_each_with_a_retry_of_its_own() {
    let clock = ManualClock::new();
    let hub = hub(&clock).build();
    let mut readers: Vec<_> =
        (0..200).map(|_| Reader::open_with_status(hub.subscribe("a")).0).collect();
    let wakes = Arc::new(Wakes::default());
    let mut drain = hub.drain(Duration::from_secs(10));
    let mut retries = HashSet::new();
    let mut first = Vec::new();
    for second in 1..=10 {
        assert!(poll(&mut drain, &wakes).is_pending());
        clock.advance(Duration::from_secs(1));
        let mut ended = 0;
        for (number, reader) in readers.iter_mut().enumerate().filter(|(_, reader)| !reader.ended) {
            reader.bytes();
            if reader.ended {
                ended += 1;
                if second == 1 {
                    first.push(number);
                }
            }
        }
        assert_eq!(ended, 20, "in second {second}");
    }
    assert_ne!(first, (0..20).collect::<Vec<_>>(), "those that connected first");
    for reader in &mut readers {
        let text = String::from_utf8(reader.raw.clone()).unwrap();
        let retry = text.rsplit_once("retry: ").unwrap().1.lines().next().unwrap().to_owned();
        retries.insert(retry.parse::<u64>().unwrap());
        let messages = reader.messages_so_far();
        assert_eq!(messages.last().map(Message::event), Some(END_EVENT));
        assert_eq!(messages.last().map(Message::data), Some(r#"{"reason":"drained"}"#));
    }
    assert!(retries.len() > 50, "{retries:?}");
    assert!(retries.iter().all(|retry| (2_400..=3_600).contains(retry)), "{retries:?}");
    // Its streams are there, but the time is over.
    assert!(wakes.count() > 0 && poll(&mut drain, &wakes).is_ready());
    assert_eq!(hub.metrics().ended_drained, 200);
}

#[test]
fn a_drain_is_over_when_no_stream_is_left() {
    let clock = ManualClock::new();
    let hub = hub(&clock).build();
    let readers = [(); 3].map(|()| Reader::open(hub.subscribe("a")));
    let wakes = Arc::new(Wakes::default());
    let mut drain = hub.drain(Duration::from_secs(60));
    assert!(poll(&mut drain, &wakes).is_pending());
    drop(readers);
    assert!(wakes.count() > 0 && poll(&mut drain, &wakes).is_ready());
    let mut again = hub.drain(Duration::from_secs(60));
    assert!(poll(&mut again, &wakes).is_ready(), "there is none");
}

#[test]
fn a_hub_that_drains_is_not_ready_and_turns_new_streams_away_gently() {
    let clock = ManualClock::new();
    let hub = hub(&clock).build();
    let (mut open, _) = Reader::open_with_status(hub.subscribe("a"));
    let _drain = hub.drain(Duration::from_secs(10));
    let health = hub.health();
    assert!(health.is_draining && !health.is_ready() && hub.is_draining());
    assert_eq!(health.to_string(), "hub is draining");
    let id = publish(&hub, "a", "one");
    let mut new = Reader::open(reader::after(id.as_str()).subscribe(&hub, "a"));
    assert_eq!(hub.clients().count(), 1, "it is not listed");
    let text = String::from_utf8(new.bytes()).unwrap();
    assert!(text.starts_with("event: tidings:end\nretry: "), "{text}");
    assert!(text.ends_with("\ndata: {\"reason\":\"drained\"}\n\n"), "{text}");
    assert!(new.ended && new.error.is_none());
    // Others go on.
    assert_eq!(open.data(), ["one"]);
    // History is no stream.
    let history = hub.history("a", tidings::History::All).wait().unwrap();
    assert_eq!(history.events.len(), 1);
}

#[test]
fn a_drained_stream_is_sent_what_was_published_before_its_turn_and_no_more() {
    let clock = ManualClock::new();
    let hub = hub(&clock).retry(None).build();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe("a"));
    publish(&hub, "a", "before");
    let _drain = hub.drain(Duration::ZERO);
    // A topic that never rests does not keep it.
    publish(&hub, "a", "after");
    let messages = reader.messages();
    let events: Vec<_> = messages.iter().map(|message| message.data()).collect();
    assert_eq!(events, ["before", r#"{"reason":"drained"}"#]);
    assert!(reader.ended);
    // It goes on elsewhere where it was.
    assert!(messages[1].last_event_id() == messages[0].last_event_id());
}

#[test]
fn a_closed_hub_is_closed_and_not_drained() {
    let clock = ManualClock::new();
    let hub = hub(&clock).build();
    let id = publish(&hub, "a", "one");
    publish(&hub, "a", "two");
    let _drain = hub.drain(Duration::ZERO);
    hub.close();
    assert_eq!(hub.health().to_string(), "hub is closed");
    let mut reader = Reader::open(reader::after(id.as_str()).subscribe(&hub, "a"));
    let messages = reader.messages();
    let events: Vec<_> = messages.iter().map(|message| message.event()).collect();
    assert_eq!(events, [STATUS_EVENT, "message"]);
}

#[test]
fn a_stream_lives_no_longer_than_it_may_with_the_jitter() {
    let clock = ManualClock::new();
    let hub = hub(&clock).max_lifetime(Duration::from_secs(100)).build();
    let mut readers: Vec<_> =
        (0..100).map(|_| Reader::open_with_status(hub.subscribe("a")).0).collect();
    let still_open = |readers: &mut Vec<Reader>| {
        readers.iter_mut().for_each(|reader| drop(reader.bytes()));
        readers.iter().filter(|reader| !reader.ended).count()
    };
    clock.advance(Duration::from_secs(79));
    assert_eq!(still_open(&mut readers), 100);
    clock.advance(Duration::from_secs(21));
    let half = still_open(&mut readers);
    assert!((10..=90).contains(&half), "{half} of 100 at the middle");
    let mut last = Reader::open_with_status(hub.subscribe("a")).0;
    clock.advance(Duration::from_secs(121));
    assert_eq!(still_open(&mut readers), 0);
    let retry = retry_of_end(&mut last, "lifetime");
    assert!((2_400..=3_600).contains(&retry), "{retry}");
    assert_eq!(hub.metrics().ended_lifetime, 101);
    drop((readers, last));
    assert_eq!(hub.clients().count(), 0);
}
