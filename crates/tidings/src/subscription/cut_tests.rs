//! A stream is cut after every byte of an exchange on two topics, and resumed with the
//! last id that the client saw.
//!
//! Here and not in `tests/`, because the publisher has to come in at the worst moment: when the
//! reader has read one topic and not yet the other one. `tests/mutants` holds the proof that these
//! tests fail when the watermark rule, a bound or the reset is broken.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::history::History;
use crate::decode::{Decoder, Message};
use crate::event::Event;
use crate::hub::Hub;
use crate::log::feed::test_hook;
use crate::log::retention::Retention;
use crate::resume::Resume;
use crate::status::STATUS_EVENT;

const EVENTS: usize = 30;
const TOPICS: [&str; 2] = ["a", "b"];

/// Publishes numbered events on two topics, in shapes that make cuts interesting.
struct Publisher {
    hub: Hub,
    published: Vec<&'static str>,
}

impl Publisher {
    fn publish(&mut self) {
        let n = self.published.len();
        // Runs of different length on either topic.
        let topic = TOPICS[usize::from(n % 5 < 2 || n % 7 == 3)];
        let data = data(n);
        let event = match n % 3 {
            0 => Event::new(data),
            _ => Event::named("named", data).unwrap(),
        };
        self.hub.publish(topic, event).wait().unwrap();
        if n.is_multiple_of(4) {
            self.hub.publish_ephemeral(topic, Event::named("typing", "").unwrap()).unwrap();
        }
        self.published.push(topic);
    }
}

/// What event `n` says: several lines, and characters of several bytes.
fn data(n: usize) -> String {
    match n % 4 {
        0 => format!("{n}\nsecond line"),
        1 => format!("{n} \u{1f980}"),
        _ => n.to_string(),
    }
}

/// The number of an event, whose data has to be whole.
#[track_caller]
fn number(message: &Message) -> usize {
    let digits = message.data().split([' ', '\n']).next().unwrap_or_default();
    let n = digits.parse().unwrap_or_else(|_| panic!("half an event: {message:?}"));
    assert_eq!(message.data(), data(n), "half an event");
    n
}

#[derive(Default)]
struct Client {
    last_id: String,
    /// The numbers of the events seen, over all connections.
    seen: Vec<usize>,
    statuses: Vec<String>,
    /// Bytes received over all connections.
    bytes: usize,
}

impl Client {
    /// Connects and reads until `limit` bytes have come in all, or until nothing comes any more
    /// although `publish` was called; it returns false when it has nothing left to publish.
    fn connect(&mut self, hub: &Hub, limit: usize, mut publish: impl FnMut() -> bool) {
        let mut subscribe = hub.subscribe(TOPICS).history(History::All).retry(None);
        if !self.last_id.is_empty() {
            subscribe = subscribe.resume(Resume::new().with_last_event_id(&self.last_id));
        }
        let mut stream = subscribe.open().unwrap();
        let mut decoder = Decoder::new();
        let mut context = Context::from_waker(Waker::noop());
        while self.bytes < limit {
            match Pin::new(&mut stream).poll_next(&mut context) {
                Poll::Ready(Some(Ok(chunk))) => {
                    let fits = chunk.len().min(limit - self.bytes);
                    self.bytes += fits;
                    decoder.feed(&chunk[..fits]).unwrap();
                }
                Poll::Ready(other) => panic!("the stream ended: {other:?}"),
                Poll::Pending if publish() => {}
                Poll::Pending => break,
            }
        }
        while let Some(message) = decoder.next_message() {
            match message.event() {
                STATUS_EVENT => self.statuses.push(message.data().to_owned()),
                "typing" => {}
                _ => self.seen.push(number(&message)),
            }
        }
        if !decoder.last_event_id().is_empty() {
            self.last_id = decoder.last_event_id().to_owned();
        }
    }

    fn last_status(&self) -> &str {
        self.statuses.last().map_or("none", |status| {
            let rest = status.strip_prefix(r#"{"status":""#).unwrap_or_default();
            rest.split('"').next().unwrap_or_default()
        })
    }
}

/// A hub with four events and its publisher, which publishes two more whenever a reader is between
/// two topics.
fn exchange(retention: Retention) -> (Hub, Rc<RefCell<Publisher>>) {
    let hub = Hub::builder().retention(retention).build();
    let publisher = Rc::new(RefCell::new(Publisher { hub: hub.clone(), published: Vec::new() }));
    let hooked = publisher.clone();
    test_hook::set(Some(Box::new(move || {
        let mut publisher = hooked.borrow_mut();
        for _ in 0..2 {
            if publisher.published.len() < EVENTS {
                publisher.publish();
            }
        }
    })));
    (0..4).for_each(|_| publisher.borrow_mut().publish());
    (hub, publisher)
}

/// An exchange with a client that is cut after this many bytes.
fn cut_after(bytes: usize, retention: Retention) -> (Hub, Rc<RefCell<Publisher>>, Client) {
    let (hub, publisher) = exchange(retention);
    let mut client = Client::default();
    client.connect(&hub, bytes, until(&publisher, EVENTS));
    (hub, publisher, client)
}

/// Publishes up to `count` events, one a call.
fn until(publisher: &Rc<RefCell<Publisher>>, count: usize) -> impl FnMut() -> bool + use<'_> {
    move || {
        let mut publisher = publisher.borrow_mut();
        let more = publisher.published.len() < count;
        if more {
            publisher.publish();
        }
        more
    }
}

