//! A log with several hubs on it.

use std::time::Duration;

use futures_util::future::{join, join_all};
use tidings::{Hub, Retention};

use super::idempotence::publish_once;
use super::resume::Journey;
use super::{Client, Engine, Settings, publish, publish_all};
use crate::checker::{check, position};

async fn nodes<const N: usize, E: Engine>(engine: &E) -> [Hub; N] {
    let nodes = join_all((0..N).map(|_| engine.node(Hub::builder()))).await;
    nodes.try_into().expect("as many")
}

pub async fn all_nodes_show_one_order<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let nodes: [Hub; 3] = nodes(&engine).await;
    let topics = ["a", "b"];
    let mut clients = Vec::new();
    for node in &nodes {
        clients.push(Client::expect(node, &topics, None, "fresh").await);
    }
    let publishers = nodes.iter().enumerate().map(|(number, node)| async move {
        let events = (0..200).map(|n| (topics[n % 2], format!("{n} of {number}")));
        publish_all(node, events).await
    });
    let mut published = join_all(publishers).await.concat();
    published.sort_unstable_by_key(|entry| position(&entry.id));
    for mut client in clients {
        client.read(600).await;
        let summary = check(&published, &topics, &[client.leave()]).expect("all as promised");
        assert_eq!((summary.events, summary.resets), (600, 0));
    }
}

pub async fn clients_hop_between_nodes_and_lose_and_double_nothing<E: Engine>() {
    hop::<E>((300..320).map(Journey::new)).await;
}

pub async fn clients_of_families_hop_between_nodes_and_lose_and_double_nothing<E: Engine>() {
    hop::<E>((320..340).map(Journey::of_families)).await;
}

async fn hop<E: Engine>(journeys: impl Iterator<Item = Journey>) {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let nodes: [Hub; 2] = nodes(&engine).await;
    // One that has next to nothing itself.
    let scarce = Hub::builder().retention(Retention::none()).max_retained_bytes(2_000);
    let scarce = engine.node(scarce).await;
    let nodes = [&nodes[0], &nodes[1], &scarce];
    for (number, mut journey) in journeys.enumerate() {
        for leg in 0..6 {
            journey.leg(nodes[leg % 3]).await;
        }
        journey.end(nodes[number % 3]).await;
    }
}

pub async fn a_family_that_is_wanted_late_misses_nothing<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let [one, other]: [Hub; 2] = nodes(&engine).await;
    for round in 0..30 {
        let [family, topic, new] = ["*", "1", "new"].map(|name| format!("f{round}:{name}"));
        let (family, topic, new) = (family.as_str(), topic.as_str(), new.as_str());
        let asked = &[family, topic][..1 + round % 2];
        let before = publish(&one, topic, "before").await;
        // Another client of one of its topics may be there first, with all that this brings with it.
        let there = (round % 3 == 0).then(|| Client::connect(&other, &[topic], None));
        let publishing = async {
            let mut published = Vec::new();
            for n in 0..30 {
                published.push(publish(&one, [topic, new, "x"][n % 3], &n.to_string()).await);
            }
            published
        };
        let subscribing = async {
            for _ in 0..round % 10 {
                tokio::task::yield_now().await;
            }
            Client::expect(&other, asked, Some(&before.id), "resumed").await
        };
        let (published, mut client) = join(publishing, subscribing).await;
        client.read(20).await;
        let summary = check(&published, asked, &[client.leave()]).expect("all as promised");
        assert_eq!((summary.events, summary.resets), (20, 0), "round {round}");
        drop(there);
    }
}

pub async fn a_client_that_comes_to_a_node_that_is_behind_is_resumed<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let [one, other]: [Hub; 2] = nodes(&engine).await;
    for n in 0..200 {
        // At once, before the other node can have seen it.
        let entry = publish(&one, "a", &n.to_string()).await;
        let mut client = Client::expect(&other, &["a"], Some(&entry.id), "resumed").await;
        let next = publish(&one, "a", "next").await;
        assert_eq!(client.read(1).await[0].last_event_id(), next.id);
    }
}

pub async fn a_publication_that_is_retried_on_another_node_is_not_doubled<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let [one, other]: [Hub; 2] = nodes(&engine).await;
    let mut client = Client::expect(&one, &["a"], None, "fresh").await;
    let mut ids = Vec::new();
    for n in 0..50 {
        let key = format!("key-{n}");
        let (id, is_duplicate) = publish_once(&one, &key, "a").await;
        assert!(!is_duplicate);
        assert_eq!(publish_once(&other, &key, "a").await, (id.clone(), true));
        ids.push(id);
    }
    let seen: Vec<_> = client.read(50).await.iter().map(|m| m.last_event_id()).collect();
    assert_eq!(seen, ids);
    let outcomes =
        join_all((0..50).map(|n| publish_once([&one, &other][n % 2], "the-same", "a"))).await;
    let firsts = outcomes.iter().filter(|(_, is_duplicate)| !is_duplicate).count();
    assert_eq!(firsts, 1, "{outcomes:?}");
}

pub async fn a_node_that_comes_late_serves_what_was_before_it<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let first = engine.node(Hub::builder()).await;
    let events = (0..300).map(|n| (["a", "b", "c"][n % 3], n.to_string()));
    let published = publish_all(&first, events).await;
    let second = engine.node(Hub::builder()).await;
    for at in [0, 1, 150, 298, 299] {
        let id = &published[at].id;
        let mut client = Client::expect(&second, &["a", "b"], Some(id), "resumed").await;
        let rest = published[at + 1..].iter().filter(|entry| entry.topic != "c");
        let rest: Vec<_> = rest.map(|entry| &*entry.id).collect();
        let seen: Vec<_> =
            client.read(rest.len()).await.iter().map(|m| m.last_event_id()).collect();
        assert_eq!(seen, rest);
    }
}

pub async fn a_node_that_ends_takes_nothing_with_it<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let [one, other]: [Hub; 2] = nodes(&engine).await;
    let mut client = Client::expect(&one, &["a"], None, "fresh").await;
    let mut published = vec![publish(&other, "a", "one").await];
    client.read(1).await;
    let id = client.last_event_id().to_owned();
    let mut visits = vec![client.leave()];
    published.extend(publish_all(&one, (0..50).map(|n| ("a", n.to_string()))).await);
    drop(one);
    let mut client = Client::expect(&other, &["a"], Some(&id), "resumed").await;
    published.extend(publish_all(&other, (0..50).map(|n| ("a", n.to_string()))).await);
    client.read(100).await;
    visits.push(client.leave());
    assert_eq!(check(&published, &["a"], &visits).expect("all as promised").events, 101);
    // The rest of the cluster is not disturbed by a node that comes and goes.
    for _ in 0..3 {
        let third = engine.node(Hub::builder()).await;
        publish(&third, "a", "third").await;
        drop(third);
    }
    let mut client = Client::expect(&other, &["a"], Some(&id), "resumed").await;
    let last = publish(&other, "a", "last").await;
    tokio::time::timeout(Duration::from_secs(10), client.read_to(&last.id)).await.expect("in time");
}
