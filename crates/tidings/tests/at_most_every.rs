//! Streams with a least interval between two writes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use reader::{Reader, after, numbered, publish};
use tidings::clock::ManualClock;
use tidings::transport::{Cohort, CohortKey};
use tidings::{Event, History, Hub, HubBuilder, Retention, Subscribe};

const INTERVAL: Duration = Duration::from_millis(16);

fn builder(clock: &ManualClock) -> HubBuilder {
    Hub::builder().clock(clock.clock()).heartbeat(None).retry(None)
}

fn open(subscribe: Subscribe) -> Reader {
    Reader::open_with_status(subscribe.at_most_every(INTERVAL)).0
}

fn millis(clock: &ManualClock, millis: u64) {
    clock.advance(Duration::from_millis(millis));
}

#[test]
fn the_first_event_leaves_at_once_and_what_comes_in_the_interval_leaves_as_one() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    for topics in ["a", "a*"] {
        let mut reader = open(hub.subscribe_matching(topics));
        assert!(reader.data().is_empty());
        for _ in 0..3 {
            let wakes = reader.wakes.count();
            publish(&hub, "a", "0");
            assert_eq!(reader.wakes.count(), wakes + 1);
            assert_eq!(reader.data(), ["0"]);
            for round in 0..3 {
                let wakes = reader.wakes.count();
                for n in 0..100 {
                    publish(&hub, "a", &format!("x{n}"));
                    publish(&hub, "b", "for others");
                    assert!(reader.chunk().is_none());
                }
                millis(&clock, 15);
                assert_eq!((reader.wakes.count(), reader.chunk()), (wakes, None), "{round}");
                millis(&clock, 1);
                assert_eq!(reader.wakes.count(), wakes + 1);
                assert!(reader.chunk().is_some());
                let data: Vec<_> =
                    reader.messages_so_far().iter().map(|it| it.data().to_owned()).collect();
                assert_eq!(data, numbered("x", 0..100));
                assert!(reader.chunk().is_none());
            }
            millis(&clock, 100);
            assert!(reader.data().is_empty());
        }
    }
}

#[test]
fn of_a_key_the_newest_value_leaves_and_one_that_changes_all_the_time_does() {
    let clock = ManualClock::new();
    let hub = builder(&clock).retention(Retention::latest_per_key()).build();
    let mut reader = open(hub.subscribe("a"));
    assert!(reader.data().is_empty());
    let set = |key: &str, value: usize| {
        hub.publish("a", Event::keyed(key, format!("{key} {value}")).unwrap()).wait().unwrap();
    };
    set("always", 0);
    assert_eq!(reader.data(), ["always 0"]);
    for n in 1..100 {
        set("always", n);
        set("sometimes", n);
        set("always", n);
        millis(&clock, 16);
        // The stream is woken, and does not come to read at once.
        set("always", n + 1_000);
        assert_eq!(reader.data(), [format!("sometimes {n}"), format!("always {}", n + 1_000)]);
    }
}

#[test]
fn streams_of_the_same_topics_and_interval_are_served_together_and_others_are_not() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let mut same: Vec<_> = (0..50).map(|_| open(hub.subscribe(["a", "b"]))).collect();
    let mut slower =
        Reader::open_with_status(hub.subscribe(["a", "b"]).at_most_every(4 * INTERVAL)).0;
    let mut unpaced = Reader::open_with_status(hub.subscribe(["a", "b"])).0;
    let mut late = Vec::new();
    let all =
        |readers: &mut [Reader]| -> Vec<_> { readers.iter_mut().map(Reader::chunk).collect() };
    assert!(all(&mut same).iter().all(Option::is_none) && slower.chunk().is_none());
    publish(&hub, "a", "0");
    assert!(all(&mut same).iter().all(Option::is_some));
    all(&mut same);
    assert_eq!((slower.data(), unpaced.data()), (vec!["0".to_owned()], vec!["0".to_owned()]));
    for n in 1..10 {
        publish(&hub, ["a", "b"][n % 2], &format!("first {n}"));
        publish(&hub, "b", &format!("second {n}"));
        assert_eq!(unpaced.data().len(), 2);
        assert!(all(&mut same).iter().all(Option::is_none));
        late.push(open(hub.subscribe(["a", "b"])));
        millis(&clock, 16);
        let chunks = all(&mut same);
        let first = chunks[0].as_ref().unwrap();
        // Written once.
        assert!(chunks.iter().flatten().all(|chunk| chunk.as_ptr() == first.as_ptr()));
        assert_eq!(chunks.iter().flatten().count(), same.len());
        assert!(all(&mut same).iter().all(Option::is_none));
        assert_eq!(slower.data().len(), if n % 4 == 0 { 8 } else { 0 });
        // Who has come meanwhile has what was published before as history, or not at all.
        assert!(late.iter_mut().take(n - 1).all(|reader| reader.data().len() == 2));
        assert!(late[n - 1].data().is_empty());
    }
}