/// The bytes of the whole exchange, uncut.
fn exchange_bytes(retention: Retention) -> usize {
    let (_, _, client) = cut_after(usize::MAX, retention);
    test_hook::set(None);
    client.bytes
}

fn retained(publisher: &Publisher, each: usize) -> Vec<usize> {
    let of = |topic| {
        let numbers = publisher.published.iter().enumerate();
        let numbers: Vec<_> = numbers.filter(|(_, t)| **t == topic).map(|(n, _)| n).collect();
        numbers[numbers.len().saturating_sub(each)..].to_vec()
    };
    let mut all: Vec<usize> = TOPICS.iter().flat_map(|topic| of(*topic)).collect();
    all.sort_unstable();
    all
}

#[test]
fn a_stream_cut_after_any_byte_is_resumed_without_gap_or_double() {
    let everything: Vec<usize> = (0..EVENTS).collect();
    let total = exchange_bytes(Retention::default());
    assert!(total > 1_500, "{total}");
    for cut in 0..=total {
        let (hub, publisher, mut client) = cut_after(cut, Retention::default());
        let knew_its_place = !client.last_id.is_empty();
        if !knew_its_place {
            client.seen.clear();
        }
        // Some events while the client is away, the rest when it is back.
        let while_away = (publisher.borrow().published.len() + 3).min(EVENTS);
        let mut publish = until(&publisher, while_away);
        while publish() {}
        client.connect(&hub, usize::MAX, until(&publisher, EVENTS));
        test_hook::set(None);
        let expected = if knew_its_place { "resumed" } else { "fresh" };
        assert_eq!(client.last_status(), expected, "cut after byte {cut}");
        assert_eq!(client.seen, everything, "cut after byte {cut}");
    }
}

#[test]
fn a_stream_cut_after_every_byte_in_turn_arrives_whole() {
    // One client, cut again and again, a byte further each time: as bad as lines get.
    let (hub, publisher) = exchange(Retention::default());
    let mut client = Client::default();
    for allowance in 0.. {
        let limit = client.bytes + allowance;
        client.connect(&hub, limit, until(&publisher, EVENTS));
        if client.seen.last() == Some(&(EVENTS - 1)) {
            break;
        }
        assert!(allowance < 10_000, "it gets nowhere");
    }
    test_hook::set(None);
    assert_eq!(client.seen, (0..EVENTS).collect::<Vec<_>>());
}

#[test]
fn a_cut_client_is_resumed_if_all_that_it_missed_is_retained_and_reset_if_not() {
    const KEPT: usize = 5;
    let retention = Retention::default().events(KEPT);
    let total = exchange_bytes(retention);
    let mut statuses = HashMap::<_, usize>::new();
    // Enough to push both topics over their edge, or perhaps none.
    for while_away in [1, 8 * KEPT] {
        for cut in 0..=total {
            let (hub, publisher, mut client) = cut_after(cut, retention);
            test_hook::set(None);
            (0..while_away).for_each(|_| publisher.borrow_mut().publish());
            let publisher = publisher.borrow();
            let kept = retained(&publisher, KEPT);
            let first_missed = client.seen.last().map_or(0, |last| last + 1);
            let missed: Vec<usize> = (first_missed..publisher.published.len()).collect();
            let (status, expected) = match missed.iter().all(|n| kept.contains(n)) {
                _ if client.last_id.is_empty() => ("fresh", kept),
                true => ("resumed", missed),
                false => ("reset", kept),
            };
            client.seen.clear();
            client.connect(&hub, usize::MAX, || false);
            assert_eq!(client.last_status(), status, "cut after byte {cut}");
            assert_eq!(client.seen, expected, "cut after byte {cut}");
            if status == "reset" {
                assert!(client.statuses.last().unwrap().contains(r#""reason":"trimmed""#));
            }
            *statuses.entry(status).or_default() += 1;
        }
    }
    assert!(statuses["resumed"] > 1_000 && statuses["reset"] > 1_000, "{statuses:?}");
}

#[test]
fn a_connected_client_that_is_overrun_is_reset_in_mid_stream() {
    const KEPT: usize = 5;
    let (hub, publisher) = exchange(Retention::default().events(KEPT));
    test_hook::set(None);
    let mut client = Client::default();
    // It reads a little, and not again before its live window has passed.
    let mut stalled = false;
    client.connect(&hub, usize::MAX, || {
        let mut publisher = publisher.borrow_mut();
        match publisher.published.len() {
            0..8 => publisher.publish(),
            _ if stalled => return false,
            _ => {
                (0..2_000).for_each(|_| publisher.publish());
                stalled = true;
            }
        }
        true
    });
    assert_eq!(client.statuses.len(), 2, "{:?}", client.statuses);
    assert_eq!(client.last_status(), "reset");
    let expected: Vec<usize> = (0..8).chain(retained(&publisher.borrow(), KEPT)).collect();
    assert_eq!(client.seen, expected);
}
