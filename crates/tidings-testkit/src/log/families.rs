//! Families of topics: what is subscribed to by a pattern.

use futures_util::future::join;
use tidings::{History, Hub, Retention};
use tokio::time::Instant;

use super::resume::{Journey, resumes_behind_every_event};
use super::{Client, Engine, Settings, publish, publish_all};
use crate::checker::{check, check_uneven, is_of, position};
use crate::limit::LIMIT;

const TOPICS: [&str; 6] = ["a:1", "a:2", "b:1", "b:2", "a:1:x", "c"];

/// Families that lie beside each other, within each other and across, and topics of theirs.
const SETS: [&[&str]; 7] = [
    &["*"],
    &["a:*"],
    &["a:*", "*:1"],
    &["a:1", "a:*"],
    &["a:*", "a:1*", "a:1:*"],
    &["b:*", "*:2", "a:2", "c"],
    &["*", "a:*", "c"],
];

pub async fn an_event_comes_once_however_many_families_it_belongs_to<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let mut clients = Vec::new();
    for asked in SETS {
        clients.push((asked, Client::expect(&hub, asked, None, "fresh").await));
    }
    let publishers = TOPICS.map(|topic| {
        let hub = hub.clone();
        tokio::spawn(async move {
            let events = (0..100).map(|n| (topic, format!("{topic} {n}")));
            publish_all(&hub, events).await
        })
    });
    let mut published = Vec::new();
    for publisher in publishers {
        published.extend(publisher.await.expect("a publisher ends well"));
    }
    published.sort_unstable_by_key(|entry| position(&entry.id));
    for (asked, mut client) in clients {
        let count = 100 * TOPICS.iter().filter(|topic| is_of(asked, topic)).count();
        client.read(count).await;
        let summary = check(&published, asked, &[client.leave()]).expect("all as promised");
        assert_eq!((summary.events, summary.resets), (count, 0), "{asked:?}");
    }
}

pub async fn topics_that_come_into_being_are_heard_of<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let mut client = Client::expect(&hub, &["new:*", "*:9"], None, "fresh").await;
    for n in 0..60 {
        publish(&hub, &format!("knew:{n}"), "not of the family").await;
        let entry = publish(&hub, &format!("new:{n}"), &n.to_string()).await;
        // No event may need the next one to be on its way; one of the others is of the other family.
        let count = if n == 9 { 2 } else { 1 };
        let message = client.read(count).await.last().expect("as many");
        assert_eq!((message.last_event_id(), message.data()), (&*entry.id, &*n.to_string()));
    }
}

pub async fn a_client_of_families_resumes_behind_every_event<E: Engine>() {
    for asked in [&["a*"][..], &["*"], &["a*", "b"], &["*a", "a", "b*", "*b*"]] {
        let Some(engine) = E::begin(Settings::default()).await else { return };
        let hub = engine.node(Hub::builder()).await;
        resumes_behind_every_event(&hub, asked, 40).await;
    }
}

pub async fn random_cuts_of_families_lose_and_double_nothing<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    for seed in 20..40 {
        let mut journey = Journey::of_families(seed);
        for _ in 0..6 {
            journey.leg(&hub).await;
        }
        journey.end(&hub).await;
    }
}

pub async fn a_fresh_client_of_a_family_gets_what_its_topics_retain<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let events = (0..90).map(|n| (TOPICS[n % TOPICS.len()], n.to_string()));
    let mut published = publish_all(&hub, events).await;
    for asked in SETS {
        for (history, count) in
            [(History::All, usize::MAX), (History::Last(7), 7), (History::None, 0)]
        {
            let (families, topics): (Vec<_>, Vec<_>) =
                asked.iter().copied().partition(|name| name.contains('*'));
            let subscribe = hub.subscribe(topics).matching(families).retry(None).heartbeat(None);
            let subscription = subscribe.history(history).open().expect("the subscription opens");
            let mut client = Client::of(subscription, None);
            assert_eq!(client.status().await["status"], "fresh");
            let mut expected: Vec<_> = published
                .iter()
                .rev()
                .filter(|entry| is_of(asked, &entry.topic))
                .take(count)
                .map(|entry| entry.id.clone())
                .collect();
            expected.reverse();
            // And live from there on.
            let topic = asked[0].replace('*', "1");
            published.push(publish(&hub, &topic, "live").await);
            expected.extend(published.last().map(|entry| entry.id.clone()));
            let seen = client.read(expected.len()).await;
            let seen: Vec<_> = seen.iter().map(|m| m.last_event_id()).collect();
            assert_eq!(seen, expected, "{asked:?}, {history:?}");
        }
    }
}

const KEPT: usize = 100;

