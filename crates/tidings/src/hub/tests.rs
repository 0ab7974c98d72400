//! What only tests inside the crate can see: that nothing is left over, and that memory is bounded.

use std::cell::Cell;
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use super::journal::entry::{Entry, EntryKind};
use super::journal::topics::STEP;
use super::*;
use crate::clock::ManualClock;
use crate::filter::Filter;
use crate::log::feed::{Cursor, Merge, PastRead, Readers, test_hook};
use crate::log::looks;
use crate::log::retention::Retention;
use crate::resume::Resume;
use crate::status::Status;
use crate::subscription::Subscription;
use crate::subscription::history::History;
use crate::transport::Cohort;

fn read(subscription: &mut Subscription) -> Option<Bytes> {
    let mut cx = Context::from_waker(Waker::noop());
    // It may pause twice though it has more.
    for _ in 0..3 {
        if let Poll::Ready(next) = Pin::new(&mut *subscription).poll_next(&mut cx) {
            return next.map(|bytes| bytes.expect("no error"));
        }
    }
    None
}

fn read_all(subscription: &mut Subscription) -> Vec<u8> {
    std::iter::from_fn(|| read(subscription)).flatten().collect()
}

fn publish(hub: &Hub, topic: &str, data: impl Into<String>) {
    hub.publish(topic, Event::new(data.into())).wait().unwrap();
}

/// Topics, clients, due times, feeds, and the entries in the journal's two indices.
fn left(hub: &Hub, clock: &ManualClock) -> (usize, usize, usize, usize, (usize, usize)) {
    let shared = hub.shared();
    let indices = shared.journal.lock().index_sizes();
    let (topics, clients) = (hub.clients().topics().len(), shared.registry.count());
    (topics, clients, clock.clock().timers().len(), shared.feeds.len(), indices)
}

#[test]
fn clients_that_come_and_go_on_a_quiet_topic_leave_nothing() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    let mut stays = hub.subscribe(["quiet", "other"]).open().unwrap();
    read_all(&mut stays);
    let before = left(&hub, &clock);
    for n in 0..200_000 {
        let subscribe = hub.subscribe(["quiet"]).principal(n);
        let mut subscription = subscribe.open().unwrap();
        // Every second one waits, and every second one is dropped before it was ever polled.
        if n % 2 == 0 {
            read_all(&mut subscription);
        }
    }
    assert_eq!(left(&hub, &clock), before);
    let quiet = hub.shared().journal.lock().log("quiet").unwrap();
    assert_eq!(quiet.lock().waiting(), 1);
    assert_eq!(hub.shared().registry.principals(), 0);
    drop(stays);
    assert_eq!(quiet.lock().waiting(), 0);
    assert_eq!(left(&hub, &clock), (0, 0, 0, 0, (0, 0)));
}

#[test]
fn expired_events_leave_nothing() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    for n in 0..1_000 {
        publish(&hub, &format!("topic{n}"), "x");
    }
    let mut reader = hub.subscribe(["topic1", "topic2"]).open().unwrap();
    hub.publish_ephemeral("topic1", Event::new("e")).unwrap();
    publish(&hub, "topic2", "x");
    read_all(&mut reader);
    clock.advance(Duration::from_secs(601));
    // Two topics that are subscribed to, and the heartbeat of one client. The topics are still
    // listed under the place of their first event, until that is looked up.
    assert_eq!(left(&hub, &clock), (2, 1, 1, 1, (2, 0)));
    assert_eq!(hub.shared().metrics().retained_bytes, 0);
    clock.advance(Duration::from_secs(2));
    drop(reader);
    clock.advance(Duration::from_secs(2));
    assert_eq!(left(&hub, &clock), (0, 0, 0, 0, (0, 0)));
    assert_eq!(hub.shared().coalescing.budget.used(), 0);
}

#[test]
fn events_that_are_not_retained_leave_with_the_live_window() {
    let clock = ManualClock::new();
    let hub = Hub::builder()
        .clock(clock.clock())
        .retention(Retention::default().events(1).age(Duration::from_secs(86_400)))
        .build();
    let _reader = hub.subscribe(["a"]).open().unwrap();
    publish(&hub, "a", "first");
    for _ in 0..200 {
        publish(&hub, "a", "x".repeat(100));
    }
    clock.advance(Duration::from_secs(12));
    let log = hub.shared().journal.lock().log("a").unwrap();
    assert_eq!(log.lock().durable.len(), 1);
}

