//! Patterns, which are wildcards of NATS.

use std::time::Duration;

use async_nats::HeaderMap;
use tidings::{Hub, Retention};
use tidings_nats::{ConnectOptions, NatsLog, NatsLogBuilder};
use tidings_testkit::checker::check;
use tidings_testkit::limit::{LIMIT, within};
use tidings_testkit::log::{Client, publish, publish_all};
use tidings_testkit::nats::Server;
use tokio::time::{Instant, sleep};

use crate::audience::{is_of, last_of};
use crate::{client_of, hub_at, monitor, node, position};

pub(crate) async fn server() -> Option<Server> {
    crate::server_with(monitor::CONFIGURATION).await
}

pub(crate) fn selective() -> NatsLogBuilder {
    NatsLog::builder().selective(true)
}

/// A selective node whose connection has a name. It is interested only in topics that have clients: it retains no
/// events for those that might come.
pub(crate) async fn forgetful(server: &Server, name: &str) -> Hub {
    let options = ConnectOptions::new().name(name);
    let log = selective().connect_options(options).connect(server.url());
    let log = within("a log", log).await.expect("the server is running");
    Hub::builder().retention(Retention::none()).max_retained_bytes(2_000).build_on(log)
}

pub(crate) async fn fresh(hub: &Hub, topics: &[&str]) -> Client {
    Client::expect(hub, topics, None, "fresh").await
}

/// What a node is subscribed to of the events, once it is this.
pub(crate) async fn is_subscribed_to(server: &Server, node: &str, expected: &[&str]) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let mut subjects = monitor::connection(server, node).await.subjects;
        subjects.retain(|subject| {
            subject.starts_with("tidings-live.") && !subject.starts_with("tidings-live.$")
        });
        if subjects == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{subjects:?}, not {expected:?}");
        // Nobody tells when the server's books have changed.
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_pattern_is_one_wildcard_for_all_its_clients() {
    let Some(server) = server().await else { return };
    let hub = forgetful(&server, "node").await;
    let one = fresh(&hub, &["sensors.kitchen.*"]).await;
    let kitchen = ["tidings-live.sensors.kitchen%2E", "tidings-live.sensors.kitchen.>"];
    is_subscribed_to(&server, "node", &kitchen).await;
    let other = fresh(&hub, &["sensors.kitchen.*", "sensors.kitchen.*.c"]).await;
    is_subscribed_to(&server, "node", &kitchen).await;
    drop(one);
    let third = fresh(&hub, &["sensors.k*", "sensors.c*", "orders"]).await;
    let [short, all] = kitchen;
    let more = ["tidings-live.orders", "tidings-live.sensors.>", short, all];
    is_subscribed_to(&server, "node", &more).await;
    drop(other);
    is_subscribed_to(&server, "node", &more[..2]).await;
    let everything = fresh(&hub, &["user:*"]).await;
    is_subscribed_to(&server, "node", &["tidings-live.>", more[0], more[1]]).await;
    drop((third, everything));
    is_subscribed_to(&server, "node", &[]).await;
}

#[tokio::test]
async fn a_node_does_not_receive_events_that_none_of_its_clients_is_subscribed_to() {
    let Some(server) = server().await else { return };
    let hub = forgetful(&server, "node").await;
    let whole = node(&server).await;
    let mut client = fresh(&hub, &["sensors.kitchen.*"]).await;
    let before = monitor::connection(&server, "node").await.sent;
    let events =
        (0..3_000).map(|n| (["sensors.hall.1", "sensors.kitchen", "x"][n % 3], "x".into()));
    publish_all(&whole, events).await;
    let event = publish(&whole, "sensors.kitchen.1", "x").await;
    client.read_to(&event.id).await;
    let sent = monitor::connection(&server, "node").await.sent - before;
    assert!(sent < 300, "{sent} messages");
    assert_eq!(client.messages().len(), 2);
}

/// Names that are close to each other by dots, escapes and characters with a meaning in NATS.
const ODD: [&str; 15] = [
    "a", "a.", "a..", "a.b", "a.b.", "a..b", "a.b.c", "a.>", "a.$b", "ab", "$a", "$a.b", ".a",
    "a.100%", "é.a",
];