/// A log that keeps so little, and a hub on it.
async fn scarce<E: Engine>() -> Option<(E, Hub)> {
    let engine = E::begin(Settings { max_events: KEPT, ..Settings::default() }).await?;
    let few = Retention::default().events(10);
    let hub = engine.node(Hub::builder().retention(few).max_retained_bytes(8_000)).await;
    Some((engine, hub))
}

pub async fn a_client_of_a_family_whose_next_event_is_gone_is_reset<E: Engine>() {
    let Some((_engine, hub)) = scarce::<E>().await else { return };
    let first = publish(&hub, "a:1", "first").await;
    let mut published = vec![first.clone(), publish(&hub, "a:2", "second").await];
    let events = (0..10 * KEPT + 1_000).map(|n| (["a:1", "a:2", "b"][n % 3], n.to_string()));
    published.extend(publish_all(&hub, events).await);
    for asked in [&["a:*"][..], &["*"], &["a:1", "*:2"], &["a:1", "a:*"]] {
        let mut client = Client::expect(&hub, asked, Some(&first.id), "trimmed").await;
        // The newest are there in any case, and from each topic's first on nothing is missing.
        let mine = |entry: &&crate::checker::Entry| is_of(asked, &entry.topic);
        client.read_to(&published.iter().rev().find(mine).expect("some").id).await;
        published.push(publish(&hub, "a:2", "live").await);
        client.read(1).await;
        let visits = [client.leave()];
        let summary = check_uneven(&published, asked, &visits, true).expect("all as promised");
        assert!(summary.events > 10, "{asked:?}: {summary:?}");
    }
}

pub async fn what_a_vanished_topic_had_is_missed_by_its_family<E: Engine>() {
    let Some((_engine, hub)) = scarce::<E>().await else { return };
    let first = publish(&hub, "gone:1", "first").await;
    publish(&hub, "gone:2", "second").await;
    // More than the log keeps, and more than the hub has room for: nothing is left of the two.
    let events = (0..10 * KEPT + 1_000).map(|n| ("loud", format!("{n} {}", "x".repeat(1_000))));
    publish_all(&hub, events).await;
    for asked in [&["gone:*"][..], &["*:2"], &["loud", "gone:*"]] {
        let mut client = Client::expect(&hub, asked, Some(&first.id), "trimmed").await;
        let last = publish(&hub, "gone:2", "live").await;
        client.read_to(&last.id).await;
    }
}

pub async fn a_client_of_a_family_that_reads_slowly_gets_all_that_is_kept<E: Engine>() {
    const ASKED: [&str; 2] = ["a:*", "a:1"];
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let mut client = Client::expect(&hub, &ASKED, None, "fresh").await;
    // More than is kept at hand for those who are connected.
    let burst = || {
        let data = |n: usize| format!("{n} {}", "x".repeat(1_000));
        publish_all(&hub, (0..600).map(move |n| (["a:1", "b", "a:2"][n % 3], data(n))))
    };
    let mut published = Vec::new();
    // The client waits when each of them begins, and is woken by it.
    for _ in 0..3 {
        let began = Instant::now();
        let (_, more) = join(client.read(400), burst()).await;
        // Not by the end of a time limit, which polls it, too.
        assert!(began.elapsed() < LIMIT, "it is not woken");
        published.extend(more);
    }
    // It reads on behind them.
    for _ in 0..5 {
        published.extend(burst().await);
        client.read(200).await;
    }
    client.read(1_000).await;
    let summary = check(&published, &ASKED, &[client.leave()]).expect("all as promised");
    assert_eq!((summary.events, summary.resets), (3_200, 0));
}

pub async fn who_leaves_a_family_takes_nothing_from_others<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let asked: [&[&str]; 4] = [&["a:*"], &["a:1"], &["*:1"], &["a:*", "a:1"]];
    for round in 0..16 {
        let mut clients = Vec::new();
        for names in asked {
            clients.push(Client::expect(&hub, names, None, "fresh").await);
        }
        let entry = publish(&hub, "a:1", "all").await;
        for client in &mut clients {
            assert_eq!(client.read(1).await[0].last_event_id(), entry.id);
        }
        // One after the other leaves, another one first in each round; the last comes back.
        let first = round % clients.len();
        clients.rotate_left(first);
        while clients.len() > 1 {
            drop(clients.remove(0));
            let entry = publish(&hub, "a:1", "the rest").await;
            for client in &mut clients {
                assert_eq!(client.read(1).await[0].last_event_id(), entry.id, "round {round}");
            }
        }
        let id = clients[0].last_event_id().to_owned();
        clients.clear();
        let entry = publish(&hub, "a:1", "nobody").await;
        let mut back = Client::expect(&hub, asked[round % 4], Some(&id), "resumed").await;
        assert_eq!(back.read(1).await[0].last_event_id(), entry.id);
    }
}
