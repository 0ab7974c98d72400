//! Who is connected, and how to end their streams.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use reader::{Reader, publish};
use tidings::{
    ClientId, ClientInfo, Event, Filter, Hub, Resume, Retention, Topic, TopicInfo,
    clock::ManualClock,
};

fn principals(infos: &[ClientInfo]) -> Vec<Option<&str>> {
    infos.iter().map(|info| info.principal.as_deref()).collect()
}

#[test]
fn clients_are_listed_with_all_their_details() {
    let hub = Hub::new();
    let before = SystemTime::now();
    let addr: SocketAddr = "192.0.2.7:4242".parse().unwrap();
    let ada = hub
        .subscribe(["b", "a"])
        .principal("ada")
        .resume(Resume::new().with_remote_addr(Some(addr)));
    let ada = Reader::open(ada);
    let nobody = Reader::open(hub.subscribe(["a"]));
    let clients = hub.clients();
    let list = clients.list();
    assert_eq!(principals(&list), [Some("ada"), None], "in the order of their connection");
    let info = &list[0];
    assert_eq!(info.id, ada.subscription().client_id());
    assert_eq!(info.topics, [Topic::new("a").unwrap(), Topic::new("b").unwrap()]);
    assert_eq!((info.remote_addr, list[1].remote_addr), (Some(addr), None));
    assert!(before <= info.connected_at && info.connected_at <= SystemTime::now());
    assert_eq!((info.bytes_sent, info.events_sent), (0, 0));
    assert_eq!(clients.get(nobody.subscription().client_id()).unwrap().id, list[1].id);
}

#[test]
fn the_address_that_the_application_sets_is_kept_unless_the_request_has_one() {
    let hub = Hub::new();
    let [own, requests]: [SocketAddr; 2] =
        ["192.0.2.1:1", "192.0.2.2:2"].map(|a| a.parse().unwrap());
    let with = Resume::new().with_remote_addr(Some(requests));
    let addr = |subscribe: tidings::Subscribe| {
        let reader = Reader::open(subscribe);
        hub.clients().get(reader.subscription().client_id()).unwrap().remote_addr
    };
    assert_eq!(addr(hub.subscribe(["a"]).remote_addr(own).resume(Resume::new())), Some(own));
    assert_eq!(addr(hub.subscribe(["a"]).resume(with.clone()).remote_addr(own)), Some(own));
    assert_eq!(addr(hub.subscribe(["a"]).remote_addr(own).resume(with)), Some(requests));
}

#[test]
fn clients_are_counted_by_topic_and_by_principal() {
    let hub = Hub::new();
    let mut readers: Vec<_> = (0..9)
        .map(|n| {
            let subscribe = hub.subscribe([["a", "b", "c"][n % 3], "all"]);
            Reader::open(subscribe.principal(format!("user{}", n % 2)))
        })
        .collect();
    let counts = || {
        let clients = hub.clients();
        let topic = |name| clients.count_of_topic(&Topic::new(name).unwrap());
        (
            clients.count(),
            [topic("a"), topic("all"), topic("none")],
            ["user0", "user1", "user2"].map(|name| clients.count_of_principal(name)),
        )
    };
    assert_eq!(counts(), (9, [3, 9, 0], [5, 4, 0]));
    assert_eq!(hub.clients().of_principal("user1").len(), 4);
    assert!(
        hub.clients().of_principal("user1").iter().all(|i| i.principal.as_deref() == Some("user1"))
    );
    readers.truncate(1);
    assert_eq!(counts(), (1, [1, 1, 0], [1, 0, 0]));
    readers.clear();
    assert_eq!(counts(), (0, [0, 0, 0], [0, 0, 0]));
}