#[test]
fn the_bytes_that_the_hub_counts_are_those_that_it_holds() {
    let clock = ManualClock::new();
    let hub = Hub::builder()
        .clock(clock.clock())
        .max_retained_bytes(50_000)
        .retain("none*", Retention::none())
        .unwrap()
        .build();
    let mut readers = Vec::new();
    for step in 0..5_000 {
        let topic = ["a", "b", "c", "none1", "none2"][fastrand::usize(..5)];
        let data = "x".repeat(fastrand::usize(..2_000));
        match fastrand::u32(..10) {
            0 => readers.push(hub.subscribe([topic, "b"]).open().unwrap()),
            1 if !readers.is_empty() => drop(readers.swap_remove(fastrand::usize(..readers.len()))),
            2 => clock.advance(Duration::from_millis(fastrand::u64(..5_000))),
            3..6 => drop(hub.publish_ephemeral(topic, Event::new(data)).unwrap()),
            _ => publish(&hub, topic, data),
        }
        let shared = hub.shared();
        let mut held = 0;
        shared.for_each_topic("", |log| held += log.cost(&log.lock()));
        assert_eq!(shared.metrics().retained_bytes, held, "after step {step}");
        assert!(held <= 50_000, "{held} bytes");
    }
}

/// Ten thousand readers stall, each at another moment and with the last bytes it was handed still
/// in its hands, as a server holds what the socket does not take.
#[test]
fn stalled_readers_pin_the_budget_and_one_event_each_at_most() {
    const READERS: usize = 10_000;
    const EVENT: usize = 1_000;
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).heartbeat(None).build();
    for _ in 0..900 {
        publish(&hub, "a", "x".repeat(EVENT));
    }
    let mut stalled = Vec::new();
    for n in 0..READERS {
        let topics = if n % 2 == 0 { vec!["a"] } else { vec!["a", "b"] };
        let history = History::Last(2 + n % 800);
        let mut reader = hub.subscribe(topics).history(history).open().unwrap();
        read(&mut reader).unwrap();
        let mut held = read(&mut reader).unwrap();
        for _ in 0..n % 3 {
            held = read(&mut reader).unwrap_or(held);
        }
        stalled.push((reader, held));
        publish(&hub, if n % 5 == 0 { "b" } else { "a" }, "x".repeat(EVENT));
    }
    let budget = HubBuilder::COALESCED_BYTES;
    let used = hub.shared().coalescing.budget.used();
    assert!(used <= budget, "{used} bytes of chunks");
    assert!(used > budget / 2, "only {used} bytes of chunks: the test shows nothing");
    // The memory of the slices, counted once for each end of an allocation: slices of a chunk
    // reach to its end.
    let ends: HashMap<usize, usize> =
        stalled.iter().map(|(_, held)| (held.as_ptr() as usize + held.len(), held.len())).collect();
    let frames: usize = ends.values().filter(|len| **len < 2 * EVENT).sum();
    assert!(frames <= READERS * (EVENT + 100), "{frames} bytes of events");

    // Over the budget, readers still get everything, and memory is given back.
    let (mut reader, _) = stalled.swap_remove(0);
    let from = Resume::new().with_last_event_id(hub.shared().epoch().id(10_000).as_str());
    let rest = hub.subscribe(["a"]).resume(from).open().map(|mut rest| read_all(&mut rest));
    assert!(rest.unwrap().len() > 700 * EVENT);
    read_all(&mut reader);
    drop(stalled);
    drop(reader);
    clock.advance(Duration::from_secs(3));
    assert_eq!(hub.shared().coalescing.budget.used(), 0);
}

#[test]
fn patterns_look_only_at_topics_with_their_prefixes() {
    let patterns =
        ["b*", "ab*c", "a*", "a*b*", "bb*", "c:*"].map(|name| TopicPattern::new(name).unwrap());
    let groups = search::by_prefix(patterns.to_vec());
    let texts = groups.iter().map(|patterns| {
        let mut texts: Vec<_> = patterns.iter().map(|pattern| pattern.as_str()).collect();
        texts.sort_unstable();
        (patterns[0].prefix(), texts.join(" "))
    });
    let expected = [("a", "a* a*b* ab*c"), ("b", "b* bb*"), ("c:", "c:*")];
    assert!(texts.eq(expected.map(|(prefix, patterns)| (prefix, patterns.to_owned()))));
    let everything = TopicPattern::new("*").unwrap();
    let all = search::by_prefix(vec![patterns[0].clone(), everything]);
    assert_eq!((all.len(), all[0][0].prefix()), (1, ""));
}

