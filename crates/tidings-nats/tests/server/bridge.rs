//! The bridge from core NATS.

use std::time::Duration;

use tidings::Hub;
use tidings::backend::Envelope;
use tidings_nats::{BridgeCounts, CoreBridge};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::Client;
use tidings_testkit::nats::Server;
use tokio::time::timeout;

use crate::{client_of, node, server};

async fn begin() -> Option<(Server, async_nats::Client)> {
    let server = server().await?;
    let client = client_of(&server).await;
    Some((server, client))
}

#[tokio::test]
async fn messages_of_subjects_are_events_of_topics_without_the_prefix() {
    let Some((server, nats)) = begin().await else { return };
    let hub = Hub::new();
    let bridge =
        CoreBridge::builder().subject("events.>").subject("news.>").strip_prefix("events.");
    let bridge = within("a bridge", bridge.connect(server.url(), hub.clone())).await.unwrap();
    let mut client = Client::expect(&hub, &["orders.eu", "news.eu"], None, "fresh").await;
    let too_long = format!("events.{}", "x".repeat(300));
    for subject in ["events.orders.eu", "other.orders.eu", &too_long, "news.eu"] {
        nats.publish(subject.to_owned(), subject.to_owned().into()).await.unwrap();
    }
    let mut seen: Vec<_> = client.read(2).await.iter().map(|m| m.data().to_owned()).collect();
    // Each subject is a subscription, and they are not ordered.
    seen.sort();
    assert_eq!(seen, ["events.orders.eu", "news.eu"]);
    eventually("all counted", || {
        let BridgeCounts { published, rejected, failed, .. } = bridge.counts();
        (published, rejected, failed) == (2, 1, 0)
    })
    .await;
}

#[tokio::test]
async fn envelopes_are_read_and_malformed_ones_counted() {
    let Some((server, nats)) = begin().await else { return };
    let hub = Hub::new();
    let bridge = CoreBridge::builder().subject("events.*").envelope(Envelope::Json);
    let bridge = within("a bridge", bridge.connect(server.url(), hub.clone())).await.unwrap();
    let mut client = Client::expect(&hub, &["orders"], None, "fresh").await;
    for message in [
        r#"{"topic":"orders","event":"created","data":{"id":17},"key":"order-17"}"#,
        r#"{"topic":"orders","event":"created","data":{"id":17},"key":"order-17"}"#,
        "no envelope",
        r#"{"topic":"orders","data":"next"}"#,
    ] {
        nats.publish("events.x", message.into()).await.unwrap();
    }
    let messages = client.read(2).await;
    assert_eq!((messages[0].event(), messages[0].data()), ("created", r#"{"id":17}"#));
    assert_eq!(messages[1].data(), "next");
    eventually("all counted", || {
        let BridgeCounts { published, rejected, failed, .. } = bridge.counts();
        (published, rejected, failed) == (3, 1, 0)
    })
    .await;
    let error = bridge.last_error().expect("one was no envelope");
    assert!(error.starts_with("subject \"events.x\": "), "{error}");
}

#[tokio::test]
async fn what_the_hub_refuses_is_told_and_a_bridge_ends_with_its_hub() {
    let Some((server, nats)) = begin().await else { return };
    let hub = Hub::builder().max_event_bytes(50).build();
    let bridge = CoreBridge::builder().subject("a");
    let bridge = within("a bridge", bridge.connect(server.url(), hub.clone())).await.unwrap();
    nats.publish("a", "x".repeat(100).into()).await.unwrap();
    eventually("one that has failed", || bridge.counts().failed == 1).await;
    assert!(bridge.last_error().unwrap().starts_with("subject \"a\": "));
    hub.close();
    nats.publish("a", "late".into()).await.unwrap();
    // Soon nobody is subscribed any more.
    let has_ended = async {
        let look = Duration::from_millis(100);
        while !matches!(timeout(look, nats.request("a", "later".into())).await, Ok(Err(_))) {}
    };
    within("the end of the bridge", has_ended).await;
    assert_eq!(bridge.counts().failed, 1);
}

#[tokio::test]
async fn one_bridge_of_a_queue_group_receives_each_message() {
    let Some((server, nats)) = begin().await else { return };
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let hub = node(&server).await;
        let bridge = CoreBridge::builder().subject("events.>").queue_group("hubs");
        let bridge = within("a bridge", bridge.connect(server.url(), hub.clone())).await.unwrap();
        nodes.push((hub, bridge));
    }
    let mut client = Client::expect(&nodes[0].0, &["events.a"], None, "fresh").await;
    for n in 0..100 {
        nats.publish("events.a", n.to_string().into()).await.unwrap();
    }
    let mut seen: Vec<u32> =
        client.read(100).await.iter().map(|m| m.data().parse().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    eventually("each counted once", || {
        nodes.iter().map(|(_, bridge)| bridge.counts().published).sum::<u64>() == 100
    })
    .await;
}
