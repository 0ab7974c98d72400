//! Wildcard subscriptions.

use futures_util::future::join;
use tidings::{History, Hub, Retention};
use tokio::time::Instant;

use super::publisher::publish_from_tasks;
use super::{Client, Engine, EngineOptions, publish, publish_all};
use crate::checker::{Entry, check_uneven, is_of};
use crate::limit::LIMIT;

const TOPICS: [&str; 6] = ["a:1", "a:2", "b:1", "b:2", "a:1:x", "c"];

/// Patterns side by side, within each other and overlapping, and topics that they match.
const SETS: [&[&str]; 7] = [
    &["*"],
    &["a:*"],
    &["a:*", "*:1"],
    &["a:1", "a:*"],
    &["a:*", "a:1*", "a:1:*"],
    &["b:*", "*:2", "a:2", "c"],
    &["*", "a:*", "c"],
];

pub async fn an_event_comes_once_however_many_patterns_match_it<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut clients = Vec::new();
    for patterns in SETS {
        clients.push((patterns, Client::expect(&hub, patterns, None, "fresh").await));
    }
    let published = publish_from_tasks(&hub, &TOPICS, 100).await;
    for (patterns, mut client) in clients {
        let count = 100 * TOPICS.iter().filter(|topic| is_of(patterns, topic)).count();
        client.read(count).await;
        client.leave_complete(&published, patterns, count);
    }
}

pub async fn new_topics_are_delivered_to_their_pattern_subscribers<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["new:*", "*:9"], None, "fresh").await;
    for n in 0..60 {
        publish(&hub, &format!("knew:{n}"), "does not match").await;
        let entry = publish(&hub, &format!("new:{n}"), &n.to_string()).await;
        // No event may need the next one to be delivered. `knew:9` matches the other pattern.
        let count = if n == 9 { 2 } else { 1 };
        let message = client.read(count).await.last().expect("at least one");
        assert_eq!((message.last_event_id(), message.data()), (&*entry.id, &*n.to_string()));
    }
}

pub async fn a_fresh_pattern_subscriber_gets_what_its_topics_retain<E: Engine>(log: E) {
    let hub = log.hub().await;
    let events = (0..90).map(|n| (TOPICS[n % TOPICS.len()], n.to_string()));
    let mut published = publish_all(&hub, events).await;
    for patterns in SETS {
        for (history, count) in
            [(History::All, usize::MAX), (History::Last(7), 7), (History::None, 0)]
        {
            let subscribe = hub.subscribe_matching(patterns.iter().copied());
            let subscribe = subscribe.retry(None).heartbeat(None).history(history);
            let mut client = Client::of(subscribe.open().expect("the subscription opens"), None);
            assert_eq!(client.status().await["status"], "fresh");
            let mine = published.iter().filter(|entry| is_of(patterns, &entry.topic));
            let mut expected: Vec<_> = mine.map(|entry| entry.id.clone()).collect();
            expected.drain(..expected.len().saturating_sub(count));
            // Then it is live.
            let live = publish(&hub, &patterns[0].replace('*', "1"), "live").await;
            expected.push(live.id.clone());
            published.push(live);
            let seen = client.read_ids(expected.len()).await;
            assert_eq!(seen, expected, "{patterns:?}, {history:?}");
        }
    }
}

const KEPT: usize = 100;

/// A log that keeps few events, and a hub on it that keeps even fewer.
async fn scarce<E: Engine>() -> Option<(E, Hub)> {
    let log = E::begin(EngineOptions::max_events(KEPT)).await?;
    let few = Retention::default().events(10);
    let hub = log.node(Hub::builder().retention(few).max_retained_bytes(8_000)).await;
    Some((log, hub))
}

