//! A log with several hubs on it.

use std::array;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tidings::clock::ManualClock;
use tidings::error::PublishErrorKind;
use tidings::{Event, History, Hub};

use super::finish::{ends, finish, fresh, race, read_to_the_end, refused};
use super::history::{keeping_all, meet};
use super::idempotence::{assert_one_is_first, publish_once};
use super::publisher::in_order;
use super::read_back::forgetful;
use super::resume::Journey;
use super::{Client, Engine, EngineOptions, presence, publish, publish_all, values};
use crate::checker::check;
use crate::limit::{eventually, within};

async fn nodes<const N: usize, E: Engine>(log: &E) -> [Hub; N] {
    let nodes: [_; N] = array::from_fn(|_| log.hub());
    join_all(nodes).await.try_into().expect("as many")
}

pub async fn all_nodes_show_one_order<E: Engine>(log: E) {
    let nodes: [Hub; 3] = nodes(&log).await;
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
    in_order(&mut published);
    for mut client in clients {
        client.read(600).await;
        client.leave_complete(&published, &topics, 600);
    }
}

pub async fn clients_move_between_nodes_and_lose_and_double_nothing<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
    let nodes = [one, other, log.node(forgetful()).await];
    for seed in 300..340 {
        Journey::new(seed).run(6, async |visit| nodes[(visit + seed as usize) % 3].clone()).await;
    }
}

pub async fn filtered_clients_move_between_nodes_and_lose_and_double_nothing<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
    let nodes = [one, other, log.node(forgetful()).await];
    for seed in 600..640 {
        let journey = Journey::new(seed).filtered();
        journey.run(6, async |visit| nodes[(visit + seed as usize) % 3].clone()).await;
    }
}

pub async fn a_late_interest_in_a_pattern_misses_nothing<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
    for round in 0..30 {
        let names = ["*", "1", "new"].map(|name| format!("f{round}:{name}"));
        let [pattern, topic, new] = names.each_ref().map(String::as_str);
        let asked = &[pattern, topic][..1 + round % 2];
        let before = publish(&one, topic, "before").await;
        // Every third time, the node already has an interest in one of the topics.
        let earlier = (round % 3 == 0).then(|| Client::connect(&other, &[topic], None));
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
        client.leave_complete(&published, asked, 20);
        drop(earlier);
    }
}

pub async fn a_client_that_is_ahead_of_its_node_is_resumed<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
    for n in 0..200 {
        // Right away, before the other node can have seen it.
        let entry = publish(&one, "a", &n.to_string()).await;
        let mut client = Client::expect(&other, &["a"], Some(&entry.id), "resumed").await;
        let next = publish(&one, "a", "next").await;
        assert_eq!(client.read_ids(1).await, [next.id]);
    }
}

pub async fn a_history_of_another_node_and_its_stream_have_every_event_once<E: Engine>(log: E) {
    let [one, other] = [log.node(keeping_all()).await, log.node(keeping_all()).await];
    meet(&one, &other).await;
}

pub async fn the_position_of_a_node_is_good_on_another<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
    for n in 0..20 {
        publish(&one, "a", "before").await;
        // It may not have come as far as the other node.
        let now = other.position();
        let after = publish(&one, "a", &n.to_string()).await;
        for node in [&one, &other] {
            let mut client = Client::expect(node, &["a"], Some(now.as_str()), "resumed").await;
            client.read_to(&after.id).await;
        }
    }
}

pub async fn a_publication_that_is_retried_on_another_node_is_not_doubled<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
    let mut client = Client::expect(&one, &["a"], None, "fresh").await;
    let mut ids = Vec::new();
    for n in 0..50 {
        let key = format!("key-{n}");
        let (id, is_duplicate) = publish_once(&one, &key, "a").await;
        assert!(!is_duplicate);
        assert_eq!(publish_once(&other, &key, "a").await, (id.clone(), true));
        ids.push(id);
    }
    assert_eq!(client.read_ids(50).await, ids);
    let publishes = (0..50).map(|n| publish_once([&one, &other][n % 2], "the-same", "a"));
    assert_one_is_first(&join_all(publishes).await);
}

pub async fn a_late_node_serves_what_was_published_before_it<E: Engine>(log: E) {
    let first = log.hub().await;
    let events = (0..300).map(|n| (["a", "b", "c"][n % 3], n.to_string()));
    let published = publish_all(&first, events).await;
    let second = log.hub().await;
    for at in [0, 1, 150, 298, 299] {
        let id = &published[at].id;
        let mut client = Client::expect(&second, &["a", "b"], Some(id), "resumed").await;
        let rest = published[at + 1..].iter().filter(|entry| entry.topic != "c");
        let rest: Vec<_> = rest.map(|entry| &*entry.id).collect();
        assert_eq!(client.read_ids(rest.len()).await, rest);
    }
}

