//! Reading back while others publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings::backend::{Log, Page, Read, Reply, Start};
use tidings::presence::{JOIN_EVENT, Presence};
use tidings::{Comment, Event, Hub, Retention, TopicPattern};
use tidings_nats::{ConnectOptions, NatsLog};
use tidings_testkit::checker::is_of;
use tidings_testkit::limit::within;
use tidings_testkit::log::{Client, publish, publish_all};
use tidings_testkit::nats::Server;
use tidings_testkit::proxy::Passing;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::{hub_at, monitor, node, position, proxy, server, server_with};

const TOPICS: [&str; 16] = [
    "a.0", "a.1", "a.2", "a.3", "b.0", "b.1", "b.2", "b.3", "c.0", "c.1", "c.2", "c.3", "d.0",
    "d.1", "d.2", "d.3",
];

/// Wide and narrow ones.
const PATTERNS: [&str; 6] = ["a.*", "b.1*", "*.2", "c.*", "d.3*", "*"];

async fn hub(server: &Server, is_selective: bool) -> Hub {
    let log = NatsLog::builder().selective(is_selective).connect(server.url());
    let log = within("a log", log).await.expect("the server is running");
    let little = Hub::builder().retention(Retention::none()).max_retained_bytes(2_000);
    little.build_on(log)
}

