//! A stream that always has more lets its server send and others run.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use reader::{Reader, Wakes, publish, within};
use tidings::{Event, EventStream, History, Hub, error::StreamError};

const BURST: usize = 64 * 1024;

/// Polls a stream as servers do: until it is pending, then when it is woken. Returns how many bytes came each time, up to
/// `wanted` in all.
fn bursts(stream: impl Stream<Item = Result<Bytes, StreamError>>, wanted: usize) -> Vec<usize> {
    let mut stream = pin!(stream);
    let mut bursts = vec![0];
    while bursts.iter().sum::<usize>() < wanted {
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        while let Poll::Ready(next) = stream.as_mut().poll_next(&mut cx) {
            let Some(bytes) = next else { return bursts };
            *bursts.last_mut().unwrap() += bytes.unwrap().len();
        }
        if bursts.iter().sum::<usize>() >= wanted {
            break;
        }
        while wakes.count() == 0 {
            thread::yield_now();
        }
        bursts.push(0);
    }
    bursts
}

/// Events of one kilobyte each, and one of many.
fn busy_hub() -> Hub {
    let hub = Hub::new();
    (0..300).for_each(|n| drop(publish(&hub, "a", &format!("{n:1000}"))));
    publish(&hub, "a", &"x".repeat(500_000));
    hub
}

#[test]
fn a_stream_that_has_more_pauses_after_a_burst_and_is_woken() {
    within(30, || {
        let hub = busy_hub();
        let stream = hub.subscribe(["a"]).history(History::All).open().unwrap();
        let bursts = bursts(stream, 800_000);
        assert!(bursts.iter().all(|burst| *burst <= 2 * BURST), "{bursts:?}");
        assert!(bursts.len() >= 7, "{bursts:?}");
    });
}

#[test]
fn many_streams_that_have_more_are_all_woken() {
    within(30, || {
        let hub = busy_hub();
        let mut streams: Vec<_> = (0..100)
            .map(|_| {
                let stream = hub.subscribe(["a"]).history(History::All).open().unwrap();
                (stream, Arc::<Wakes>::default(), 0, 0)
            })
            .collect();
        // All of them pause before the first goes on: more than wake themselves.
        while !streams.is_empty() {
            streams.retain_mut(|(stream, wakes, polled_at, bytes)| {
                if *bytes > 0 && wakes.count() == *polled_at {
                    return true;
                }
                *polled_at = wakes.count();
                let waker = Waker::from(wakes.clone());
                let mut cx = Context::from_waker(&waker);
                let before = *bytes;
                while let Poll::Ready(next) = Pin::new(&mut *stream).poll_next(&mut cx) {
                    *bytes += next.unwrap().unwrap().len();
                }
                assert!(*bytes - before <= 2 * BURST, "{} bytes", *bytes - before);
                *bytes < 800_000
            });
        }
    });
}

#[test]
fn a_stream_that_has_nothing_more_does_not_pause() {
    let hub = Hub::new();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
    for _ in 0..100 {
        assert!(reader.bytes().is_empty());
        let wakes = reader.wakes.count();
        publish(&hub, "a", &"x".repeat(60_000));
        assert_eq!(reader.data().len(), 1);
        assert_eq!(reader.wakes.count(), wakes + 1, "once, for the event");
    }
}

#[test]
fn a_stream_without_a_hub_pauses_too() {
    within(30, || {
        for (size, items) in [(10, 16), (100_000, 1)] {
            let event = Event::new("x".repeat(size));
            let length = size + "data: \n\n".len();
            let events = futures_util::stream::iter(std::iter::repeat_n(event, 200));
            let bursts = bursts(EventStream::new(events), 200 * length);
            assert!(bursts.iter().all(|burst| *burst <= items * length), "{bursts:?}");
        }
        // It comes whole to those who only wait.
        let events = futures_util::stream::iter((0..1_000).map(|n| Event::new(n.to_string())));
        let all = futures_executor::block_on(EventStream::new(events).collect::<Vec<_>>());
        assert_eq!(all.len(), 1_000);
    });
}
