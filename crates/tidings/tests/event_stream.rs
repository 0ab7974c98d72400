//! A stream of events without a hub.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use futures_util::stream;
use reader::Reader;
use reader::source::Source;
use tidings::{Comment, Event, EventId, EventStream, error::StreamErrorKind};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn retry(text: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix("retry: ")).unwrap().parse().unwrap()
}

#[test]
fn events_are_sent_as_they_are() {
    let events = [
        Event::named("delta", "{\"text\":\"Hello\"}").unwrap(),
        Event::new("one\r\ntwo\rthree\n"),
        Event::new("x").with_id(EventId::new("my own").unwrap()),
        Event::comment("only a comment").unwrap(),
        Event::named("tidings:status", "the hub's name, but there is no hub").unwrap(),
        Event::new("x").with_comment(Comment::new("c").unwrap()),
        Event::new("[DONE]"),
    ];
    let expected: Vec<u8> = events.iter().flat_map(|event| event.encode()).collect();
    let mut reader = Reader::new(EventStream::new(stream::iter(events)));
    assert_eq!(text(&reader.bytes()), text(&expected));
    assert!(expected.ends_with(b"data: [DONE]\n\n"));
    assert!(reader.ended);
}

#[test]
fn each_event_leaves_as_soon_as_it_comes() {
    let source = Source::new();
    let mut reader = Reader::new(EventStream::new(source.clone()));
    assert_eq!(reader.bytes(), b":\n\n", "so that proxies pass on the headers");
    for n in 0..3 {
        let wakes = reader.wakes.count();
        source.send(Event::new(n.to_string()));
        assert_eq!(reader.wakes.count(), wakes + 1);
        assert_eq!(text(&reader.bytes()), format!("data: {n}\n\n"));
    }
    source.end();
    assert!(reader.bytes().is_empty() && reader.ended);
}

#[test]
fn an_error_ends_the_stream_after_the_last_whole_event() {
    let source = Source::new();
    let mut reader = Reader::new(EventStream::new(source.clone()));
    reader.bytes();
    source.send(Ok(Event::new("one")));
    source.send(Err("x".parse::<u8>().unwrap_err()));
    source.send(Ok(Event::new("two")));
    assert_eq!(text(&reader.bytes()), "data: one\n\n");
    let error = reader.error.take().unwrap();
    assert_eq!(error.kind(), StreamErrorKind::Application);
    assert_eq!(error.to_string(), "event stream failed: invalid digit found in string");
    assert!(std::error::Error::source(&error).unwrap().is::<std::num::ParseIntError>());
    for _ in 0..3 {
        assert!(reader.bytes().is_empty() && reader.ended && reader.error.is_none());
    }
}

#[test]
fn no_retry_is_sent_unless_it_is_set() {
    let mut reader = Reader::new(EventStream::new(stream::iter([Event::new("x")])));
    assert!(!text(&reader.bytes()).contains("retry"));
    let told = EventStream::new(stream::iter([Event::new("x")])).retry(Duration::from_secs(10));
    let mut reader = Reader::new(told);
    let bytes = reader.bytes();
    assert!((8_000..=12_000).contains(&retry(text(&bytes))));
    assert!(text(&bytes).ends_with("\n\ndata: x\n\n"), "a block of its own: the event is as it is");
    let taken_back = EventStream::new(stream::iter([Event::new("x")]))
        .retry(Duration::from_secs(10))
        .retry(None);
    assert_eq!(text(&Reader::new(taken_back).bytes()), "data: x\n\n");
}

#[test]
fn the_retry_is_sent_even_if_no_event_is_ready_or_ever_comes() {
    let source = Source::<Event>::new();
    let mut reader = Reader::new(EventStream::new(source.clone()).retry(Duration::from_secs(1)));
    let bytes = reader.bytes();
    assert_eq!(text(&bytes), format!("retry: {}\n\n", retry(text(&bytes))));
    source.end();
    assert!(reader.bytes().is_empty() && reader.ended);

    let none = stream::empty::<Event>();
    let mut reader = Reader::new(EventStream::new(none).retry(Duration::from_secs(1)));
    assert!((800..=1_200).contains(&retry(text(&reader.bytes()))));
    assert!(reader.ended);
}

#[test]
fn an_empty_stream_is_an_empty_body() {
    let mut reader = Reader::new(EventStream::new(stream::empty::<Event>()));
    assert!(reader.bytes().is_empty() && reader.ended);
}

#[test]
fn a_stream_that_has_ended_stays_so() {
    // `iter` may be polled again after its end, a channel as well; a generator panics.
    let mut polls = 0;
    let once = stream::poll_fn(move |_| {
        polls += 1;
        assert!(polls <= 2, "polled after its end");
        std::task::Poll::Ready((polls == 1).then(|| Event::new("x")))
    });
    let mut reader = Reader::new(EventStream::new(once));
    assert_eq!(text(&reader.bytes()), "data: x\n\n");
    for _ in 0..3 {
        assert!(reader.bytes().is_empty() && reader.ended);
    }
}