pub async fn a_pattern_subscriber_whose_next_event_is_gone_is_reset<E: Engine>(_: E) {
    let Some((_log, hub)) = scarce::<E>().await else { return };
    let first = publish(&hub, "a:1", "first").await;
    let mut published = vec![first.clone(), publish(&hub, "a:2", "second").await];
    let events = (0..10 * KEPT + 1_000).map(|n| (["a:1", "a:2", "b"][n % 3], n.to_string()));
    published.extend(publish_all(&hub, events).await);
    for patterns in [&["a:*"][..], &["*"], &["a:1", "*:2"], &["a:1", "a:*"]] {
        let mut client = Client::expect(&hub, patterns, Some(&first.id), "trimmed").await;
        // The newest events are kept. From the first kept event of each topic on, all of its events come.
        let mine = |entry: &&Entry| is_of(patterns, &entry.topic);
        client.read_to(&published.iter().rev().find(mine).expect("some").id).await;
        published.push(publish(&hub, "a:2", "live").await);
        client.read(1).await;
        let visits = [client.leave()];
        let summary = check_uneven(&published, patterns, &visits, true).expect("all as promised");
        assert!(summary.events > 10, "{patterns:?}: {summary:?}");
    }
}

pub async fn a_pattern_subscriber_misses_what_a_vanished_topic_had<E: Engine>(_: E) {
    let Some((_log, hub)) = scarce::<E>().await else { return };
    let first = publish(&hub, "gone:1", "first").await;
    publish(&hub, "gone:2", "second").await;
    // More than the log and the hub keep: nothing is left of the two topics.
    let events = (0..10 * KEPT + 1_000).map(|n| ("loud", format!("{n} {}", "x".repeat(1_000))));
    publish_all(&hub, events).await;
    for patterns in [&["gone:*"][..], &["*:2"], &["loud", "gone:*"]] {
        let mut client = Client::expect(&hub, patterns, Some(&first.id), "trimmed").await;
        let last = publish(&hub, "gone:2", "live").await;
        client.read_to(&last.id).await;
    }
}

pub async fn a_pattern_subscriber_that_reads_slowly_gets_all_that_is_kept<E: Engine>(log: E) {
    const PATTERNS: [&str; 2] = ["a:*", "a:1"];
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &PATTERNS, None, "fresh").await;
    // More than the live window.
    let burst = || {
        let data = |n: usize| format!("{n} {}", "x".repeat(1_000));
        publish_all(&hub, (0..600).map(move |n| (["a:1", "b", "a:2"][n % 3], data(n))))
    };
    let mut published = Vec::new();
    // The client waits when each burst begins, and is woken by it.
    for _ in 0..3 {
        let began = Instant::now();
        let (_, more) = join(client.read(400), burst()).await;
        // The end of a time limit would poll it, too.
        assert!(began.elapsed() < LIMIT, "it is not woken");
        published.extend(more);
    }
    // Then it reads more slowly than they come.
    for _ in 0..5 {
        published.extend(burst().await);
        client.read(200).await;
    }
    client.read(1_000).await;
    client.leave_complete(&published, &PATTERNS, 3_200);
}

pub async fn a_pattern_subscriber_that_leaves_takes_nothing_from_others<E: Engine>(log: E) {
    let hub = log.hub().await;
    let sets: [&[&str]; 4] = [&["a:*"], &["a:1"], &["*:1"], &["a:*", "a:1"]];
    for round in 0..16 {
        let mut clients = Vec::new();
        for patterns in sets {
            clients.push(Client::expect(&hub, patterns, None, "fresh").await);
        }
        // They leave one after the other, in each round another one first. The last one comes back.
        clients.rotate_left(round % sets.len());
        loop {
            let entry = publish(&hub, "a:1", "for all who are left").await;
            for client in &mut clients {
                assert_eq!(client.read_ids(1).await, [&*entry.id], "round {round}");
            }
            if clients.len() == 1 {
                break;
            }
            drop(clients.remove(0));
        }
        let id = clients[0].last_event_id().to_owned();
        clients.clear();
        let entry = publish(&hub, "a:1", "for nobody").await;
        let mut back = Client::expect(&hub, sets[round % 4], Some(&id), "resumed").await;
        assert_eq!(back.read_ids(1).await, [entry.id]);
    }
}