#[test]
fn what_was_missed_and_what_is_published_before_the_end_do_not_wait() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let first = publish(&hub, "a", "0");
    (1..4).for_each(|n| drop(publish(&hub, "a", &n.to_string())));
    assert_eq!(open(after(first.as_str()).subscribe(&hub, "a")).data(), ["1", "2", "3"]);
    let mut reader = open(hub.subscribe("a").history(History::All));
    assert_eq!(reader.data(), ["0", "1", "2", "3"]);
    publish(&hub, "a", "4");
    assert_eq!(reader.data(), ["4"]);
    publish(&hub, "a", "5");
    assert!(reader.data().is_empty());
    hub.close();
    assert_eq!(reader.data(), ["5"]);
    assert!(reader.ended);
}

#[test]
fn a_topic_has_an_interval_that_a_subscription_may_replace() {
    let clock = ManualClock::new();
    let hub = builder(&clock)
        .at_most_every("slow*", 2 * INTERVAL)
        .unwrap()
        .at_most_every("s*", INTERVAL)
        .unwrap()
        .build();
    let mut readers = [
        hub.subscribe(["s", "other"]),
        hub.subscribe(["s", "slow"]),
        hub.subscribe_matching("s*"),
        hub.subscribe(["s", "slow"]).at_most_every(Duration::from_micros(15_001)),
        hub.subscribe(["s", "slow"]).at_most_every(Duration::ZERO),
        hub.subscribe("other"),
    ]
    .map(|subscribe| Reader::open_with_status(subscribe).0);
    let mut read = || readers.each_mut().map(|reader| reader.data().len());
    assert_eq!(read(), [0; 6]);
    publish(&hub, "s", "1");
    assert_eq!(read(), [1, 1, 1, 1, 1, 0]);
    publish(&hub, "s", "2");
    assert_eq!(read(), [0, 0, 0, 0, 1, 0]);
    millis(&clock, 15);
    assert_eq!(read(), [0; 6]);
    millis(&clock, 1);
    assert_eq!(read(), [1, 0, 1, 1, 0, 0]);
    millis(&clock, 16);
    assert_eq!(read(), [0, 1, 0, 0, 0, 0]);
}

#[test]
fn a_stream_has_the_interval_of_the_topics_that_it_has_now_unless_it_has_its_own() {
    let clock = ManualClock::new();
    let hub = builder(&clock).at_most_every("slow", INTERVAL).unwrap().build();
    let mut readers = [
        hub.subscribe("other"),
        hub.subscribe("other").at_most_every(Duration::ZERO),
        hub.subscribe("other").at_most_every(2 * INTERVAL),
    ]
    .map(|subscribe| Reader::open_with_status(subscribe).0);
    let clients = readers.each_ref().map(|reader| hub.client(reader.subscription().client_id()));
    let mut read = || readers.each_mut().map(|reader| reader.data().len());
    assert_eq!(read(), [0; 3]);
    assert!(clients.iter().all(|client| client.subscribe("slow").unwrap()));
    assert_eq!(read(), [0; 3]);
    publish(&hub, "slow", "1");
    assert_eq!(read(), [1; 3]);
    publish(&hub, "slow", "2");
    assert_eq!(read(), [0, 1, 0]);
    millis(&clock, 15);
    assert_eq!(read(), [0; 3]);
    millis(&clock, 1);
    assert_eq!(read(), [1, 0, 0]);
    millis(&clock, 16);
    assert_eq!(read(), [0, 0, 1]);
    // It goes with its topic.
    millis(&clock, 100);
    assert!(clients.iter().all(|client| client.unsubscribe("slow").unwrap()));
    assert_eq!(read(), [0; 3]);
    publish(&hub, "other", "3");
    assert_eq!(read(), [1; 3]);
    publish(&hub, "other", "4");
    assert_eq!(read(), [1, 1, 0]);
}