/// Publishes until the end. Returns positions and topics, in order.
async fn keep_publishing(
    hub: Hub,
    number: usize,
    ending: Arc<AtomicBool>,
) -> Vec<(u64, &'static str)> {
    let mut published = Vec::new();
    for n in 0_usize.. {
        if ending.load(Ordering::Acquire) {
            break;
        }
        let topic = TOPICS[(n * 7 + number * 5 + n / 11) % TOPICS.len()];
        let event = Event::new(format!("{number} {n} {}", "x".repeat(n % 700)));
        let done = within("an acknowledgement", hub.publish(topic, event)).await;
        let id = done.expect("it is published").id();
        published.push((position(id.as_str()), topic));
    }
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_leaves_out_nothing_while_several_connections_publish() {
    read_and_publish(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selective_node_leaves_out_nothing_or_resets_its_clients() {
    read_and_publish(true).await;
}

async fn read_and_publish(is_selective: bool) {
    let Some(server) = server().await else { return };
    let nodes = [
        hub(&server, is_selective).await,
        hub(&server, is_selective).await,
        hub(&server, is_selective).await,
    ];
    let first = publish(&nodes[0], "before", "first").await;
    let ending = Arc::new(AtomicBool::new(false));
    let mut publishers = JoinSet::new();
    for number in 0..4 {
        publishers.spawn(keep_publishing(nodes[number % 3].clone(), number, ending.clone()));
    }
    let mut readers = JoinSet::new();
    for number in 0..12_usize {
        let (hub, first) = (nodes[number % 3].clone(), first.id.clone());
        readers.spawn(async move {
            let other = match number % 2 {
                0 => TOPICS[(number * 3 + 7) % 16],
                _ => PATTERNS[number / 2],
            };
            let topics = [TOPICS[number % 16], other];
            let began = tokio::time::Instant::now();
            let mut seen = Vec::new();
            while began.elapsed() < Duration::from_secs(8) {
                let mut client = Client::connect(&hub, &topics, Some(&first));
                let mut ids = Vec::new();
                while ids.len() < 200 && began.elapsed() < Duration::from_secs(10) {
                    let Ok(Some(message)) =
                        tokio::time::timeout(Duration::from_millis(300), client.next()).await
                    else {
                        break;
                    };
                    let is_reset = message.data().contains(r#""status":"reset""#);
                    assert!(is_selective || !is_reset, "{message:?}");
                    if is_reset {
                        break;
                    }
                    if message.event() == "message" {
                        ids.push(position(message.last_event_id()));
                    }
                }
                seen.push(ids);
            }
            (topics, seen)
        });
    }
    let mut read = Vec::new();
    while let Some(done) = readers.join_next().await {
        read.push(done.unwrap());
    }
    ending.store(true, Ordering::Release);
    let mut published = Vec::new();
    while let Some(done) = publishers.join_next().await {
        published.extend(done.unwrap());
    }
    published.sort_unstable();
    let mut count = 0;
    for (topics, seen) in read {
        let all: Vec<_> = published
            .iter()
            .filter(|(_, topic)| is_of(&topics, topic))
            .map(|(at, _)| *at)
            .collect();
        for ids in seen {
            count += ids.len();
            let expected = &all[..ids.len()];
            let wrong = ids.iter().zip(expected).position(|(id, expected)| id != expected);
            assert_eq!(wrong.map(|at| (ids[at], expected[at], at)), None, "{topics:?}");
        }
    }
    println!("{} published, {count} read", published.len());
    assert!(count > 1_000);
}

/// How long a server may take to answer a request. Many requests take longer.
const REQUEST: Duration = Duration::from_millis(500);

/// Publishes events of a topic that nobody reads.
async fn fill(hub: &Hub, count: usize) {
    for _ in 0..count / 4_000 {
        publish_all(hub, (0..4_000).map(|n| ("other", n.to_string()))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_few_among_many_events_is_told_its_status() {
    let Some(server) = server().await else { return };
    let publisher = node(&server).await;
    let wanted = publish(&publisher, "user:42:a", "x").await;
    fill(&publisher, 12_000).await;
    let builder = NatsLog::builder().selective(true).request_timeout(REQUEST);
    let hub = hub_at(&server.url(), builder).await;
    let mut client = Client::expect(&hub, &["user:42:*"], Some("x"), "unknown").await;
    client.read_to(&wanted.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_with_many_events_says_who_is_there() {
    let Some(server) = server().await else { return };
    let publisher = node(&server).await;
    fill(&publisher, 12_000).await;
    let log = NatsLog::builder().request_timeout(REQUEST).connect(server.url());
    let log = within("a log", log).await.expect("the server is running");
    let builder = Hub::builder().presence("room/*", Presence::default());
    let hub = builder.expect("a pattern").build_on(log);
    let mut watcher = Client::expect(&publisher, &["presence/room/1"], None, "fresh").await;
    let _ada = hub.subscribe("room/1").principal("ada").open().expect("it opens");
    assert_eq!(watcher.read(1).await[0].event(), JOIN_EVENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_looked_for_that_nobody_waits_for_any_more() {
    let Some(server) = server().await else { return };
    fill(&node(&server).await, 12_000).await;
    let log = within("a log", NatsLog::connect(server.url())).await.expect("the server is running");
    let nowhere = vec![TopicPattern::new("user:42:*").expect("a pattern")];
    let newest = Start::Newest { count: 1, since: 0 };
    let read = Read::new(nowhere, newest, log.origin().end, 1_000);
    // More than are answered at a time.
    for _ in 0..100 {
        let (reply, answer) = Reply::new();
        log.read(read.clone(), reply);
        drop(answer);
    }
    let (reply, answer) = Reply::new();
    log.read(read, reply);
    let page = within("a page", answer).await.expect("the server is running");
    assert!(page.records.is_empty());
}

#[tokio::test]
async fn a_page_of_large_events_is_not_read_many_times() {
    const EVENTS: usize = 600;
    let Some(server) = server_with(monitor::CONFIGURATION).await else { return };
    let hub = hub(&server, false).await;
    let first = publish(&hub, "a", "first").await;
    let large = "x".repeat(10_000);
    let published = publish_all(&hub, (0..EVENTS).map(|_| ("a", large.clone()))).await;
    let before = monitor::received(&server).await;
    let mut client = Client::expect(&hub, &["a"], Some(&first.id), "resumed").await;
    client.read_to(&published[EVENTS - 1].id).await;
    let asked = monitor::received(&server).await - before;
    assert!(asked > EVENTS as u64, "it was read from memory: {asked}");
    assert!(asked < 5 * EVENTS as u64, "{asked} requests for {EVENTS} events");
}

/// A log without a hub: the server sends it nothing but answers, over a connection with a name.
async fn log_at(url: &str) -> NatsLog {
    let options = ConnectOptions::new().name("log");
    let builder = NatsLog::builder().connect_options(options).request_timeout(LATE);
    within("a log", builder.connect(url)).await.expect("the server is running")
}

/// How many answers the log has got.
async fn answers(server: &Server) -> u64 {
    monitor::connection(server, "log").await.sent
}

/// When an answer is late.
const LATE: Duration = Duration::from_secs(1);
const NEWEST: Start = Start::Newest { count: 10, since: 0 };

/// Asks for what the log has of a topic or pattern.
fn read(log: &NatsLog, topic: &str, start: Start) -> impl Future<Output = Page> + use<> {
    let topics = vec![TopicPattern::new(topic).expect("a pattern")];
    let (reply, answer) = Reply::new();
    log.read(Read::new(topics, start, log.origin().end, 256 * 1024), reply);
    async { within("a page", answer).await.expect("the server is running") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_topic_has_no_events_few_requests_are_needed() {
    let Some(server) = server_with(monitor::CONFIGURATION).await else { return };
    let publisher = node(&server).await;
    let first = publish(&publisher, "a", "first").await;
    fill(&publisher, 24_000).await;
    for topic in ["a", "b"] {
        publish(&publisher, topic, "last").await;
    }
    let log = log_at(&server.url()).await;
    for (topic, start) in [("a", Start::After(position(&first.id))), ("b", NEWEST)] {
        let before = answers(&server).await;
        let page = read(&log, topic, start).await;
        let count = answers(&server).await - before;
        assert_eq!(page.records.len(), 1, "{topic}");
        assert_eq!(page.to, log.origin().end, "{topic}");
        assert!(count < 40, "{count} answers for one event of {topic}");
    }
}

#[tokio::test]
async fn a_page_has_room_for_the_comments_of_its_events_too() {
    let Some(server) = server().await else { return };
    let hub = node(&server).await;
    let comment = Comment::new("x".repeat(10_000)).expect("one line");
    let event = Event::new("x").with_comment(comment);
    let publishes: Vec<_> = (0..60).map(|_| hub.publish("a", event.clone())).collect();
    for publish in publishes {
        within("an acknowledgement", publish).await.expect("it is published");
    }
    let log = log_at(&server.url()).await;
    let page = read(&log, "a", Start::After(0)).await;
    assert!((20..30).contains(&page.records.len()), "{} events", page.records.len());
}

/// Only time can make an answer late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_goes_on_after_answers_that_are_late() {
    let Some(server) = server_with(monitor::CONFIGURATION).await else { return };
    let (proxy, url) = proxy(&server).await;
    fill(&node(&server).await, 12_000).await;
    let log = log_at(&url).await;
    let mut page = Box::pin(read(&log, "user:42:*", NEWEST));
    within("some answers", async { while answers(&server).await < 3_000 {} }).await;
    proxy.pass(Passing::Neither);
    // Not so long that the link counts as lost.
    let early = timeout(LATE.mul_f64(1.3), &mut page).await;
    assert!(early.is_err(), "{early:?}");
    proxy.pass(Passing::Both);
    assert!(page.await.records.is_empty());
}