#[test]
fn a_client_is_listed_from_open_until_its_stream_is_dropped_polled_or_not() {
    let hub = Hub::new();
    for polls in 0..3 {
        let subscribe = hub.subscribe(["a"]).principal("ada");
        assert_eq!((hub.clients().count(), hub.clients().topics().len()), (0, 0));
        let mut reader = Reader::open(subscribe);
        let id = reader.subscription().client_id();
        (0..polls).for_each(|_| drop(reader.chunk()));
        assert_eq!((hub.clients().count(), hub.clients().get(id).is_some()), (1, true));
        drop(reader);
        assert_eq!((hub.clients().count(), hub.clients().get(id).is_some()), (0, false));
        assert!(hub.clients().topics().is_empty() && !hub.clients().close(id));
        assert_eq!(hub.clients().close_principal("ada"), 0);
    }
}

#[test]
fn counters_count_what_was_handed_to_the_transport() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build();
    let mut reader = Reader::open(hub.subscribe(["a", "b"]));
    let id = reader.subscription().client_id();
    let info = || hub.clients().get(id).unwrap();
    assert_eq!((info().bytes_sent, info().events_sent), (0, 0));
    reader.bytes();
    assert_eq!((info().bytes_sent, info().events_sent), (reader.raw.len() as u64, 1));
    assert_eq!(info().last_id.as_str(), reader.last_id());
    // One alone, several as a chunk, one without a position.
    for topics in [&["a"][..], &["a", "b", "a"], &["b"]] {
        topics.iter().for_each(|topic| drop(publish(&hub, topic, "x")));
        assert_ne!(info().last_id.as_str(), publish(&hub, "c", "x").as_str());
        reader.bytes();
        assert_eq!(info().last_id.as_str(), reader.last_id());
    }
    assert_eq!((info().bytes_sent, info().events_sent), (reader.raw.len() as u64, 6));
    let last = info().last_id;
    hub.publish_ephemeral("a", Event::new("e")).unwrap();
    reader.bytes();
    assert_eq!((info().events_sent, info().last_id), (7, last.clone()));
    clock.advance(Duration::from_secs(16));
    assert_eq!(reader.bytes(), b":\n\n");
    assert_eq!((info().bytes_sent, info().events_sent), (reader.raw.len() as u64, 7));
    assert_eq!(info().last_id, last);
}

#[test]
fn closing_a_client_ends_its_stream_and_no_other() {
    let hub = Hub::new();
    let (mut one, _) = Reader::open_with_status(hub.subscribe(["a"]));
    let (mut two, _) = Reader::open_with_status(hub.subscribe(["a"]));
    assert!(one.data().is_empty() && two.data().is_empty());
    let id = one.subscription().client_id();
    assert!(hub.clients().close(id));
    assert_eq!((one.wakes.count(), two.wakes.count()), (1, 0));
    publish(&hub, "a", "x");
    assert_eq!((one.data().len(), one.ended), (0, true));
    assert_eq!((two.data(), two.ended), (vec!["x".to_owned()], false));
    // Listed until the response is dropped.
    assert!(hub.clients().get(id).is_some() && hub.clients().close(id));
    drop(one);
    assert!(!hub.clients().close(id));
}

#[test]
fn closing_a_principal_ends_all_its_streams() {
    let hub = Hub::new();
    let open = |name: &str| Reader::open(hub.subscribe(["a"]).principal(name));
    let mut adas = [open("ada"), open("ada")];
    let mut bob = open("bob");
    assert_eq!(hub.clients().close_principal("ada"), 2);
    assert_eq!(hub.clients().close_principal("nobody"), 0);
    for ada in &mut adas {
        assert!(ada.bytes().is_empty() && ada.ended);
    }
    assert!(!bob.bytes().is_empty() && !bob.ended);
}

#[test]
fn the_lag_of_a_client_is_what_its_topics_have_and_it_was_not_sent() {
    let hub = Hub::new();
    publish(&hub, "a", "before it came");
    let (mut reader, _) = Reader::open_with_status(hub.subscribe(["a", "b"]));
    let id = reader.subscription().client_id();
    let lag = || hub.clients().lag(id);
    assert_eq!(lag(), Some(0));
    for (topic, expected) in [("a", 1), ("b", 2), ("not-its-own", 2), ("a", 3)] {
        publish(&hub, topic, "x");
        assert_eq!(lag(), Some(expected));
    }
    hub.publish_ephemeral("a", Event::new("x")).unwrap();
    assert_eq!(lag(), Some(3));
    assert_eq!(reader.data().len(), 4);
    assert_eq!(lag(), Some(0));
    drop(reader);
    assert_eq!(lag(), None);
}

