//! Topics that are added to open streams, and taken from them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use reader::{Reader, after, numbered, position, publish, within};
use tidings::{
    ClientHandle, Decoder, Event, Filter, History, Hub, Message, Retention, STATUS_EVENT,
    Subscription, Topic,
    error::SubscribeErrorKind,
    transport::{Cohort, CohortKey},
};

fn handle(hub: &Hub, reader: &Reader) -> ClientHandle {
    hub.client(reader.subscription().client_id())
}

fn open(hub: &Hub, topics: &[&str]) -> Reader {
    Reader::open_with_status(hub.subscribe(topics)).0
}

#[test]
fn a_stream_gets_a_topic_from_the_call_on_and_up_to_the_next() {
    let hub = Hub::new();
    let mut reader = open(&hub, &["a"]);
    for n in 0..3 {
        publish(&hub, "a", &format!("a{n}"));
        publish(&hub, "b", &format!("not b{n}"));
        assert!(handle(&hub, &reader).subscribe("b").unwrap());
        publish(&hub, "b", &format!("b{n}"));
        publish(&hub, "a", &format!("then a{n}"));
        publish(&hub, "b", &format!("then b{n}"));
        assert!(handle(&hub, &reader).unsubscribe("b").unwrap());
        publish(&hub, "b", &format!("not b{n} either"));
        // All of it at once, or the changes one by one.
        let expected =
            [format!("a{n}"), format!("b{n}"), format!("then a{n}"), format!("then b{n}")];
        assert_eq!(reader.data(), expected);
    }
    for n in 0..3 {
        assert!(reader.data().is_empty());
        assert!(handle(&hub, &reader).subscribe(["b", "c"]).unwrap());
        assert!(reader.data().is_empty());
        publish(&hub, "c", "c");
        assert_eq!(reader.data(), ["c"]);
        assert!(handle(&hub, &reader).unsubscribe(["c", "b", "x"]).unwrap());
        publish(&hub, "b", "not b");
        let id = publish(&hub, "a", &format!("a{n}"));
        assert_eq!(reader.data(), [format!("a{n}")]);
        assert_eq!(reader.last_id(), id.as_str());
    }
}

#[test]
fn the_lag_of_a_client_is_that_of_the_topics_that_it_has_now() {
    let hub = Hub::new();
    let mut reader = open(&hub, &["a"]);
    let id = reader.subscription().client_id();
    let publish_to_all = || ["a", "b"].map(|topic| publish(&hub, topic, "x"));
    publish_to_all();
    assert_eq!(hub.clients().lag(id), Some(1));
    assert_eq!(reader.data().len(), 1);
    assert!(handle(&hub, &reader).subscribe("b").unwrap());
    assert!(reader.data().is_empty());
    publish_to_all();
    assert_eq!(hub.clients().lag(id), Some(2));
    assert!(handle(&hub, &reader).unsubscribe("a").unwrap());
    assert_eq!(hub.clients().lag(id), Some(1));
}

#[test]
fn the_newest_events_of_a_new_topic_are_those_before_the_call() {
    let hub = Hub::new();
    let mut reader = open(&hub, &["a"]);
    (0..30).for_each(|n| drop(publish(&hub, "b", &n.to_string())));
    let client = handle(&hub, &reader).history(History::Last(5));
    assert!(client.subscribe("b").unwrap());
    (30..40).for_each(|n| drop(publish(&hub, "b", &n.to_string())));
    let expected: Vec<_> = (25..40).map(|n| n.to_string()).collect();
    assert_eq!(reader.data(), expected);
}

#[test]
fn a_change_wakes_nobody_but_its_stream_which_then_waits_for_its_new_topics() {
    let hub = Hub::new();
    let mut reader = open(&hub, &["a"]);
    reader.bytes();
    handle(&hub, &reader).subscribe("b").unwrap();
    handle(&hub, &reader).unsubscribe("a").unwrap();
    assert!(reader.bytes().is_empty());
    let wakes = reader.wakes.count();
    publish(&hub, "a", "nothing");
    assert_eq!(reader.wakes.count(), wakes);
    publish(&hub, "b", "one");
    assert_eq!(reader.wakes.count(), wakes + 1);
    assert_eq!(reader.data(), ["one"]);
}

#[test]
fn a_quiet_stream_gets_a_busy_topic_without_its_past() {
    let hub = Hub::builder().retention(Retention::default().events(5)).build();
    let mut reader = open(&hub, &["quiet"]);
    assert!(reader.data().is_empty());
    (0..3_000).for_each(|n| drop(publish(&hub, "busy", &n.to_string())));
    handle(&hub, &reader).subscribe("busy").unwrap();
    assert!(reader.data().is_empty());
    publish(&hub, "busy", "next");
    assert_eq!(reader.data(), ["next"]);
}