/// A client of a pattern that has missed events of a few among many topics reads those.
#[test]
fn the_past_of_a_pattern_is_read_from_the_topics_that_have_news() {
    let hub = Hub::new();
    for n in 0..1_000 {
        publish(&hub, &format!("a:{n}"), "old");
        publish(&hub, &format!("b:{n}"), "old");
    }
    let id = hub.shared().epoch().id(2_000);
    for topic in ["a:7", "b:8", "a:700"] {
        publish(&hub, topic, "new");
    }
    let resume = Resume::new().with_last_event_id(id.as_str());
    let mut reader = hub.subscribe_matching(["a:*"]).resume(resume).open().unwrap();
    read(&mut reader).unwrap();
    let topics = |hub: &Hub| {
        let mut replays = Vec::new();
        hub.shared().for_each_topic("", |log| replays.push(log.lock().replays));
        replays.into_iter().sum::<u32>()
    };
    assert_eq!(topics(&hub), 2);
    let text = String::from_utf8(read_all(&mut reader)).unwrap();
    assert_eq!(text.matches("data: new").count(), 2);
    assert_eq!(topics(&hub), 0);
}

/// A read of the past of many topics looks at those that it has events of, and at no others.
#[test]
fn a_read_of_the_past_costs_what_it_sends() {
    let hub = Hub::builder().heartbeat(None).build();
    publish(&hub, "elsewhere", "x");
    let id = hub.shared().epoch().id(1);
    for n in 0..1_000 {
        publish(&hub, &format!("p/{n}"), "x".repeat(1_000));
    }
    // One after the other in many topics, and in one.
    (0..100).for_each(|n| publish(&hub, &format!("p/{n}"), "y"));
    (0..200).for_each(|_| publish(&hub, "p/7", "z"));
    let looked = Rc::new(Cell::new(0));
    for resumes in [false, true] {
        let subscribe = hub.subscribe_matching(["p/*"]);
        let subscribe = match resumes {
            true => subscribe.resume(Resume::new().with_last_event_id(id.as_str())),
            false => subscribe.history(History::All),
        };
        let mut reader = subscribe.open().unwrap();
        read(&mut reader).unwrap();
        let looks = looked.clone();
        test_hook::set(Some(Box::new(move || looks.set(looks.get() + 1))));
        let mut text = String::new();
        while let Some(bytes) = read(&mut reader) {
            let read = String::from_utf8(bytes.into()).unwrap();
            let (events, looks) = (read.matches("data: ").count(), looked.take());
            assert!(looks <= events + 1, "{resumes}: {looks} looks for {events} events");
            text.push_str(&read);
        }
        test_hook::set(None);
        looked.take();
        let positions = text.lines().filter_map(|line| line.strip_prefix("id: "));
        let positions = positions.map(|id| id.rsplit_once('-').unwrap().1.parse::<u64>().unwrap());
        assert!(positions.eq(2..=1_301), "{resumes}: in order, each once");
    }
}