pub async fn a_node_that_ends_takes_nothing_with_it<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
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
    // A node that comes and goes does not disturb the others.
    for _ in 0..3 {
        let third = log.hub().await;
        publish(&third, "a", "third").await;
        drop(third);
    }
    let mut client = Client::expect(&other, &["a"], Some(&id), "resumed").await;
    let last = publish(&other, "a", "last").await;
    client.read_to(&last.id).await;
}

pub async fn a_node_that_ends_says_so<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
    let knows = |count: usize| one.cluster().nodes().len() == count;
    eventually("the nodes know each other", || knows(2) && other.cluster().nodes().len() == 2)
        .await;
    drop(other);
    // One that had said nothing would be listed for ten minutes.
    eventually("the node has left", || knows(1)).await;
}

pub async fn values_are_the_same_on_all_nodes<E: Engine>(log: E) {
    let (one, other) = (log.node(values::builder()).await, log.node(values::builder()).await);
    let open = |hub: &Hub, topics: &[&str]| {
        let subscribe = hub.subscribe_matching(topics.iter().copied()).history(History::All);
        Client::of(subscribe.open().expect("it opens"), None)
    };
    let nodes = [&one, &other];
    let all_sets = values::SETS.iter().flat_map(|topics| nodes.map(|hub| open(hub, topics)));
    let mut clients: Vec<_> = all_sets.collect();
    // Both nodes change the same keys.
    let change = |hub: &Hub, from: usize| {
        let hub = hub.clone();
        async move {
            for n in 0..200 {
                let key = format!("k{}", n % 7);
                values::set(&hub, "values", &key, Some(from + n).filter(|_| n % 11 != 5)).await;
            }
        }
    };
    let ((), ()) = within("the changes", join(change(&one, 0), change(&other, 1_000))).await;
    let last = values::set(&one, "values", "last", Some(0)).await;
    let mut all = Vec::new();
    for client in &mut clients {
        client.read_to(&last).await;
        let mut known = values::Values::new();
        values::learn(&mut known, client.messages());
        all.push(known);
    }
    for hub in nodes {
        let (_, messages) = values::read_fresh(hub, &["values"], &last).await;
        let mut known = values::Values::new();
        values::learn(&mut known, &messages);
        all.push(known);
    }
    assert!(all.iter().all(|known| *known == all[0]), "{all:?}");
    assert!(all[0].contains_key("last"));
}

pub async fn a_topic_that_is_added_from_another_node_is_delivered<E: Engine>(log: E) {
    let [one, other]: [Hub; 2] = nodes(&log).await;
    let mut client = Client::expect(&one, &["a"], None, "fresh").await;
    let id = client.id();
    eventually("the nodes know each other", || other.cluster().nodes().len() == 2).await;
    for _ in 0..5 {
        let ask = other.cluster().subscribe(id, "b").expect("a good name");
        assert_eq!(within("an answer", ask).await.total, 1);
        let published = [
            publish(&other, "b", "one").await.id,
            publish(&one, "a", "two").await.id,
            publish(&one, "b", "three").await.id,
        ];
        assert_eq!(client.read_ids(3).await, published);
        let ask = other.cluster().unsubscribe(id, "b").expect("a good name");
        assert_eq!(within("an answer", ask).await.total, 1);
        publish(&other, "b", "not for it").await;
    }
    let ask = other.cluster().unsubscribe(id, "a").expect("a good name");
    assert_eq!(within("an answer", ask).await.total, 0, "it would have no topic");
    client.leave();
    let ask = other.cluster().subscribe(id, "b").expect("a good name");
    assert_eq!(within("an answer", ask).await.total, 0, "it has left");
}

pub async fn a_publication_on_another_node_is_before_the_end_or_is_told_that_it_is_not<
    E: Engine,
>(
    log: E,
) {
    let nodes = [log.hub().await, log.hub().await];
    for round in 0..40 {
        race(&nodes, round).await;
    }
}

pub async fn the_end_is_known_on_all_nodes<E: Engine>(log: E) {
    let [one, other] = [log.hub().await, log.hub().await];
    let late = log.node(forgetful()).await;
    for round in 0..10 {
        let topic = format!("job:{round}");
        let mut clients = Vec::new();
        for node in [&one, &other] {
            clients.push(Client::expect(node, &[&topic], None, "fresh").await);
        }
        let first = publish(&one, &topic, "first").await;
        let last = finish(&one, &topic).await;
        for client in &mut clients {
            client.read_to(&last).await;
            ends(client).await;
        }
        for node in [&other, &late] {
            assert_eq!(read_to_the_end(node, &[&topic], first.id.clone()).await, [&*last]);
            assert!(read_to_the_end(node, &[&topic], last.clone()).await.is_empty());
            assert_eq!(fresh(node, &topic, History::None).await, ["last"]);
        }
        assert_eq!(refused(&other, &topic).await, PublishErrorKind::Finished);
    }
}

