//! The bridge from core NATS.

use tidings::Hub;
use tidings::backend::Envelope;
use tidings_nats::{BridgeCounts, CoreBridge};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::Client;
use tidings_testkit::nats::Server;

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