const OF_ODD: [&[&str]; 13] = [
    &["*"],
    &["a*"],
    &["a.*"],
    &["a.*", "a."],
    &["a..*"],
    &["a.b*", "a.b", "a.*"],
    &["a.b.*", "*.c"],
    &["a.>*"],
    &["$*"],
    &["$a.*", "$a"],
    &[".*", "é*"],
    &["a.100%*", "a.*0%"],
    &["é.*", "*a"],
];

#[tokio::test]
async fn topics_of_every_kind_come_once_to_each_of_their_patterns() {
    let Some(server) = server().await else { return };
    let other = hub_at(&server.url(), selective()).await;
    for settings in [NatsLog::builder(), selective()] {
        let hub = hub_at(&server.url(), settings).await;
        let mut clients = Vec::new();
        for asked in OF_ODD {
            clients.push(fresh(&hub, asked).await);
        }
        let first = publish(&other, "a.b", "first").await;
        let events = (0..150).map(|n| (ODD[n % ODD.len()], n.to_string()));
        let mut published = publish_all(&other, events).await;
        let rest = published.clone();
        published.insert(0, first.clone());
        // One of each topic at the end, so that every client has a last one.
        let last = publish_all(&other, ODD.map(|topic| (topic, "last".to_owned()))).await;
        published.extend(last);
        for (mut client, asked) in clients.into_iter().zip(OF_ODD) {
            client.read_to(&last_of(&published, asked).id).await;
            let summary = check(&published, asked, &[client.leave()]).expect("all as promised");
            assert_eq!(summary.resets, 0, "{asked:?}");
        }
        // And read back, by a node that comes later.
        let late = hub_at(&server.url(), selective()).await;
        for asked in OF_ODD {
            let mut client = Client::expect(&late, asked, Some(&first.id), "resumed").await;
            client.read_to(&last_of(&rest, asked).id).await;
            client.read_to(&last_of(&published, asked).id).await;
            let resumed = &published[1..];
            let count = resumed.iter().filter(|entry| is_of(asked, entry)).count();
            assert_eq!(client.messages().len(), 1 + count, "{asked:?}");
        }
    }
}

/// Sends what the stream would republish for its message at `sequence`.
async fn forge(nats: &async_nats::Client, subject: &str, sequence: u64, previous: u64) {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Sequence", sequence.to_string());
    headers.insert("Nats-Last-Sequence", previous.to_string());
    nats.publish_with_headers(subject.to_owned(), headers, "forged".into()).await.unwrap();
    nats.flush().await.unwrap();
}

/// A republished message names the one before it in its topic. The server never leaves one out, so the test pretends
/// to be the server.
#[tokio::test]
async fn each_topic_of_a_pattern_must_continue_what_was_seen_of_it() {
    let Some(server) = server().await else { return };
    let nats = client_of(&server).await;
    let hub = hub_at(&server.url(), selective()).await;
    let earlier = publish(&hub, "a.3", "earlier").await;
    let mut client = fresh(&hub, &["a.*", "a.1*"]).await;
    // The first may be from before the patterns were followed.
    let mut event = publish(&hub, "a.2", "x").await;
    for topic in ["a.2", "a.1"] {
        client.read_to(&event.id).await;
        event = publish(&hub, topic, "x").await;
    }
    client.read_to(&event.id).await;
    // The one before was of this topic, and the client has received a later one of another topic.
    let at = position(&event.id);
    forge(&nats, "tidings-live.a.2", at + 5, at).await;
    assert_eq!(client.status().await["reason"], "unknown");
    let event = publish(&hub, "a.2", "new").await;
    client.read_to(&event.id).await;
    // The one before is ahead of everything that came: something is missing, which the stream does not have.
    let at = position(&event.id);
    forge(&nats, "tidings-live.a.2", at + 9, at + 5).await;
    let event = publish(&hub, "a.1", "x").await;
    let next = client.read(1).await[0].clone();
    assert_eq!((next.data(), next.last_event_id()), ("x", &*event.id));
    assert!(client.messages().iter().all(|message| message.data() != "forged"));
    // The one before is from before the pattern was followed.
    forge(&nats, "tidings-live.a.3", position(&event.id) + 5, position(&earlier.id)).await;
    assert_eq!(client.read(1).await[0].data(), "forged");
}
