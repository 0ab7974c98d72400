//! Publishing again what may have been published.

use futures_util::future::join_all;
use tidings::{Event, Hub};

use super::{Client, Engine, publish};
use crate::limit::within;

/// Publishes with a key. Returns the id, and whether the publication is a duplicate.
pub(super) async fn publish_once(hub: &Hub, key: &str, topic: &str) -> (String, bool) {
    let publish = hub.publish_once(key, topic, Event::new(key));
    let published = within("an acknowledgement", publish).await.expect("an event is published");
    (published.id().to_string(), published.is_duplicate())
}

pub async fn a_retried_publication_is_not_doubled<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let (one, is_duplicate) = publish_once(&hub, "one", "a").await;
    assert!(!is_duplicate);
    let (two, is_duplicate) = publish_once(&hub, "two", "a").await;
    assert!(!is_duplicate);
    assert_eq!(publish_once(&hub, "one", "a").await, (one.clone(), true));
    assert_eq!(publish_once(&hub, "two", "a").await, (two.clone(), true));
    let last = publish(&hub, "a", "last").await;
    assert_eq!(client.read_ids(3).await, [one, two, last.id]);
}

pub async fn a_concurrently_retried_publication_is_not_doubled<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let retries = (0..100).map(|n| publish_once(&hub, ["one", "two"][n % 2], "a"));
    let (ones, twos): (Vec<_>, Vec<_>) = within("all retries", join_all(retries))
        .await
        .into_iter()
        .enumerate()
        .partition(|(n, _)| n % 2 == 0);
    let [one, two] = [ones, twos].map(|outcomes| {
        let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        assert_one_is_first(&outcomes).to_owned()
    });
    let last = publish(&hub, "a", "last").await;
    let seen = client.read_ids(3).await;
    assert!(seen == [&*one, &two, &last.id] || seen == [&*two, &one, &last.id], "{seen:?}");
}

/// Asserts that all publications with one key have the same id, and that all but one are duplicates. Returns the
/// id.
#[track_caller]
pub(super) fn assert_one_is_first(outcomes: &[(String, bool)]) -> &str {
    let (id, _) = &outcomes[0];
    assert!(outcomes.iter().all(|(other, _)| other == id), "{outcomes:?}");
    let firsts = outcomes.iter().filter(|(_, is_duplicate)| !is_duplicate).count();
    assert_eq!(firsts, 1, "{outcomes:?}");
    id
}

pub async fn a_key_holds_for_the_whole_hub<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let (one, _) = publish_once(&hub, "key", "a").await;
    assert_eq!(publish_once(&hub, "key", "b").await, (one.clone(), true));
    // Keys are case-sensitive, and no character in them is special.
    let mut ids = vec![one];
    for key in ["Key", "key/", "key*", "{key}", "\"key\"", "$key;#~"] {
        let (id, is_duplicate) = publish_once(&hub, key, "b").await;
        assert!(!is_duplicate, "{key}");
        ids.push(id);
    }
    assert_eq!(client.read_ids(ids.len()).await, ids);
}