#[test]
fn a_client_that_comes_back_with_its_topics_misses_nothing() {
    let hub = Hub::new();
    let mut reader = open(&hub, &["a"]);
    let mut seen = Vec::new();
    for n in 0..50 {
        if n % 10 == 3 {
            handle(&hub, &reader).subscribe("b").unwrap();
        }
        publish(&hub, if n % 2 == 0 { "a" } else { "b" }, &n.to_string());
        if n % 10 == 7 {
            // The handler names the topics anew.
            seen.extend(reader.data());
            let resume = after(reader.last_id());
            reader = Reader::open(hub.subscribe(["a", "b"]).resume(resume));
            assert_eq!(reader.next_status()["status"], "resumed");
        }
    }
    seen.extend(reader.data());
    let expected = numbered("", 0..50).into_iter().filter(|n| n != "1");
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[test]
fn limits_and_names_are_those_of_a_subscription() {
    let hub = Hub::builder().topics_per_subscription(3).patterns_per_subscription(1).build();
    let mut reader = open(&hub, &["a"]);
    let client = handle(&hub, &reader);
    // Not yet made, and counted all the same.
    assert!(client.subscribe(["b", "c", "a", "b"]).unwrap());
    let kind = |result: Result<bool, tidings::error::SubscribeError>| result.unwrap_err().kind();
    assert_eq!(kind(client.subscribe("d")), SubscribeErrorKind::TooManyTopics);
    assert!(client.subscribe_matching(["a", "x/*"]).unwrap());
    assert_eq!(kind(client.subscribe_matching("y/*")), SubscribeErrorKind::TooManyPatterns);
    assert_eq!(kind(client.subscribe("two words")), SubscribeErrorKind::Topic);
    assert_eq!(kind(client.unsubscribe("two words")), SubscribeErrorKind::Topic);
    assert!(client.unsubscribe_matching("x/*").unwrap());
    assert_eq!(kind(client.unsubscribe(["a", "b", "c"])), SubscribeErrorKind::NoTopics);
    publish(&hub, "d", "not d");
    publish(&hub, "x/1", "not x");
    publish(&hub, "c", "c");
    assert_eq!(reader.data(), ["c"]);
    drop(reader);
    assert!(!client.subscribe("a").unwrap() && !client.unsubscribe("a").unwrap());
}

#[test]
fn the_registry_shows_the_topics_and_counts_them_to_the_end() {
    for makes_change in [false, true] {
        let hub = Hub::new();
        let mut reader = open(&hub, &["a"]);
        handle(&hub, &reader).subscribe("b").unwrap();
        handle(&hub, &reader).subscribe_matching("c/*").unwrap();
        handle(&hub, &reader).unsubscribe("a").unwrap();
        if makes_change {
            reader.bytes();
            let topics = hub.clients().topics();
            assert_eq!(topics, [(Topic::new("b").unwrap(), 1)]);
        }
        let info = hub.clients().get(reader.subscription().client_id()).unwrap();
        assert_eq!(info.topics, [Topic::new("b").unwrap()]);
        assert_eq!(info.patterns[0].as_str(), "c/*");
        assert_eq!(hub.clients().count_of_topic(&Topic::new("b").unwrap()), 1);
        drop(reader);
        assert!(hub.clients().topics().is_empty() && hub.clients().patterns().is_empty());
    }
}

#[test]
fn patterns_come_and_go_and_no_event_comes_twice() {
    let hub = Hub::new();
    let mut reader = open(&hub, &["a"]);
    publish(&hub, "x/1", "not");
    handle(&hub, &reader).subscribe_matching(["x/*", "*/1"]).unwrap();
    for data in ["one", "two"] {
        publish(&hub, "x/1", data);
    }
    publish(&hub, "x/2", "three");
    assert_eq!(reader.data(), ["one", "two", "three"]);
    handle(&hub, &reader).unsubscribe_matching("x/*").unwrap();
    publish(&hub, "x/2", "not");
    publish(&hub, "x/1", "four");
    assert_eq!(reader.data(), ["four"]);
}

#[test]
fn what_a_new_topic_retains_is_sent_as_one_block_that_leaves_the_client_where_it_was() {
    let hub = Hub::new();
    for n in 0..10 {
        hub.publish("b", Event::named("named", format!("b{n}")).unwrap()).wait().unwrap();
    }
    let mut reader = open(&hub, &["a"]);
    let a = publish(&hub, "a", "a");
    publish(&hub, "b", "b10");
    handle(&hub, &reader).history(History::Last(3)).subscribe(["b"]).unwrap();
    publish(&hub, "b", "b11");
    publish(&hub, "a", "last");
    // After the events before the call, and before those after it.
    assert!(String::from_utf8_lossy(&reader.chunk().unwrap()).contains("data: a\n"));
    assert_eq!(reader.last_id(), a.as_str());
    let block = String::from_utf8(reader.chunk().unwrap().to_vec()).unwrap();
    let (epoch, _) = a.as_str().split_once('-').unwrap();
    let end = position(a.as_str()) + 1;
    let expected = format!(
        "event: named\ndata: b8\nid: {epoch}-none\n\nevent: named\ndata: b9\n\ndata: b10\nid: {epoch}-{end}\n\n"
    );
    assert_eq!(block, expected);
    let data: Vec<_> = reader.messages().iter().map(|it| it.data().to_owned()).collect();
    assert_eq!(data, ["a", "b8", "b9", "b10", "b11", "last"]);

    // A client that has only a part of the block is told so.
    let mut cut = Decoder::new();
    cut.feed(&expected.as_bytes()[..expected.find("data: b10").unwrap()]).unwrap();
    while cut.next_message().is_some() {}
    let resume = after(cut.last_event_id());
    let (_, status) = Reader::open_with_status(hub.subscribe(["a", "b"]).resume(resume));
    assert_eq!(status["status"], "reset");
}

#[test]
fn history_without_events_and_of_patterns() {
    let hub = Hub::new();
    let mut reader = open(&hub, &["a"]);
    handle(&hub, &reader).history(History::All).subscribe("b").unwrap();
    assert!(reader.bytes().is_empty());
    publish(&hub, "x/1", "one");
    publish(&hub, "x/2", "two");
    handle(&hub, &reader).history(History::All).subscribe_matching("x/*").unwrap();
    publish(&hub, "x/1", "three");
    assert_eq!(reader.data(), ["one", "two", "three"]);
}

#[test]
fn a_stream_that_is_overrun_before_its_change_is_reset_with_all_topics() {
    let hub = Hub::builder().retention(Retention::default().events(5)).build();
    let mut reader = open(&hub, &["a"]);
    reader.data();
    publish(&hub, "b", "b");
    (0..1_000).for_each(|n| drop(publish(&hub, "a", &format!("a{n}"))));
    handle(&hub, &reader).history(History::All).subscribe("b").unwrap();
    publish(&hub, "b", "later");
    assert_eq!(reader.next_status()["status"], "reset");
    let mut expected = vec!["b".to_owned()];
    expected.extend(numbered("a", 995..1_000));
    expected.push("later".to_owned());
    assert_eq!(reader.data(), expected);
}

/// Publishes more than what is kept for connected clients, and less than a topic retains.
fn publish_a_burst(hub: &Hub, from: usize) {
    for data in numbered("x", from..from + 300) {
        let event = Event::new(data).with_attribute("role", "admin").unwrap();
        hub.publish("x/1", event).wait().unwrap();
    }
}

#[test]
fn a_stream_that_is_overrun_before_its_change_makes_it_where_it_was_asked_for() {
    for is_filtered in [false, true] {
        for history in [History::None, History::All] {
            let hub = Hub::new();
            let admin = || Event::new("b").with_attribute("role", "admin").unwrap();
            let mut reader = Reader::open_with_status(match is_filtered {
                false => hub.subscribe_matching("x/*"),
                true => hub.subscribe("x/1").filter(Filter::equal("role", "admin").unwrap()),
            })
            .0;
            assert!(reader.data().is_empty());
            for from in [0, 300] {
                hub.publish("b", admin()).wait().unwrap();
                publish_a_burst(&hub, from);
            }
            assert!(handle(&hub, &reader).history(history).subscribe("b").unwrap());
            let last = hub.publish("b", admin()).wait().unwrap().id();
            let messages = reader.messages();
            let data: Vec<_> = messages.iter().map(|it| it.data().to_owned()).collect();
            let mut expected = numbered("x", 0..600);
            let count = if history == History::All { 3 } else { 1 };
            expected.extend(vec!["b".to_owned(); count]);
            assert_eq!(data, expected, "{is_filtered} {history:?}");
            // A client that is cut off after any of them loses nothing. Within the block, an id has no position.
            let ids = messages.iter().map(|it| it.last_event_id().rsplit_once('-').unwrap().1);
            let positions: Vec<u64> = ids.filter_map(|position| position.parse().ok()).collect();
            assert!(positions.is_sorted(), "{positions:?}");
            assert_eq!(reader.last_id(), last.as_str());
        }
    }
}

#[test]
fn a_stream_that_is_overrun_before_it_leaves_a_pattern_gets_what_was_before_that() {
    let hub = Hub::new();
    let mut reader = Reader::open_with_status(hub.subscribe("a").matching("x/*")).0;
    assert!(reader.data().is_empty());
    publish_a_burst(&hub, 0);
    assert!(handle(&hub, &reader).unsubscribe_matching("x/*").unwrap());
    publish(&hub, "x/1", "not");
    publish(&hub, "a", "last");
    let mut expected = numbered("x", 0..300);
    expected.push("last".to_owned());
    assert_eq!(reader.data(), expected);
}

#[test]
fn a_stream_that_was_told_to_end_is_not_open() {
    let hub = Hub::new();
    let mut readers = ["a", "b", "c"].map(|topic| open(&hub, &[topic]));
    let [finished, closed, not_there_yet] = readers.each_ref().map(|it| handle(&hub, it));
    for topic in ["a", "c"] {
        hub.finish(topic, Event::new("last")).wait().unwrap();
    }
    assert!(not_there_yet.subscribe("new").unwrap());
    assert!(hub.clients().close(readers[1].subscription().client_id()));
    readers[0].bytes();
    assert!(readers[0].ended);
    for client in [finished, closed] {
        assert!(!client.subscribe("new").unwrap());
        assert!(!client.subscribe(["a", "b"]).unwrap());
        assert!(!client.unsubscribe("other").unwrap());
    }
    // It goes on with its new topic.
    publish(&hub, "new", "new");
    assert_eq!(readers[2].data(), ["last", "new"]);
    assert!(!readers[2].ended);
    let [finished, ..] = readers;
    drop(finished);
    assert_eq!(hub.clients().count_of_topic(&Topic::new("new").unwrap()), 1);
}

#[test]
fn a_stream_that_is_not_read_while_its_topics_change_again_and_again_ends() {
    let hub = Hub::new();
    let mut reader = open(&hub, &["a"]);
    let client = handle(&hub, &reader);
    let mut changes = 0;
    while client.subscribe("b").unwrap() && client.unsubscribe("b").unwrap() {
        changes += 2;
        assert!(changes < 1_000, "there is no limit");
    }
    assert!(changes >= 200, "{changes} changes are few");
    assert!(reader.bytes().is_empty() && reader.ended);
    drop(reader);
    assert!(hub.clients().topics().is_empty());
}

/// A stream of a transport that serves many from one thread: it is sent its cohort's batches, and moves to another cohort
/// when its key changes.
struct Member {
    stream: Subscription,
    cohort: Cohort,
    key: CohortKey,
    decoder: Decoder,
}

impl Member {
    fn open(hub: &Hub, topics: &[&str]) -> Self {
        let stream = hub.subscribe(topics).heartbeat(None).open().unwrap();
        let cohort = Cohort::of(&stream, Waker::noop().clone());
        let key = CohortKey::of(&stream);
        Self { stream, cohort, key, decoder: Decoder::new() }
    }

    /// One turn, as a transport would take it.
    fn turn(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let is_in_roster = self.cohort.is_caught_up(&self.stream);
        let batch = self.cohort.next_batch().unwrap();
        let is_aside = self.cohort.is_any_changing() && self.stream.is_changing();
        if let Some(batch) = batch.filter(|_| is_in_roster && !is_aside) {
            self.decoder.feed(batch.bytes()).unwrap();
            self.cohort.mark_sent(&batch, &mut self.stream);
            return;
        }
        while let Poll::Ready(Some(bytes)) = self.cohort.poll_member(&mut self.stream, &mut cx) {
            self.decoder.feed(&bytes.unwrap()).unwrap();
        }
        if CohortKey::of(&self.stream) != self.key {
            self.key = CohortKey::of(&self.stream);
            self.cohort = Cohort::of(&self.stream, Waker::noop().clone());
        }
    }

    fn messages(&mut self) -> Vec<Message> {
        for _ in 0..6 {
            self.turn();
        }
        std::iter::from_fn(|| self.decoder.next_message())
            .filter(|message| message.event() != STATUS_EVENT)
            .collect()
    }
}

#[test]
fn a_member_of_a_cohort_gets_no_batch_past_its_change_and_moves_to_another_cohort() {
    for reads_between in [false, true] {
        let hub = Hub::new();
        let mut member = Member::open(&hub, &["a"]);
        assert!(member.messages().is_empty() && member.cohort.is_caught_up(&member.stream));
        let before = member.key;
        publish(&hub, "a", "one");
        let client = hub.client(member.stream.client_id());
        client.subscribe("b").unwrap();
        publish(&hub, "b", "two");
        publish(&hub, "a", "three");
        let mut data = Vec::new();
        if reads_between {
            data = member.messages();
        }
        client.unsubscribe("a").unwrap();
        publish(&hub, "a", "not");
        publish(&hub, "b", "four");
        data.extend(member.messages());
        let data: Vec<_> = data.iter().map(Message::data).collect();
        assert_eq!(data, ["one", "two", "three", "four"]);
        assert!(member.key != before && member.cohort.is_caught_up(&member.stream));
        assert!(!member.cohort.is_any_changing());
        // It is sent batches again.
        publish(&hub, "b", "five");
        let batch = member.cohort.next_batch().unwrap().unwrap();
        assert_eq!(batch.events(), 1);
    }
}

#[test]
fn under_constant_publishing_every_event_from_the_call_on_comes_once_and_in_order() {
    for is_member in [false, true] {
        within(60, move || race(is_member));
    }
}

fn race(is_member: bool) {
    const TOPICS: [&str; 3] = ["a", "b", "c"];
    let hub = Hub::builder().retention(Retention::default().events(100_000)).build();
    let (stop, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let reads = AtomicUsize::new(0);
    let (hub, done, reads) = (&hub, &done, &reads);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut published = Vec::new();
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let topic = TOPICS[n % 3];
                published.push((position(publish(hub, topic, topic).as_str()), topic));
                std::thread::yield_now();
            }
            published
        });
        let (mut member, mut reader) = (None, None);
        let id = if is_member {
            let opened = member.insert(Member::open(hub, &["a"]));
            opened.messages();
            opened.stream.client_id()
        } else {
            let opened = reader.insert(open(hub, &["a"]));
            opened.subscription().client_id()
        };
        let mut read = || match (&mut member, &mut reader) {
            (Some(member), _) => member.messages(),
            (_, Some(reader)) => {
                (0..64).take_while(|_| reader.chunk().is_some()).for_each(drop);
                reader.messages_so_far()
            }
            _ => unreachable!(),
        };
        let began = position(hub.position().as_str());
        // When the stream surely had a topic, and when it surely had not.
        let changes = scope.spawn(move || {
            let now = || position(hub.position().as_str());
            let mut times: HashMap<&str, Vec<[u64; 4]>> = HashMap::new();
            for round in 0..400_u64 {
                let topic = TOPICS[1 + usize::from(round % 2 == 1)];
                // It is not closed because it makes its changes too slowly.
                let so_far = reads.load(Ordering::Acquire);
                while round % 20 == 0 && reads.load(Ordering::Acquire) < so_far + 2 {
                    std::thread::yield_now();
                }
                let before = now();
                assert!(hub.client(id).subscribe(topic).unwrap());
                let since = now();
                // Some events are published meanwhile, or none.
                while now() < since + round % 7 {
                    std::thread::yield_now();
                }
                let until = now();
                assert!(hub.client(id).unsubscribe(topic).unwrap());
                times.entry(topic).or_default().push([before, since, until, now()]);
            }
            done.store(true, Ordering::Release);
            times
        });
        let mut received = Vec::new();
        while !done.load(Ordering::Acquire) {
            received.extend(read());
            reads.fetch_add(1, Ordering::AcqRel);
        }
        stop.store(true, Ordering::Relaxed);
        let (published, times) = (publisher.join().unwrap(), changes.join().unwrap());
        loop {
            let rest = read();
            if rest.is_empty() {
                break;
            }
            received.extend(rest);
        }
        let received: Vec<_> = received
            .iter()
            .filter(|message| message.event() != STATUS_EVENT)
            .map(|message| (position(message.last_event_id()), message.data().to_owned()))
            .collect();
        assert!(received.is_sorted_by(|a, b| a.0 < b.0), "twice, or out of order");
        let has = |at: u64| received.binary_search_by_key(&at, |(position, _)| *position).is_ok();
        let mut sure = 0;
        for (at, topic) in published {
            if topic == "a" {
                assert!(at <= began || has(at), "{at} of a is lost");
                continue;
            }
            let times = &times[topic];
            let must = times.iter().any(|[_, since, until, _]| *since < at && at <= *until);
            let may = times.iter().any(|[before, _, _, after]| *before < at && at <= *after);
            assert!(!must || has(at), "{at} of {topic} is lost");
            assert!(may || !has(at), "{at} of {topic} is not for the stream");
            sure += usize::from(must);
        }
        assert!(sure > 100, "only {sure} events were for the stream");
    });
}