/// Two that come back from the same place share what is written for them, and one from elsewhere is not led astray by that.
#[test]
fn readers_of_the_past_share_it_wherever_they_are() {
    let hub = Hub::builder().heartbeat(None).build();
    for n in 0..900 {
        publish(&hub, &format!("p/{}", n % 7 % 3), format!("{n} {}", "x".repeat(1_000)));
    }
    let epoch = hub.shared().epoch();
    let mut readers = [1, 1, 200, 330].map(|position| {
        let resume = Resume::new().with_last_event_id(epoch.id(position).as_str());
        let mut reader = hub.subscribe_matching(["p/*"]).resume(resume).open().unwrap();
        read(&mut reader).unwrap();
        reader
    });
    let mut texts = [(); 4].map(|()| String::new());
    let mut shared = 0;
    loop {
        let chunks = readers.each_mut().map(read);
        let places = chunks.each_ref().map(|chunk| chunk.as_ref().map(|bytes| bytes.as_ptr()));
        shared += usize::from(places[0].is_some() && places[0] == places[1]);
        if places == [None; 4] {
            break;
        }
        for (text, chunk) in texts.iter_mut().zip(chunks) {
            text.push_str(std::str::from_utf8(&chunk.unwrap_or_default()).unwrap());
        }
    }
    assert!(shared > 5, "{shared}");
    for (text, after) in texts.iter().zip([1, 1, 200, 330]) {
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let data = data.map(|data| data.split(' ').next().unwrap().parse::<u64>().unwrap());
        assert!(data.eq(after..900), "after {after}");
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a filter hides takes time, too, and others have their turn meanwhile.
#[test]
fn looking_for_what_passes_a_filter_in_the_past_lets_others_have_their_turn() {
    let retention = Retention::default().events(20_000).bytes(16 * 1024 * 1024);
    let hub = Hub::builder().retention(retention).heartbeat(None).build();
    let say = |role: &str| {
        let event = Event::new("x").with_attribute("role", role).unwrap();
        hub.publish("p/1", event).wait().unwrap();
    };
    say("all");
    (0..14_000).for_each(|_| say("few"));
    say("all");
    let filter = Filter::equal("role", "all").unwrap();
    let subscribe = hub.subscribe_matching(["p/*"]).history(History::All).filter(filter);
    let mut reader = subscribe.open().unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let (mut text, mut pauses) = (String::new(), 0);
    loop {
        let woken = wakes.0.load(Ordering::SeqCst);
        match Pin::new(&mut reader).poll_next(&mut cx) {
            Poll::Ready(bytes) => {
                text.push_str(std::str::from_utf8(&bytes.unwrap().unwrap()).unwrap());
            }
            Poll::Pending if wakes.0.load(Ordering::SeqCst) > woken => pauses += 1,
            Poll::Pending => break,
        }
    }
    assert_eq!(text.matches("data: x").count(), 2);
    assert_eq!(pauses, 2);
}

/// Values that are superseded after a stream began are not of its past, but it comes upon their topics.
#[test]
fn a_past_whose_values_were_superseded_lets_others_have_their_turn() {
    const TOPICS: u64 = 10_000;

    let hub = Hub::builder().retention(Retention::latest_per_key()).heartbeat(None).build();
    let set_all = || {
        for n in 0..TOPICS {
            let (topic, event) = (format!("p/{n}"), Event::keyed("key", "x").unwrap());
            hub.publish(topic.as_str(), event).wait().unwrap();
        }
    };
    set_all();
    let shared = hub.shared();
    let mut logs = Vec::new();
    shared.for_each_topic("p/", |log| logs.push(log.clone()));
    let next = logs.iter().map(|log| log.lock().durable.last().unwrap().offset);
    let mut merge = Merge::new(&next.collect::<Vec<_>>(), TOPICS, TOPICS);
    let feed = shared.feeds.of_past(logs, None, Readers::Any);
    set_all();
    let looks = Rc::new(Cell::new(0));
    let counted = looks.clone();
    test_hook::set(Some(Box::new(move || counted.set(counted.get() + 1))));
    let mut cursor = Cursor { offset: 0, joined: TOPICS };
    let mut turns = 0;
    while let PastRead::LookOn =
        feed.read_past(&mut cursor, &mut merge, &shared.coalescing).unwrap()
    {
        turns += 1;
        let looks = looks.take();
        assert!(looks < 5_000, "{looks} looks in a turn");
    }
    test_hook::set(None);
    assert_eq!((cursor.offset, turns), (TOPICS, 2));
}

/// Topics that vanish while a stream reads their past are in memory as long as it does.
#[test]
fn vanished_topics_that_are_still_read_are_pinned() {
    let clock = ManualClock::new();
    let retention = Retention::default().age(Duration::from_secs(60));
    let builder = Hub::builder().clock(clock.clock()).retention(retention).heartbeat(None);
    let hub = builder.build();
    for n in 0..1_000 {
        publish(&hub, &format!("p/{n}"), "x");
    }
    let open = || hub.subscribe_matching(["p/*"]).history(History::All).open().unwrap();
    let readers = [open(), open()];
    let pinned = || hub.metrics().pinned_bytes;
    assert_eq!(pinned(), 2 * 24_000);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(hub.metrics().topics, 0);
    let vanished = pinned() - 2 * 24_000;
    assert!((200_000..1_000_000).contains(&vanished), "{vanished}");
    assert_eq!(hub.shared().pinned.vanished(), vanished);
    let [mut one, other] = readers;
    drop(other);
    assert_eq!(pinned(), 24_000 + vanished);
    // It learns that they are gone.
    let text = String::from_utf8(read_all(&mut one)).unwrap();
    assert!(text.contains("reset"), "{text}");
    assert_eq!((pinned(), hub.shared().pinned.vanished()), (0, 0));
}

/// A hub with an event in so many topics that comparing them with [`many_patterns`] takes long.
fn hub_of_many_topics() -> Hub {
    let hub = Hub::builder().heartbeat(None).build();
    (0..1_000).for_each(|n| publish(&hub, &format!("p/{n}"), "x"));
    hub
}

fn many_patterns() -> impl Iterator<Item = String> {
    (0..64).map(|n| format!("p/*{n}"))
}

/// Reads, when it is woken, until there was so much of this.
#[track_caller]
fn read_until(mut subscription: Subscription, text: &'static str, count: usize) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut all = String::new();
        while all.matches(text).count() < count {
            let next = std::future::poll_fn(|cx| Pin::new(&mut subscription).poll_next(cx));
            let bytes = crate::waking::block_on(next).expect("no end").expect("no error");
            all.push_str(std::str::from_utf8(&bytes).expect("text"));
        }
        tell.send(all)
    });
    told.recv_timeout(Duration::from_secs(30)).expect("it is woken")
}

