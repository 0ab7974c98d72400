//! What readers hold of events that no topic has any more.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use reader::{Reader, Wakes, publish};
use tidings::{
    Event, History, Hub, HubBuilder, Retention, Snapshot, Subscribe, Subscription,
    clock::ManualClock, error::StreamErrorKind, transport::Cohort,
};

const MIB: usize = 1024 * 1024;

/// A hub whose topics retain one event, of at most 1 MiB.
fn builder(pinned_limit: usize) -> HubBuilder {
    let retention = Retention::default().events(1);
    Hub::builder().retention(retention).pinned_limit(pinned_limit).heartbeat(None).retry(None)
}

/// The data of an event that is almost 1 MiB.
fn large(number: usize) -> String {
    format!("{number}.{}", "x".repeat(MIB - 1_000))
}

fn number(data: &str) -> usize {
    data.split('.').next().unwrap().parse().unwrap()
}

/// A reader that has taken the first piece of a new event, and stalls.
fn stall(hub: &Hub, event: usize) -> Reader {
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
    publish(hub, "a", &large(event));
    assert!(reader.chunk().unwrap().len() < 10_000);
    reader
}

#[test]
fn a_reader_that_is_cut_in_the_middle_of_an_event_resumes_without_loss() {
    let hub = builder(MIB / 2).retention(Retention::default().bytes(2 * MIB)).build();
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
    publish(&hub, "a", "small");
    assert_eq!(reader.data(), ["small"]);
    publish(&hub, "a", &large(1));
    for _ in 0..7 {
        reader.chunk().unwrap();
    }
    // Another topic's event is evicted, which counts; this one's is not yet.
    let other = stall(&hub, 2);
    publish(&hub, "a", &large(3));
    assert_eq!(hub.metrics().streams_cut, 1);
    assert!(reader.data().is_empty(), "half an event is none");
    let error = reader.error.take().unwrap();
    assert_eq!(error.kind(), StreamErrorKind::Cut);
    assert_eq!(error.to_string(), "stream was cut because of the memory that it held");
    assert!(reader.chunk().is_none() && reader.ended);
    let (mut again, status) =
        Reader::open_with_status(hub.subscribe(["a"]).resume(reader.resume()));
    // The event that it had begun to read is gone, and it learns of that.
    assert_eq!(status["status"], "reset");
    let rest: Vec<_> = again.data().iter().map(|data| number(data)).collect();
    assert_eq!(rest, [2, 3]);
    drop(other);
}

#[test]
fn an_event_that_a_thousand_readers_hold_counts_once() {
    let hub = builder(3 * MIB).build();
    let mut readers: Vec<_> =
        (0..1_000).map(|_| Reader::open_with_status(hub.subscribe(["a"])).0).collect();
    publish(&hub, "a", &large(1));
    for reader in &mut readers {
        reader.chunk().unwrap();
    }
    assert_eq!(hub.metrics().pinned_bytes, 0, "the topic has it");
    publish(&hub, "a", &large(2));
    let pinned = hub.metrics().pinned_bytes;
    assert!((MIB - 1_000..=MIB).contains(&pinned), "{pinned}");
    assert_eq!(hub.metrics().streams_cut, 0);
    // They read at last, and hold nothing.
    for mut reader in readers {
        assert_eq!(number(&reader.data()[0]), 1);
    }
    assert_eq!(hub.metrics().pinned_bytes, 0);
}

#[test]
fn an_event_comes_whole_in_pieces_that_a_server_may_keep() {
    let hub = Hub::new();
    for length in [0, 1, 4_000, 4_096, 4_097, 8_192, 70_000, MIB - 1_000] {
        let mut reader = Reader::open(hub.subscribe(["a"]));
        reader.bytes();
        publish(&hub, "a", &"x".repeat(length));
        publish(&hub, "a", "next");
        let mut pieces = Vec::new();
        while let Some(piece) = reader.chunk() {
            pieces.push(piece.len());
        }
        let data: Vec<_> = reader.messages_so_far().iter().map(|m| m.data().len()).collect();
        assert_eq!(data[1..], [length, 4]);
        // Several short events are one run of bytes, which has a limit of its own.
        let limit = if length < 70_000 { 64 * 1024 } else { 4_096 };
        assert!(pieces.iter().all(|piece| (1..=limit).contains(piece)), "{pieces:?}");
    }
}

