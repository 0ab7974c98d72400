//! Reading back while others publish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings::{Event, Hub, Retention};
use tidings_nats::NatsLog;
use tidings_testkit::checker::is_of;
use tidings_testkit::limit::within;
use tidings_testkit::log::{Client, publish};
use tidings_testkit::nats::Server;
use tokio::task::JoinSet;

use crate::{position, server};

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
async fn publish_all(hub: Hub, number: usize, ending: Arc<AtomicBool>) -> Vec<(u64, &'static str)> {
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
        publishers.spawn(publish_all(nodes[number % 3].clone(), number, ending.clone()));
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