/// They are 64,000, and a thousand requests for them may come at a time.
#[test]
fn many_topics_are_looked_through_elsewhere() {
    let hub = hub_of_many_topics();
    let subscribe = || hub.subscribe_matching(many_patterns()).history(History::All);
    let reader = subscribe().open().unwrap();
    assert_eq!(reader.status(), Status::Pending);
    publish(&hub, "p/63", "last");
    let text = read_until(reader, "data: last", 1);
    assert!(text.starts_with("retry: ") && text.contains("\"status\":\"fresh\""), "{text}");
    assert_eq!(text.matches("\ndata: ").count() - 1, 1_000 + 1, "each once");

    let id = hub.shared().epoch().id(990);
    let resume = Resume::new().with_last_event_id(id.as_str());
    let reader = subscribe().resume(resume).open().unwrap();
    assert_eq!(reader.status(), Status::Pending);
    let text = read_until(reader, "data: last", 1);
    assert!(text.contains("\"status\":\"resumed\""), "{text}");
    assert_eq!(text.matches("\ndata: ").count() - 1, 10 + 1);

    // Who is sent nothing of the past need not wait for it, nor who has few topics.
    let live = hub.subscribe_matching(many_patterns()).open().unwrap();
    assert_eq!(live.status(), Status::Fresh);
    let few = hub.subscribe_matching(["p/1*"]).history(History::All).open().unwrap();
    assert_eq!(few.status(), Status::Fresh);
}

#[test]
fn a_stream_of_many_topics_that_is_overrun_looks_for_them_elsewhere() {
    let hub = hub_of_many_topics();
    let mut reader = hub.subscribe_matching(many_patterns()).open().unwrap();
    read_all(&mut reader);
    for n in 0..300 {
        (0..10).for_each(|topic| publish(&hub, &format!("p/{topic}"), format!("more {n}.")));
    }
    publish(&hub, "p/63", "last");
    let text = read_until(reader, "data: last", 1);
    assert_eq!(text.matches("data: more").count(), 3_000);
    assert!(!text.contains("reset"), "{text}");
}

fn topic_count(hub: &Hub) -> usize {
    hub.shared().metrics().topics
}

#[test]
fn what_expires_is_removed_in_steps_between_which_events_are_published() {
    let day = Retention::default().age(Duration::from_secs(86_400));
    let hub = Hub::builder().clock(ManualClock::new().clock()).retain("kept", day).unwrap().build();
    for n in 0..1_000 {
        publish(&hub, &format!("topic{n}"), "x");
    }
    (0..1_000).for_each(|_| publish(&hub, "many", "x"));
    let mut steps = 0;
    loop {
        let before = topic_count(&hub);
        let (effects, is_more) = hub.shared().journal.lock().expire(601_000);
        effects.run();
        steps += 1;
        assert!(before - topic_count(&hub) <= STEP, "{before} topics");
        publish(&hub, "kept", "x");
        if !is_more {
            break;
        }
    }
    assert!(steps > 2_000 / (2 * STEP), "{steps} steps");
    assert_eq!(topic_count(&hub), 1);
    let kept = hub.shared().journal.lock().log("kept").unwrap();
    assert_eq!(kept.lock().durable.len(), steps);
}

