//! Publishing again what may have been published.

use futures_util::future::join_all;
use tidings::{Event, Hub};

use super::{Client, Engine, Settings, publish};
use crate::limit::within;

/// Publishes under a key. Returns the id, and whether it was there before.
pub(super) async fn publish_once(hub: &Hub, key: &str, topic: &str) -> (String, bool) {
    let publish = hub.publish_once(key, topic, Event::new(key));
    let published = within("an acknowledgement", publish).await.expect("an event is published");
    (published.id().to_string(), published.is_duplicate())
}

pub async fn a_retried_publication_is_not_doubled<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let (one, is_duplicate) = publish_once(&hub, "one", "a").await;
    assert!(!is_duplicate);
    let (two, is_duplicate) = publish_once(&hub, "two", "a").await;
    assert!(!is_duplicate);
    assert_eq!(publish_once(&hub, "one", "a").await, (one.clone(), true));
    assert_eq!(publish_once(&hub, "two", "a").await, (two.clone(), true));
    let last = publish(&hub, "a", "last").await;
    let seen: Vec<_> = client.read(3).await.iter().map(|m| m.last_event_id()).collect();
    assert_eq!(seen, [one, two, last.id]);
}

pub async fn a_publication_that_is_retried_at_once_is_not_doubled<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let retries = join_all((0..100).map(|n| {
        let key = ["one", "two"][n % 2];
        publish_once(&hub, key, "a")
    }));
    let outcomes = within("all retries", retries).await;
    let firsts = outcomes.iter().filter(|(_, is_duplicate)| !is_duplicate).count();
    assert_eq!(firsts, 2, "{outcomes:?}");
    let id_of = |n: usize| &outcomes[n % 2].0;
    assert!(outcomes.iter().enumerate().all(|(n, (id, _))| id == id_of(n)), "{outcomes:?}");
    let last = publish(&hub, "a", "last").await;
    let mut seen: Vec<_> = client.read(3).await.iter().map(|m| m.last_event_id()).collect();
    assert_eq!(seen.pop(), Some(&*last.id));
    seen.sort_unstable();
    let mut ids = [&*outcomes[0].0, &*outcomes[1].0];
    ids.sort_unstable();
    assert_eq!(seen, ids);
}

pub async fn a_key_holds_for_the_whole_hub<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(Hub::builder()).await;
    let mut client = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let (one, _) = publish_once(&hub, "key", "a").await;
    assert_eq!(publish_once(&hub, "key", "b").await, (one.clone(), true));
    // Keys tell case apart, and nothing in them has a meaning.
    let mut ids = vec![one];
    for key in ["Key", "key/", "key*", "{key}", "\"key\"", "$key;#~"] {
        let (id, is_duplicate) = publish_once(&hub, key, "b").await;
        assert!(!is_duplicate, "{key}");
        ids.push(id);
    }
    let seen: Vec<_> = client.read(ids.len()).await.iter().map(|m| m.last_event_id()).collect();
    assert_eq!(seen, ids);
}
