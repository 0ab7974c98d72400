//! A log that outlives its hubs.

use std::time::Duration;

use tidings::{Event, Hub};
use tokio::time::{Instant, sleep};

use super::idempotence::publish_once;
use super::resume::Journey;
use super::{Client, Engine, Settings, publish, publish_all};
use crate::checker::{check, position};
use crate::limit::{LIMIT, within};

pub async fn a_client_resumes_after_a_restart_of_its_node<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let mut client = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let mut published =
        publish_all(&hub, (0..100).map(|n| (["a", "b", "c"][n % 3], n.to_string()))).await;
    client.read(40).await;
    let id = client.last_event_id().to_owned();
    let mut visits = vec![client.leave()];
    drop(hub);

    let hub = engine.node(Hub::builder()).await;
    let mut client = Client::expect(&hub, &["a", "b"], Some(&id), "resumed").await;
    published.extend(publish_all(&hub, (0..10).map(|n| ("b", n.to_string()))).await);
    client.read_to(&published.last().expect("some").id).await;
    visits.push(client.leave());
    let summary = check(&published, &["a", "b"], &visits).expect("all as promised");
    assert_eq!((summary.events, summary.resumed, summary.resets), (77, 1, 0));
}

pub async fn ids_go_on_after_a_restart<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..5 {
        let hub = engine.node(Hub::builder()).await;
        for _ in 0..3 {
            ids.push(publish(&hub, "a", "x").await.id);
        }
    }
    let epoch = |id: &String| id.rsplit_once('-').expect("an id of a hub").0.to_owned();
    assert!(ids.iter().all(|id| epoch(id) == epoch(&ids[0])), "{ids:?}");
    assert!(ids.is_sorted_by(|one, next| position(one) < position(next)), "{ids:?}");
}

pub async fn many_restarts_lose_and_double_nothing<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    for seed in 200..205 {
        let mut journey = Journey::new(seed);
        for _ in 0..4 {
            let hub = engine.node(Hub::builder()).await;
            journey.leg(&hub).await;
        }
        let hub = engine.node(Hub::builder()).await;
        journey.end(&hub).await;
    }
}

pub async fn many_restarts_lose_and_double_nothing_of_families<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    for seed in 205..210 {
        let mut journey = Journey::of_families(seed);
        for _ in 0..4 {
            let hub = engine.node(Hub::builder()).await;
            journey.leg(&hub).await;
        }
        let hub = engine.node(Hub::builder()).await;
        journey.end(&hub).await;
    }
}

pub async fn a_publication_that_is_retried_after_a_restart_is_not_doubled<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let first = publish(&hub, "a", "first").await;
    let (id, _) = publish_once(&hub, "key", "a").await;
    drop(hub);
    let hub = engine.node(Hub::builder()).await;
    assert_eq!(publish_once(&hub, "key", "a").await, (id.clone(), true));
    let last = publish(&hub, "a", "last").await;
    let mut client = Client::expect(&hub, &["a"], Some(&first.id), "resumed").await;
    let seen: Vec<_> = client.read(2).await.iter().map(|m| m.last_event_id()).collect();
    assert_eq!(seen, [id, last.id]);
}

pub async fn a_key_can_be_used_again_behind_its_window<E: Engine>() {
    let window = Duration::from_secs(1);
    let settings = Settings { idempotency_window: window, ..Settings::default() };
    let Some(engine) = E::begin(settings).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let began = Instant::now();
    let (first, _) = publish_once(&hub, "key", "a").await;
    let (second, is_duplicate) = publish_once(&hub, "key", "a").await;
    // On a machine that stood still for so long this shows nothing.
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

pub async fn a_log_that_was_wiped_resets_its_clients<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let mut entry = publish(&hub, "a", "first").await;
    for _ in 0..3 {
        let publish = hub.publish("a", Event::new("more"));
        within("an acknowledgement", publish).await.expect("an event is published");
    }
    drop(hub);
    for _ in 0..2 {
        engine.wipe().await;
        let hub = engine.node(Hub::builder()).await;
        // Positions begin anew, and reach those that clients know.
        let published = publish_all(&hub, (0..10).map(|n| ("a", n.to_string()))).await;
        Client::expect(&hub, &["a"], Some(&entry.id), "unknown").await;
        entry = published[2].clone();
        Client::expect(&hub, &["a"], Some(&entry.id), "resumed").await;
    }
}