#[test]
fn a_cohort_has_one_batch_in_an_interval() {
    let clock = ManualClock::new();
    let hub = builder(&clock).build();
    let mut member = hub.subscribe("a").at_most_every(INTERVAL).open().unwrap();
    let other = hub.subscribe("a").open().unwrap();
    assert_ne!(CohortKey::of(&member), CohortKey::of(&other));
    let mut cohort = Cohort::of(&member, Waker::noop().clone());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(cohort.next_batch(), Ok(None)));
    while let Poll::Ready(Some(_)) = cohort.poll_member(&mut member, &mut cx) {}
    for n in 0..5 {
        let count = if n == 0 { 1 } else { 10 };
        (0..count).for_each(|_| drop(publish(&hub, "a", "x")));
        if n > 0 {
            assert!(matches!(cohort.next_batch(), Ok(None)));
            millis(&clock, 16);
        }
        let batch = cohort.next_batch().unwrap().unwrap();
        assert_eq!(batch.events(), count);
        cohort.mark_sent(&batch, &mut member);
        assert!(matches!(cohort.next_batch(), Ok(None)));
        assert!(cohort.is_caught_up(&member));
        // One that comes while the gate is closed is brought together with the others.
        let mut late = hub.subscribe("a").at_most_every(INTERVAL).open().unwrap();
        while let Poll::Ready(Some(_)) = cohort.poll_member(&mut late, &mut cx) {}
        assert!(cohort.is_caught_up(&late) || cohort.is_overtaken_by(&late));
    }
    // What was published before the end does not wait for the cohort either.
    publish(&hub, "a", "last");
    assert!(matches!(cohort.next_batch(), Ok(None)));
    hub.close();
    let mut bytes = Vec::new();
    let end = loop {
        match cohort.poll_member(&mut member, &mut cx) {
            Poll::Ready(Some(more)) => bytes.extend_from_slice(&more.unwrap()),
            end => break end,
        }
    };
    assert!(bytes.starts_with(b"data: last\n") && matches!(end, Poll::Ready(None)));
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u8),
    Advance(u64),
    Read(usize),
    Replace(usize),
}

proptest! {
    /// Whatever happens, nobody is left waiting: an interval after the last event, all have been woken for it.
    #[test]
    fn every_stream_is_woken_for_every_event(
        steps in vec(prop_oneof![
            4 => (0..3_u8).prop_map(Step::Publish),
            3 => (0..40_u64).prop_map(Step::Advance),
            4 => (0..6_usize).prop_map(Step::Read),
            1 => (0..6_usize).prop_map(Step::Replace),
        ], 1..200),
    ) {
        const SETS: [&[&str]; 6] = [&["0"], &["0", "1"], &["0", "1"], &["*"], &["*", "1"], &["0", "1"]];
        let clock = ManualClock::new();
        let hub = builder(&clock).build();
        let mut readers: Vec<_> =
            SETS.into_iter().map(|topics| (open(hub.subscribe_matching(topics)), 0)).collect();
        let read = |(reader, received): &mut (Reader, usize)| *received += reader.data().len();
        let mut due = [0; 6];
        for step in steps {
            match step {
                Step::Publish(topic) => {
                    publish(&hub, &topic.to_string(), "x");
                    for (due, topics) in due.iter_mut().zip(SETS) {
                        let name = topic.to_string();
                        *due += usize::from(topics.iter().any(|it| *it == "*" || *it == name));
                    }
                }
                Step::Advance(by) => millis(&clock, by),
                Step::Read(n) => read(&mut readers[n]),
                Step::Replace(n) => {
                    readers[n] = (open(hub.subscribe_matching(SETS[n])), 0);
                    due[n] = 0;
                }
            }
        }
        // Those that wait are read only if they are woken; the others have not said that they wait.
        for reader in &mut readers {
            read(reader);
        }
        let wakes: Vec<_> = readers.iter().map(|(reader, _)| reader.wakes.count()).collect();
        millis(&clock, 16);
        for (n, reader) in readers.iter_mut().enumerate() {
            if reader.0.wakes.count() > wakes[n] {
                read(reader);
            }
            prop_assert_eq!(reader.1, due[n], "{:?}", SETS[n]);
        }
    }
}