#[test]
fn a_client_that_resumes_lags_by_what_it_missed() {
    let hub = Hub::new();
    let seen = publish(&hub, "a", "seen");
    publish(&hub, "a", "missed");
    publish(&hub, "a", "missed");
    let resume = Resume::new().with_last_event_id(seen.as_str());
    let (mut reader, _) = Reader::open_with_status(hub.subscribe_matching("*").resume(resume));
    let id = reader.subscription().client_id();
    assert_eq!(reader.data().len(), 2);
    assert_eq!(hub.clients().lag(id), Some(0));
    publish(&hub, "a", "new");
    assert_eq!(hub.clients().lag(id), Some(1));
}

#[test]
fn topics_are_described_with_all_that_they_got() {
    let hub = Hub::builder().retention(Retention::default().events(2)).build();
    assert!(hub.topics().is_empty());
    let _pattern = Reader::open(hub.subscribe_matching("b*"));
    // Those with a filter count, too.
    let filter = !Filter::present("x").unwrap();
    let silent = Reader::open(hub.subscribe(["a", "silent"]).filter(filter));
    for _ in 0..300 {
        publish(&hub, "b", "x");
    }
    publish(&hub, "a", "x");
    hub.publish_ephemeral("a", Event::new("x")).unwrap();
    let topics = hub.topics();
    let described = |topic: &TopicInfo| {
        (topic.topic.to_string(), topic.subscribers, topic.events, topic.in_memory)
    };
    let expected = [("a", 1, 2, 1), ("b", 0, 300, 2), ("silent", 1, 0, 0)];
    let expected = expected.map(|(name, s, e, m)| (name.to_owned(), s, e, m));
    assert_eq!(topics.iter().map(described).collect::<Vec<_>>(), expected);
    assert!(topics[1].bytes > 0 && topics[2].bytes == 0);
    drop(silent);
    assert_eq!(hub.topics().len(), 2);
}

#[test]
fn a_client_id_is_its_sixteen_digits() {
    let hub = Hub::new();
    let (reader, status) = Reader::open_with_status(hub.subscribe(["a"]));
    let id = reader.subscription().client_id();
    let text = id.to_string();
    assert_eq!(text.len(), 16);
    assert_eq!(status["client"], text);
    assert_eq!(text.parse::<ClientId>().unwrap(), id);
    assert_eq!(text.to_uppercase().parse::<ClientId>().unwrap(), id);
    for bad in [
        "",
        "0",
        "0123456789abcde",
        "0123456789abcdef0",
        "+123456789abcdef",
        "g123456789abcdef",
        "é123456789abcde",
    ] {
        let error = bad.parse::<ClientId>().unwrap_err();
        assert_eq!(error.to_string(), "client id is not 16 hexadecimal digits", "{bad:?}");
    }
}

#[test]
fn a_waker_that_drops_its_stream_does_not_deadlock() {
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Wake, Waker};

    /// A task whose wake-up drops it, as an executor that shuts down does.
    struct Task(Mutex<Option<tidings::Subscription>>);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
        }
    }

    let clock = ManualClock::new();
    for cause in 0..4 {
        let hub = Hub::builder().clock(clock.clock()).build();
        let task = Arc::new(Task(Mutex::new(None)));
        let mut subscription = hub.subscribe(["a", "b"]).principal("ada").open().unwrap();
        let waker = Waker::from(task.clone());
        let mut cx = Context::from_waker(&waker);
        while futures_core::Stream::poll_next(Pin::new(&mut subscription), &mut cx).is_ready() {}
        *task.0.lock().unwrap() = Some(subscription);
        match cause {
            0 => drop(publish(&hub, "a", "x")),
            1 => assert_eq!(hub.clients().close_principal("ada"), 1),
            2 => hub.close(),
            _ => clock.advance(Duration::from_secs(16)),
        }
        assert_eq!(hub.clients().count(), 0, "cause {cause}");
    }
}