#[test]
fn snapshots_that_readers_hold_count() {
    let hub = builder(4 * MIB).build();
    let mut readers = Vec::new();
    for _ in 0..50 {
        let subscribe =
            hub.subscribe(["a"]).snapshot(|| async { Ok(Snapshot::new([Event::new(large(1))])) });
        let mut reader = Reader::open(subscribe);
        reader.chunk().unwrap();
        assert!(reader.chunk().unwrap().len() < 10_000, "the first of the snapshot");
        readers.push(reader);
        assert!(hub.metrics().pinned_bytes <= 4 * MIB);
    }
    assert!(hub.metrics().streams_cut >= 45);
    assert_eq!(number(readers.pop().unwrap().messages().pop().unwrap().data()), 1);
}

const TOPICS: usize = 1_500;
/// What a stream keeps for the past of so many topics: for each, where its next event is, and the topic itself.
const EACH: usize = 24 * TOPICS;

fn hub_of_many_topics(clock: &ManualClock, pinned_limit: usize) -> Hub {
    let builder = Hub::builder().clock(clock.clock()).pinned_limit(pinned_limit).heartbeat(None);
    let hub = builder.build();
    for n in 0..TOPICS {
        publish(&hub, &format!("p/{n}"), &"x".repeat(500));
    }
    hub
}

fn past(hub: &Hub) -> Subscribe {
    hub.subscribe_matching(["p/*"]).history(History::All)
}

#[test]
fn what_streams_keep_of_the_past_of_many_topics_counts_and_is_taken_from_the_one_that_stalls() {
    let clock = ManualClock::new();
    let hub = hub_of_many_topics(&clock, 3 * EACH - 1);
    let open = || {
        clock.advance(Duration::from_millis(10));
        Reader::open_with_status(past(&hub)).0
    };
    let [mut first, mut stalled] = [open(), open()];
    clock.advance(Duration::from_millis(10));
    assert!(first.chunk().is_some());
    assert_eq!(hub.metrics().pinned_bytes, 2 * EACH);
    let mut third = open();
    let figures = hub.metrics();
    assert_eq!((figures.streams_cut, figures.pinned_bytes), (1, 2 * EACH));
    assert!(stalled.chunk().is_none());
    assert_eq!(stalled.error.unwrap().kind(), StreamErrorKind::Cut);
    assert_eq!([first.data().len(), third.data().len()], [TOPICS; 2]);
    assert_eq!(hub.metrics().pinned_bytes, 0);
}

#[test]
fn as_many_streams_are_cut_at_once_as_need_be() {
    const FIT: usize = 24;

    let clock = ManualClock::new();
    let hub = hub_of_many_topics(&clock, FIT * EACH);
    let mut readers = Vec::new();
    for n in 0..=FIT {
        clock.advance(Duration::from_millis(10));
        readers.push(Reader::open_with_status(past(&hub)).0);
        assert_eq!(hub.metrics().streams_cut, if n < FIT { 0 } else { 4 });
    }
    // An eighth is free again.
    assert_eq!(hub.metrics().pinned_bytes, 21 * EACH);
    let is_cut: Vec<_> = readers.iter_mut().map(|reader| reader.chunk().is_none()).collect();
    assert_eq!(is_cut, (0..=FIT).map(|n| n < 4).collect::<Vec<_>>());
}

#[test]
fn a_stream_whose_past_alone_needs_more_than_the_limit_gets_it_whole() {
    for limit in [0, EACH - 1] {
        let hub = hub_of_many_topics(&ManualClock::new(), limit);
        let (mut reader, _) = Reader::open_with_status(past(&hub));
        assert_eq!(hub.metrics().pinned_bytes, EACH);
        assert_eq!(reader.data().len(), TOPICS);
        let figures = hub.metrics();
        assert_eq!((figures.streams_cut, figures.pinned_bytes), (0, 0));
    }
}