pub async fn a_node_that_does_not_know_the_end_appends_nothing<E: Engine>(log: E) {
    let clock = ManualClock::new();
    let [one, other] = [log.hub().await, log.node(forgetful().clock(&clock)).await];
    let (id, _) = publish_once(&one, "known", "a").await;
    let last = finish(&one, "a").await;
    publish(&other, "b", "it has read the end").await;
    // As when a node's clock is set ahead.
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(publish_once(&other, "known", "a").await, (id, true));
    for _ in 0..2 {
        let publish = other.publish_once("unknown", "a", Event::new("never"));
        let error = within("an answer", publish).await.expect_err("the topic is finished");
        assert_eq!(error.kind(), PublishErrorKind::Finished, "{error}");
    }
    assert_eq!(refused(&other, "a").await, PublishErrorKind::Finished);
    let again = within("an answer", other.finish("a", Event::new("again"))).await;
    assert_eq!(again.expect_err("it is finished").kind(), PublishErrorKind::Finished);
    let third = log.hub().await;
    assert!(read_to_the_end(&third, &["a"], last).await.is_empty());
    assert_eq!(fresh(&third, "a", History::All).await, ["known", "last"]);
}

pub async fn a_topic_begins_anew_when_the_log_has_lost_its_last_event<E: Engine>(_: E) {
    const KEPT: usize = 100;
    let Some(log) = E::begin(EngineOptions::max_events(KEPT)).await else { return };
    let nodes = [log.hub().await, log.hub().await];
    let (mut clients, mut others) = (Vec::new(), Vec::new());
    for node in &nodes {
        clients.push(Client::expect(node, &["a*"], None, "fresh").await);
        others.push(Client::expect(node, &["b"], None, "fresh").await);
    }
    let last = finish(&nodes[0], "a").await;
    for client in &mut clients {
        client.read_to(&last).await;
    }
    // By turns, so that each is there before much of it is gone.
    for n in 0..10 * KEPT + 1_000 {
        publish(&nodes[n % 2], "b", "x").await;
    }
    // These know the end from before, and a new one cannot.
    let late = log.node(forgetful()).await;
    let anew = [publish(&late, "a", "0").await.id, publish(&late, "a", "1").await.id];
    for client in &mut clients {
        assert_eq!(client.read_ids(2).await, anew);
    }
    for node in nodes.iter().chain([&late]) {
        let mut client = Client::expect(node, &["a"], Some(&anew[0]), "resumed").await;
        assert_eq!(client.read_ids(1).await, anew[1..]);
    }
}

pub async fn presence_is_the_same_on_all_nodes<E: Engine>(log: E) {
    let nodes = [presence::node(&log).await, presence::node(&log).await];
    let [one, other] = &nodes;
    let streams = [presence::join(one, "ada"), presence::join(other, "grace")];
    for hub in &nodes {
        presence::sees(hub, &["ada", "grace"], &[]).await;
    }
    let late = presence::node(&log).await;
    presence::sees(&late, &["ada", "grace"], &[]).await;
    let more = [presence::join(&late, "ada"), presence::join(&late, "joan")];
    drop(streams);
    for hub in nodes.iter().chain([&late]) {
        presence::sees(hub, &["ada", "joan"], &["ada"]).await;
    }
    drop(more);
    for hub in nodes.iter().chain([&late]) {
        presence::sees(hub, &[], &[]).await;
    }
}

pub async fn a_client_that_moves_between_nodes_is_never_absent<E: Engine>(log: E) {
    let nodes = [presence::node(&log).await, presence::node(&log).await];
    let mut stream = presence::join(&nodes[0], "ada");
    let mut watcher = presence::watch(&nodes[1]);
    assert_eq!(presence::news(&mut watcher).await, "+ada");
    for round in 1..5 {
        // It is on its way.
        drop(stream);
        stream = presence::join(&nodes[round % 2], "ada");
        // The other node's entry comes before this one's goes.
        assert_eq!(presence::news(&mut watcher).await, "+ada");
        assert_eq!(presence::present(&nodes[1]).await, ["ada"]);
        assert_eq!(presence::news(&mut watcher).await, "-ada");
        assert_eq!(presence::present(&nodes[1]).await, ["ada"]);
    }
    drop(stream);
    assert_eq!(presence::news(&mut watcher).await, "-ada");
}

pub async fn a_node_that_ends_leaves_nobody_behind<E: Engine>(log: E) {
    let one = presence::node(&log).await;
    let ends = presence::node(&log).await;
    let streams = [presence::join(&one, "ada"), presence::join(&ends, "grace")];
    for hub in [&one, &ends] {
        presence::sees(hub, &["ada", "grace"], &[]).await;
    }
    let [stays, goes] = streams;
    drop((ends, goes));
    presence::sees(&one, &["ada"], &["ada"]).await;
    assert_eq!(one.metrics().presence_removed, 1);
    drop(stays);
}
