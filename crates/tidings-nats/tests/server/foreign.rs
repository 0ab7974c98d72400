//! Events from other clients of NATS.

use async_nats::HeaderMap;
use tidings::Hub;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::{Client, publish};
use tidings_testkit::nats::Server;

use crate::{client_of, node, server};

async fn begin() -> Option<(Server, Hub, async_nats::Client)> {
    let server = server().await?;
    let (hub, client) = (node(&server).await, client_of(&server).await);
    Some((server, hub, client))
}

#[tokio::test]
async fn any_client_of_nats_publishes_events() {
    let Some((_server, hub, nats)) = begin().await else { return };
    let mut client = Client::expect(&hub, &["orders.eu"], None, "fresh").await;
    nats.publish("tidings.orders.eu", "hello".into()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Tidings-Event", "cr%C3%A9%C3%A9");
    headers.insert("Tidings-Retry", "1500");
    nats.publish_with_headers("tidings.orders.eu", headers, "a\nb".into()).await.unwrap();
    let messages = client.read(2).await;
    assert_eq!((messages[0].event(), messages[0].data()), ("message", "hello"));
    assert_eq!((messages[1].event(), messages[1].data()), ("créé", "a\nb"));
}

#[tokio::test]
async fn a_message_that_is_not_an_event_is_left_out_and_counted() {
    let Some((server, hub, nats)) = begin().await else { return };
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let first = publish(&hub, "a", "first").await;
    client.read_to(&first.id).await;
    nats.publish("tidings.a", (&b"\xff"[..]).into()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Tidings-Event", "tidings:status");
    nats.publish_with_headers("tidings.a", headers, "x".into()).await.unwrap();
    nats.flush().await.unwrap();
    let event = publish(&hub, "a", "good").await;
    let message = client.read(1).await[0].clone();
    assert_eq!((message.data(), message.last_event_id()), ("good", &*event.id));
    eventually("two rejections", || hub.health().rejected == 2).await;
    // Also when they are read back.
    let late = node(&server).await;
    let mut client = Client::expect(&late, &["a"], Some(&first.id), "resumed").await;
    assert_eq!(client.read(1).await[0].last_event_id(), event.id);
}

#[tokio::test]
async fn a_message_id_is_an_idempotency_key() {
    let Some((_server, hub, nats)) = begin().await else { return };
    let jetstream = async_nats::jetstream::new(nats);
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, "order-17");
    let sent = jetstream.publish_with_headers("tidings.a", headers, "x".into()).await.unwrap();
    let first = within("an acknowledgement", sent).await.unwrap().sequence;
    let again = hub.publish_once("order-17", "a", tidings::Event::new("x"));
    let again = within("an acknowledgement", again).await.unwrap();
    assert!(again.is_duplicate());
    assert!(again.id().as_str().ends_with(&format!("-{first}")));
}