#[test]
fn streams_whose_pasts_need_more_than_the_limit_are_sent_them_in_turn() {
    let clock = ManualClock::new();
    let hub = hub_of_many_topics(&clock, EACH / 2);
    let mut readers = [(); 3].map(|()| {
        clock.advance(Duration::from_millis(10));
        Reader::open_with_status(past(&hub)).0
    });
    assert_eq!(hub.metrics().streams_cut, 2);
    let mut received = [0; 3];
    for _ in 0..100 {
        for (reader, received) in readers.iter_mut().zip(&mut received) {
            clock.advance(Duration::from_millis(10));
            // It comes back, and reads at once.
            while reader.chunk().is_none() && reader.error.is_some() {
                *reader = Reader::open_with_status(past(&hub).resume(reader.resume())).0;
            }
            *received += reader.messages_so_far().len();
        }
    }
    assert_eq!(received, [TOPICS; 3]);
    assert_eq!(hub.metrics().pinned_bytes, 0);
}

/// It is sent the past of some topics, for which nothing is counted.
#[test]
fn a_stream_that_holds_nothing_is_not_cut_in_place_of_others() {
    const FEW: usize = 20;

    let clock = ManualClock::new();
    let hub = builder(MIB).clock(clock.clock()).build();
    for n in 0..FEW {
        publish(&hub, &format!("p/{n}"), &"x".repeat(8_000));
    }
    let (mut slow, _) = Reader::open_with_status(past(&hub));
    assert!(slow.chunk().is_some());
    let stalled = [0, 1, 2].map(|event| {
        clock.advance(Duration::from_millis(10));
        stall(&hub, event)
    });
    assert!(hub.metrics().streams_cut > 0);
    assert_eq!(slow.data().len(), FEW);
    drop(stalled);
}

/// It takes long to find out what this keeps, and then nobody reads it.
#[test]
fn what_a_stream_keeps_for_a_past_that_it_does_not_read_is_taken_too() {
    const TOPICS: usize = 5_000;
    const EACH: usize = 24 * TOPICS;

    let clock = ManualClock::new();
    let builder = Hub::builder().clock(clock.clock()).pinned_limit(2 * EACH - 1).heartbeat(None);
    let hub = builder.build();
    for n in 0..TOPICS {
        publish(&hub, &format!("p/{n}"), "x");
    }
    let open = |until: &dyn Fn() -> bool| {
        clock.advance(Duration::from_millis(10));
        let subscribe = hub.subscribe_matching(["p/*"]).history(History::All);
        let mut reader = Reader::open(subscribe);
        assert!(reader.chunk().is_some(), "a comment");
        let began = Instant::now();
        while !until() {
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", hub.metrics());
            std::thread::yield_now();
        }
        reader
    };
    let mut stalled = open(&|| hub.metrics().pinned_bytes == EACH);
    let _other = open(&|| hub.metrics().streams_cut == 1);
    assert_eq!(hub.metrics().pinned_bytes, EACH);
    // Its status may come before it learns that it is cut.
    while stalled.chunk().is_some() {}
    assert!(stalled.messages_so_far().len() < 2);
    assert_eq!(stalled.error.unwrap().kind(), StreamErrorKind::Cut);
}

#[test]
fn closing_a_client_lets_the_event_end_that_it_reads() {
    for close_hub in [true, false] {
        let hub = builder(MIB).build();
        let mut reader = stall(&hub, 1);
        match close_hub {
            true => hub.close(),
            false => assert!(hub.clients().close(reader.subscription().client_id())),
        }
        assert_eq!(number(&reader.data()[0]), 1);
        assert!(reader.ended && reader.error.is_none());
    }
}

