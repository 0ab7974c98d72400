//! A log that outlives its hubs.

use std::time::Duration;

use tidings::error::PublishErrorKind;
use tidings::{History, Hub};
use tokio::time::{Instant, sleep};

use super::finish::{finish, fresh, read_to_the_end, refused};
use super::idempotence::publish_once;
use super::read_back::forgetful;
use super::resume::Journey;
use super::{Client, Engine, EngineOptions, presence, publish, publish_all, values};
use crate::checker::{check, position};
use crate::limit::{LIMIT, within};

pub async fn a_client_resumes_after_a_restart_of_its_node<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let mut published =
        publish_all(&hub, (0..100).map(|n| (["a", "b", "c"][n % 3], n.to_string()))).await;
    client.read(40).await;
    let id = client.last_event_id().to_owned();
    let mut visits = vec![client.leave()];
    drop(hub);

    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a", "b"], Some(&id), "resumed").await;
    published.extend(publish_all(&hub, (0..10).map(|n| ("b", n.to_string()))).await);
    client.read_to(&published.last().expect("some").id).await;
    visits.push(client.leave());
    let summary = check(&published, &["a", "b"], &visits).expect("all as promised");
    assert_eq!((summary.events, summary.resumed, summary.resets), (77, 1, 0));
}

pub async fn ids_continue_after_a_restart<E: Engine>(log: E) {
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..5 {
        let hub = log.hub().await;
        for _ in 0..3 {
            ids.push(publish(&hub, "a", "x").await.id);
        }
    }
    let epoch = |id: &str| id.rsplit_once('-').expect("an id of a hub").0.to_owned();
    assert!(ids.iter().all(|id| epoch(id) == epoch(&ids[0])), "{ids:?}");
    assert!(ids.is_sorted_by(|one, next| position(one) < position(next)), "{ids:?}");
}

pub async fn many_restarts_lose_and_double_nothing<E: Engine>(log: E) {
    for seed in 200..210 {
        // A node ends when its visit does.
        Journey::new(seed).run(4, async |_| log.hub().await).await;
    }
}

pub async fn attributes_survive_many_restarts<E: Engine>(log: E) {
    for seed in 500..510 {
        Journey::new(seed).filtered().run(4, async |_| log.hub().await).await;
    }
}

pub async fn a_publication_that_is_retried_after_a_restart_is_not_doubled<E: Engine>(log: E) {
    let hub = log.hub().await;
    let first = publish(&hub, "a", "first").await;
    let (id, _) = publish_once(&hub, "key", "a").await;
    drop(hub);
    let hub = log.hub().await;
    assert_eq!(publish_once(&hub, "key", "a").await, (id.clone(), true));
    let last = publish(&hub, "a", "last").await;
    let mut client = Client::expect(&hub, &["a"], Some(&first.id), "resumed").await;
    assert_eq!(client.read_ids(2).await, [id, last.id]);
}

pub async fn a_key_can_be_used_again_after_its_window<E: Engine>(_: E) {
    let window = Duration::from_secs(1);
    let Some(log) = E::begin(EngineOptions::idempotency_window(window)).await else { return };
    let hub = log.hub().await;
    let began = Instant::now();
    let (first, _) = publish_once(&hub, "key", "a").await;
    let (second, is_duplicate) = publish_once(&hub, "key", "a").await;
    // A machine that stood still for that long shows nothing here.
    if began.elapsed() < window {
        assert_eq!((&second, is_duplicate), (&first, true));
    }
    // Nothing announces the end of the window.
    let renewed = async {
        loop {
            let (id, is_duplicate) = publish_once(&hub, "key", "a").await;
            if !is_duplicate {
                break id;
            }
            assert_eq!(id, first);
            sleep(Duration::from_millis(20)).await;
        }
    };
    let renewed = within("the end of the window", renewed).await;
    assert!(position(&renewed) > position(&first));
    assert!(began.elapsed() >= window && began.elapsed() < LIMIT);
}

pub async fn a_log_that_was_wiped_resets_its_clients<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut entry = publish(&hub, "a", "first").await;
    publish_all(&hub, ["more"; 3].map(|data| ("a", data.to_owned()))).await;
    drop(hub);
    for _ in 0..2 {
        log.wipe().await;
        let hub = log.hub().await;
        // Positions start over, and reach those that clients know.
        let published = publish_all(&hub, (0..10).map(|n| ("a", n.to_string()))).await;
        Client::expect(&hub, &["a"], Some(&entry.id), "unknown").await;
        entry = published[2].clone();
        Client::expect(&hub, &["a"], Some(&entry.id), "resumed").await;
    }
}

pub async fn values_from_before_the_memory_of_a_node_are_in_its_log<E: Engine>(log: E) {
    let hub = log.node(values::builder()).await;
    let (mut ids, after) = values::publish_values(&hub, 63).await;
    let loud: Vec<_> = (0..12_000).map(|n| n.to_string()).collect();
    for some in loud.chunks(500) {
        publish_all(&hub, some.iter().map(|data| ("loud", data.clone()))).await;
    }
    drop(hub);
    // The node's memory begins with the newest ten thousand events.
    let hub = log.node(values::builder()).await;
    let mut now = after[63].clone();
    let (first, _) = after[63].first_key_value().expect("some");
    ids.push(values::set(&hub, "values", first, Some(1_000)).await);
    now.insert(first.clone(), "1000".to_owned());
    let last = values::set(&hub, "values", "new", Some(0)).await;
    now.insert("new".to_owned(), "0".to_owned());
    for topics in values::SETS {
        let (_, messages) = values::read_fresh(&hub, topics, &last).await;
        let mut known = values::Values::new();
        values::learn(&mut known, &messages);
        assert_eq!(known, now, "{topics:?}");
        for n in [0, 1, 40, 63] {
            let messages = values::read_resumed(&hub, topics, &ids[n], &last).await;
            let mut known = after[n].clone();
            values::learn(&mut known, &messages);
            assert_eq!(known, now, "{topics:?} after {n}");
        }
    }
}

pub async fn the_end_is_known_after_a_restart<E: Engine>(log: E) {
    let hub = log.hub().await;
    let first = publish(&hub, "a", "first").await;
    let last = finish(&hub, "a").await;
    let later = publish(&hub, "other", "later").await;
    drop(hub);
    for builder in [Hub::builder, forgetful] {
        let hub = log.node(builder()).await;
        assert_eq!(read_to_the_end(&hub, &["a"], first.id.clone()).await, [&*last]);
        for id in [&last, &later.id] {
            assert!(read_to_the_end(&hub, &["a"], id.clone()).await.is_empty());
        }
        assert_eq!(fresh(&hub, "a", History::None).await, ["last"]);
        assert_eq!(refused(&hub, "a").await, PublishErrorKind::Finished);
    }
}

pub async fn those_who_do_not_come_back_after_a_restart_have_left<E: Engine>(log: E) {
    let hub = presence::node(&log).await;
    let streams = ["ada", "grace"].map(|name| presence::join(&hub, name));
    presence::sees(&hub, &["ada", "grace"], &[]).await;
    drop((hub, streams));
    let hub = presence::node(&log).await;
    let stream = presence::join(&hub, "ada");
    presence::sees(&hub, &["ada"], &["ada"]).await;
    let present = within("an answer", hub.presence("room/1")).await.expect("the log answers");
    assert_eq!(present.len(), 1);
    drop(stream);
}
