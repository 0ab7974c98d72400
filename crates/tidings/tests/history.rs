//! The position of a hub, and history as data.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::thread;
use std::time::Duration;

use reader::{Reader, after, position, publish, within};
use tidings::clock::ManualClock;
use tidings::error::SubscribeErrorKind;
use tidings::{Event, History, Hub, Message, Retention, STATUS_EVENT, Status};

fn ids(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| position(message.last_event_id())).collect()
}

#[test]
fn a_history_is_what_a_fresh_client_is_sent() {
    let clock = ManualClock::new();
    let hub = Hub::builder()
        .clock(clock.clock())
        .retain("short:*", Retention::default().events(2))
        .unwrap()
        .build();
    for n in 0..30 {
        publish(&hub, ["a", "b", "short:1", "unasked"][n % 4], &n.to_string());
        hub.publish_ephemeral("a", Event::new("ephemeral")).unwrap();
        clock.advance(Duration::from_secs(1));
    }
    for names in [&["a"][..], &["a", "b", "silent"], &["*"], &["short:*", "a"], &["nobody"]] {
        for history in [
            History::None,
            History::Last(0),
            History::Last(3),
            History::Last(100),
            History::Within(Duration::from_secs(9)),
            History::All,
        ] {
            let fresh = hub.subscribe_matching(names).history(history);
            let (mut reader, _) = Reader::open_with_status(fresh);
            let read = hub.history_matching(names, history).wait().unwrap();
            assert_eq!(read.events, reader.messages(), "{names:?} {history:?}");
            assert_eq!(read.position.as_str(), reader.last_id(), "{names:?} {history:?}");
        }
    }
}

#[test]
fn a_history_is_not_a_client_and_leaves_nothing() {
    let hub = Hub::new();
    let mut read = hub.history(("a", "b"), History::All);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::Pin::new(&mut read).poll(&mut cx).is_ready());
    assert_eq!((hub.metrics().clients, hub.metrics().fresh, hub.metrics().topics), (0, 0, 0));
    assert!(hub.clients().list().is_empty());
}

#[test]
fn a_history_of_bad_topics_is_an_error() {
    let hub = Hub::builder().topics_per_subscription(2).patterns_per_subscription(1).build();
    let kind = |read: tidings::ReadHistory| read.wait().unwrap_err().kind();
    assert_eq!(kind(hub.history("two words", History::All)), SubscribeErrorKind::Topic);
    assert_eq!(kind(hub.history("a:*", History::All)), SubscribeErrorKind::Topic);
    assert_eq!(kind(hub.history([""; 0], History::All)), SubscribeErrorKind::NoTopics);
    assert_eq!(kind(hub.history(["a", "b", "c"], History::All)), SubscribeErrorKind::TooManyTopics);
    let patterns = hub.history_matching(["a*", "b*"], History::All);
    assert_eq!(kind(patterns), SubscribeErrorKind::TooManyPatterns);
}

#[test]
fn a_hub_that_is_closed_still_has_its_history() {
    let hub = Hub::new();
    publish(&hub, "a", "1");
    hub.close();
    for topics in ["a", "*"] {
        let history = hub.history_matching(topics, History::All).wait().unwrap();
        assert_eq!(ids(&history.events), [1]);
    }
}

#[test]
fn a_history_is_written_as_json() {
    let hub = Hub::new();
    let id = hub.publish("a", Event::json("greeting", &"hi").unwrap()).wait().unwrap().id();
    let history = hub.history("a", History::All).wait().unwrap();
    assert_eq!(
        serde_json::to_string(&history).unwrap(),
        format!(
            r#"{{"events":[{{"id":"{id}","event":"greeting","data":"\"hi\""}}],"position":"{id}"}}"#
        ),
    );
}

/// A page takes the position, or reads the history, while events are published, and then opens its stream.
#[test]
fn a_page_and_its_stream_have_every_event_once() {
    within(60, || {
        let hub = Hub::builder().retention(Retention::default().events(100_000)).build();
        let publishers = ["a", "b"].map(|topic| {
            let hub = hub.clone();
            thread::spawn(move || {
                for n in 0..5_000 {
                    publish(&hub, topic, &n.to_string());
                }
            })
        });
        let readers = [&["a", "b"][..], &["a"], &["*"]].map(|topics| {
            let hub = hub.clone();
            thread::spawn(move || {
                let mut pages = Vec::new();
                while pages.len() < 50 {
                    let from = hub.position();
                    let history = hub.history_matching(topics, History::All).wait().unwrap();
                    let stream = |position| {
                        let request = after(position);
                        Reader::open(request.subscribe_matching(&hub, topics).retry(None))
                    };
                    let rest = stream(history.position.as_str());
                    let later = stream(from.as_str());
                    assert_eq!(later.subscription().status(), Status::Resumed);
                    pages.push((position(from.as_str()), history.events, rest, later));
                    thread::yield_now();
                }
                pages
            })
        });
        publishers.into_iter().for_each(|thread| thread.join().unwrap());
        let all = hub.history_matching("*", History::All).wait().unwrap().events;
        assert_eq!(ids(&all), (1..=10_000).collect::<Vec<_>>());
        let of_a = hub.history("a", History::All).wait().unwrap().events;
        for (topics, reader) in [&all, &of_a, &all].into_iter().zip(readers) {
            let expected = ids(topics);
            for (from, history, mut rest, mut later) in reader.join().unwrap() {
                let is_event = |message: &Message| message.event() != STATUS_EVENT;
                let mut stream = rest.messages();
                stream.retain(is_event);
                assert_eq!([ids(&history), ids(&stream)].concat(), expected);
                let mut later = later.messages();
                later.retain(is_event);
                assert!(
                    ids(&later).into_iter().eq(expected.iter().copied().filter(|at| *at > from))
                );
            }
        }
    });
}