/// A stream of a transport that serves many from one thread, and what it holds for it.
struct Member {
    cohort: Cohort,
    reader: Reader,
    held: Option<bytes::Bytes>,
    wakes: std::sync::Arc<Wakes>,
}

impl Member {
    fn open(hub: &Hub) -> Self {
        let (reader, _) = Reader::open_with_status(hub.subscribe(["a"]));
        let cohort = Cohort::of(reader.subscription(), Waker::noop().clone());
        Self { cohort, reader, held: None, wakes: Default::default() }
    }

    fn stream(&mut self) -> &mut Subscription {
        self.reader.subscription_mut()
    }

    /// Is sent the next event, of which the socket takes nothing.
    fn stall(&mut self) {
        let batch = self.cohort.next_batch().unwrap().unwrap();
        self.cohort.mark_sent(&batch, self.reader.subscription_mut());
        assert!(batch.bytes().len() > MIB / 2, "not in pieces");
        self.held = Some(batch.bytes().clone());
        self.hold();
    }

    fn hold(&mut self) {
        let (length, waker) = (self.held.as_ref().unwrap().len(), Waker::from(self.wakes.clone()));
        self.stream().hold(length, &waker);
    }
}

#[test]
fn a_transport_is_told_to_let_go_of_what_its_slowest_stream_holds() {
    let clock = ManualClock::new();
    let hub = builder(7 * MIB / 2).clock(clock.clock()).build();
    let mut members = Vec::new();
    for event in 0..3 {
        let mut member = Member::open(&hub);
        publish(&hub, "a", &large(event));
        member.stall();
        members.push(member);
        clock.advance(Duration::from_millis(10));
    }
    // The first takes something; the second has sent everything.
    members[0].hold();
    members[1].held = None;
    members[1].stream().release();
    clock.advance(Duration::from_millis(10));
    let more: Vec<_> = (3..5).map(|event| stall(&hub, event)).collect();
    publish(&hub, "a", &large(5));
    let cut: Vec<_> = members.iter_mut().map(|member| member.stream().is_cut()).collect();
    assert_eq!(cut, [false, false, true]);
    let wakes: Vec<_> = members.iter().map(|member| member.wakes.count()).collect();
    assert_eq!(wakes, [0, 0, 1]);
    assert_eq!(hub.metrics().streams_cut, 1, "what it holds will be free");
    let Member { cohort, reader, .. } = &mut members[2];
    let next =
        cohort.poll_member(reader.subscription_mut(), &mut Context::from_waker(Waker::noop()));
    assert!(matches!(next, Poll::Ready(Some(Err(error))) if error.kind() == StreamErrorKind::Cut));

    // It does not let go for a second: others are cut in its place.
    clock.advance(Duration::from_secs(2));
    assert!(members[0].stream().is_cut());
    assert!(hub.metrics().streams_cut >= 2);
    drop((members, more));
    assert_eq!(hub.metrics().pinned_bytes, 0);
}

#[test]
fn a_stream_that_was_read_as_a_body_goes_on_in_a_cohort() {
    let hub = builder(MIB).build();
    let mut reader = stall(&hub, 1);
    let mut cohort = Cohort::of(reader.subscription(), Waker::noop().clone());
    assert!(matches!(cohort.next_batch(), Ok(None)));
    assert!(!cohort.is_caught_up(reader.subscription()), "it has the rest of an event");
    let cx = &mut Context::from_waker(Waker::noop());
    let Poll::Ready(Some(Ok(rest))) = cohort.poll_member(reader.subscription_mut(), cx) else {
        panic!("the rest is whole");
    };
    reader.feed(&rest);
    assert_eq!(number(reader.messages_so_far().last().unwrap().data()), 1);
    assert!(cohort.is_caught_up(reader.subscription()));
}

#[test]
fn history_of_large_events_arrives_whole() {
    let hub = Hub::builder().retention(Retention::default().bytes(8 * MIB)).build();
    (0..5).for_each(|event| drop(publish(&hub, "a", &large(event))));
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a"]).history(History::All));
    assert_eq!(reader.data().iter().map(|data| number(data)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}
