//! The limits of streams and of publications, over the nodes of one log.

use tidings::error::PublishErrorKind;
use tidings::{END_EVENT, Event, Hub, HubBuilder, OverLimit};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::Client;
use tidings_testkit::shared_log::SharedLog;

/// Two nodes that know each other.
async fn nodes(hub: impl Fn() -> HubBuilder) -> [Hub; 2] {
    let log = SharedLog::new();
    let nodes = [(); 2].map(|()| hub().build_on(log.node()));
    for node in &nodes {
        eventually("the nodes know each other", || node.cluster().nodes().len() == 2).await;
    }
    nodes
}

fn open(hub: &Hub, principal: &str) -> Client {
    let subscribe = hub.subscribe("a").principal(principal).heartbeat(None);
    Client::of(subscribe.open().expect("the subscription opens"), None)
}

/// Reads a stream to its end, and returns the data of its last event.
async fn end_of(client: &mut Client) -> String {
    let read = async { while client.next().await.is_some() {} };
    within("the end of the stream", read).await;
    let last = client.messages().last().expect("a last event");
    assert_eq!(last.event(), END_EVENT);
    last.data().to_owned()
}

#[tokio::test]
async fn one_stream_too_many_on_another_node_ends() {
    let [one, other] = nodes(|| Hub::builder().streams_per_principal(1)).await;
    let mut first = open(&one, "ada");
    assert_eq!(first.status().await["status"], "fresh");
    let mut second = open(&other, "ada");
    let end = end_of(&mut second).await;
    assert_eq!(end, r#"{"reason":"limited","limit":"principal"}"#);
    drop(second);
    let mut bob = open(&other, "bob");
    assert_eq!(bob.status().await["status"], "fresh");
    // When there is room, there is room on every node.
    drop(first);
    let mut third = open(&other, "ada");
    assert_eq!(third.status().await["status"], "fresh");
    one.publish("a", Event::new("still there")).await.expect("an event");
    assert_eq!(third.next().await.expect("the event").data(), "still there");
}

#[tokio::test]
async fn a_newer_stream_supersedes_the_oldest_on_another_node() {
    let hub = || Hub::builder().streams_per_principal(2).over_limit(OverLimit::Supersede);
    let [one, other] = nodes(hub).await;
    let mut oldest = open(&one, "ada");
    assert_eq!(oldest.status().await["status"], "fresh");
    let mut rest = [open(&one, "ada"), open(&other, "ada")];
    assert_eq!(end_of(&mut oldest).await, r#"{"reason":"superseded"}"#);
    one.publish("a", Event::new("still there")).await.expect("an event");
    for client in &mut rest {
        client.status().await;
        assert_eq!(client.next().await.expect("the event").data(), "still there");
    }
}

#[tokio::test]
async fn what_a_source_publishes_on_one_node_counts_on_the_other() {
    const BURST: u32 = 1_000;

    let [one, other] = nodes(|| Hub::builder().publications_per_source(1, BURST)).await;
    let publish = |hub: &Hub| hub.source("ada").publish_ephemeral("a", Event::new("x"));
    for _ in 0..BURST {
        publish(&one).expect("the burst");
    }
    // Each second, the nodes tell each other what was published.
    let mut admitted = 0;
    eventually("the other node refuses it", || match publish(&other) {
        Ok(_) => {
            admitted += 1;
            false
        }
        Err(error) => error.kind() == PublishErrorKind::TooManyPublications,
    })
    .await;
    assert!(admitted < BURST, "that was its own burst");
}