#[test]
fn a_large_event_makes_room_for_itself_in_steps() {
    let hub = Hub::builder().max_retained_bytes(1024 * 1024).build();
    let retained = || hub.shared().metrics().retained_bytes;
    let mut count = 0;
    while retained() < 1024 * 1024 - 2_000 {
        publish(&hub, &format!("topic{count}"), "x");
        count += 1;
    }
    assert!(count > 2 * STEP, "{count} topics");
    let topic = Topic::new("large").unwrap();
    let body = format!("data: {}\n", "x".repeat(1_000_000)).into_bytes();
    let entry = Entry { topic: &topic, body, tags: None, kind: EntryKind::Durable(None) };
    let shared = hub.shared();
    let (_, mut effects) = shared.journal.lock().append(entry, 0, shared.tail()).unwrap();
    let mut before = count + 1;
    loop {
        assert!(before - topic_count(&hub) <= STEP, "{before} topics");
        if !effects.is_over_budget() {
            break;
        }
        before = topic_count(&hub);
        effects.run();
        effects = shared.journal.lock().keep_budget();
    }
    effects.run();
    assert!(retained() <= 1024 * 1024 && topic_count(&hub) < count - STEP);
    // Whoever publishes waits for all of them.
    publish(&hub, "large", "x".repeat(1_000_000));
    assert!(retained() <= 1024 * 1024);
}

#[test]
fn topics_are_left_in_steps() {
    let hub = Hub::builder().retention(Retention::none()).build();
    let names: Vec<String> = (0..1_000).map(|n| format!("topic{n}")).collect();
    let reader = hub.subscribe(&names[..]).open().unwrap();
    names.iter().for_each(|name| publish(&hub, name, "x"));
    // As `Subscription::drop` does.
    let mut logs = reader.client().feed.topics.to_vec();
    logs.iter().for_each(|log| log.lock().subscribers -= 1);
    while !logs.is_empty() {
        let before = (logs.len(), topic_count(&hub));
        hub.shared().journal.lock().on_last_reader_gone(&mut logs, 0).run();
        assert!(before.0 - logs.len() <= STEP && before.1 - topic_count(&hub) <= STEP);
    }
    assert_eq!(topic_count(&hub), 0);
    logs.extend(reader.client().feed.topics.iter().cloned());
    logs.iter().for_each(|log| log.lock().subscribers += 1);
}

/// What it costs to be sent an event depends on the topics that have news, not on those that are silent.
#[test]
fn silent_topics_cost_nothing() {
    const OWN: usize = 900;

    let hub = Hub::builder().heartbeat(None).build();
    // Streams look at all topics once: at the beginning, or when an event comes, if there is none before.
    publish(&hub, "elsewhere", "x");
    let own: Vec<String> = (0..OWN).map(|n| format!("own{n}")).collect();
    let names = || own.iter().map(String::as_str).chain(["shared", "other"]);
    let mut alone = hub.subscribe(names()).matching(["shared*"]).open().unwrap();
    let mut member = hub.subscribe(names()).open().unwrap();
    read_all(&mut alone);
    let mut cohort = Cohort::of(&member, Waker::noop().clone());
    let mut cx = Context::from_waker(Waker::noop());
    while cohort.poll_member(&mut member, &mut cx).is_ready() {}
    assert!(cohort.next_batch().unwrap().is_none());
    let batches = |cohort: &mut Cohort| {
        let batches = std::iter::from_fn(|| cohort.next_batch().unwrap());
        batches.map(|batch| batch.events()).sum::<usize>()
    };
    let events = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().matches("data: ").count();
    looks::take();
    for (published, expected) in [
        (vec!["shared"], 1),
        (vec!["shared"; 10], 10),
        (vec!["shared", "other", "own7"], 3),
        (vec!["elsewhere", "shared", "elsewhere"], 1),
        (vec!["elsewhere"; 100], 0),
        (vec!["own800"], 1),
    ] {
        published.iter().for_each(|topic| publish(&hub, topic, "x"));
        looks::take();
        assert_eq!(events(read_all(&mut alone)), expected, "{published:?}");
        let looked = looks::take();
        assert!(looked < 40, "{published:?}: {looked} looks");
        assert_eq!(batches(&mut cohort), expected, "{published:?}");
        assert!(looks::take() < 40, "{published:?}");
    }
    // More events than it is known where they went.
    (0..2_000).for_each(|_| publish(&hub, "elsewhere", "x"));
    publish(&hub, "own3", "x");
    assert_eq!(events(read_all(&mut alone)), 1);
    assert_eq!(batches(&mut cohort), 1);
    assert!(looks::take() > OWN);
}
