//! The bridge from Pub/Sub.

use tidings::Hub;
use tidings::backend::{Envelope, LogErrorKind};
use tidings_redis::{PubSubBridge, PubSubBridgeBuilder};
use tidings_testkit::limit::eventually;
use tidings_testkit::log::Client;
use tidings_testkit::redis::Server;
use tidings_testkit::shared_log::SharedLog;

use super::{node, server};

async fn run(bridge: PubSubBridgeBuilder, hub: &Hub) -> PubSubBridge {
    let bridge = bridge.run(hub.clone()).expect("the options are valid");
    eventually("a bridge that is connected", || bridge.is_connected()).await;
    bridge
}

async fn publish(server: &Server, channel: &str, payload: &str) {
    server.cli(&["PUBLISH", channel, payload]).await;
}

/// The name and data of the next event.
async fn next(client: &mut Client) -> (String, String) {
    let message = client.next().await.expect("the stream goes on");
    (message.event().to_owned(), message.data().to_owned())
}

fn message(data: &str) -> (String, String) {
    ("message".to_owned(), data.to_owned())
}

#[tokio::test]
async fn a_channel_is_a_topic() {
    let Some(server) = server().await else { return };
    let hub = Hub::new();
    let mut client = Client::expect(&hub, &["news", "chat/1"], None, "fresh").await;
    let bridge = PubSubBridge::builder(server.url()).channel("news").channel("chat/1");
    let bridge = run(bridge, &hub).await;
    publish(&server, "news", "one").await;
    publish(&server, "other", "not this").await;
    publish(&server, "chat/1", "{\"data\": 2}").await;
    assert_eq!(next(&mut client).await, message("one"));
    assert_eq!(next(&mut client).await, message("{\"data\": 2}"));
    assert_eq!((bridge.received(), bridge.rejected()), (2, 0));
}

#[tokio::test]
async fn channels_that_match_a_pattern_are_topics_without_their_prefix() {
    let Some(server) = server().await else { return };
    let hub = Hub::new();
    let mut client = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let bridge = PubSubBridge::builder(server.url()).pattern("events:*").strip_prefix("events:");
    let bridge = run(bridge.event("tick").expect("a name"), &hub).await;
    publish(&server, "events:a", "one").await;
    publish(&server, "events:", "of no topic").await;
    publish(&server, "events:b", "two").await;
    for data in ["one", "two"] {
        assert_eq!(next(&mut client).await, ("tick".to_owned(), data.to_owned()));
    }
    assert_eq!((bridge.received(), bridge.rejected()), (3, 1));
    let error = bridge.last_error().expect("an error");
    assert_eq!(error, r#"channel "events:": topic is empty"#);
}

#[tokio::test]
async fn a_function_maps_channels_to_topics() {
    let Some(server) = server().await else { return };
    let hub = Hub::new();
    let mut client = Client::expect(&hub, &["A"], None, "fresh").await;
    let bridge = PubSubBridge::builder(server.url())
        .pattern("*")
        .topic(|channel| (channel != "ignored").then(|| channel.to_uppercase()));
    let bridge = run(bridge, &hub).await;
    publish(&server, "ignored", "x").await;
    publish(&server, "a", "one").await;
    assert_eq!(next(&mut client).await, message("one"));
    assert_eq!((bridge.received(), bridge.rejected()), (2, 1));
}

#[tokio::test]
async fn a_function_that_panics_costs_its_message_only() {
    let Some(server) = server().await else { return };
    let hub = Hub::new();
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let bridge = PubSubBridge::builder(server.url()).pattern("*").topic(|channel| {
        assert_ne!(channel, "bad", "on purpose");
        Some(channel.to_owned())
    });
    let bridge = run(bridge, &hub).await;
    publish(&server, "bad", "x").await;
    publish(&server, "a", "one").await;
    assert_eq!(next(&mut client).await, message("one"));
    assert_eq!((bridge.received(), bridge.rejected()), (2, 1));
    let error = bridge.last_error().expect("an error");
    assert_eq!(error, r#"channel "bad": the function for its topic has panicked"#);
}

#[tokio::test]
async fn an_envelope_has_topic_name_and_key() {
    let Some(server) = server().await else { return };
    // Also on a hub whose log is Redis itself, with a bridge on two nodes.
    let hubs = [node(&server.url()).await, node(&server.url()).await];
    let mut client = Client::expect(&hubs[0], &["a", "b"], None, "fresh").await;
    let builder = || PubSubBridge::builder(server.url()).channel("a").envelope(Envelope::Json);
    let bridges = [run(builder(), &hubs[0]).await, run(builder(), &hubs[1]).await];
    publish(&server, "a", r#"{"event": "e", "data": {"n": 1}, "key": "k1"}"#).await;
    publish(&server, "a", r#"{"topic": "b", "data": "two", "key": "k2"}"#).await;
    publish(&server, "a", "no envelope").await;
    publish(&server, "a", r#"{"data": "three", "key": "k3"}"#).await;
    assert_eq!(next(&mut client).await, ("e".to_owned(), "{\"n\": 1}".to_owned()));
    assert_eq!(next(&mut client).await, message("two"));
    assert_eq!(next(&mut client).await, message("three"));
    let is_done = |bridge: &PubSubBridge| bridge.received() == 4 && bridge.rejected() == 1;
    eventually("two bridges that have received everything", || bridges.iter().all(is_done)).await;
    let last = super::id_of(&hubs[1], "a", "last").await;
    assert_eq!(next(&mut client).await, message("last"));
    assert_eq!(client.last_event_id(), last);
}

#[tokio::test]
async fn a_bridge_connects_again_when_its_server_is_back() {
    let Some(mut server) = server().await else { return };
    let hub = Hub::new();
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let bridge = run(PubSubBridge::builder(server.url()).channel("a"), &hub).await;
    publish(&server, "a", "one").await;
    assert_eq!(next(&mut client).await, message("one"));
    server.kill().await;
    eventually("a bridge that is not connected", || !bridge.is_connected()).await;
    server.start_again().await;
    eventually("a bridge that is connected", || bridge.is_connected()).await;
    publish(&server, "a", "two").await;
    assert_eq!(next(&mut client).await, message("two"));
    // The connection stays, but there is no answer.
    server.pause();
    eventually("a bridge that is not connected", || !bridge.is_connected()).await;
    server.resume();
    eventually("a bridge that is connected", || bridge.is_connected()).await;
    publish(&server, "a", "three").await;
    assert_eq!(next(&mut client).await, message("three"));
    assert!(bridge.last_error().expect("an error").starts_with("redis: cannot subscribe: "));
}

#[tokio::test]
async fn messages_do_not_pile_up_while_the_hubs_log_is_slow() {
    let Some(server) = server().await else { return };
    let link = SharedLog::new().node();
    let hub = Hub::builder().build_on(link.clone());
    // What is published waits until the hub has it.
    link.hold();
    let bridge = run(PubSubBridge::builder(server.url()).channel("a"), &hub).await;
    let script = "for n = 1, 20000 do redis.call('PUBLISH', 'a', n) end";
    server.cli(&["EVAL", script, "0"]).await;
    // Those that are not rejected may wait for longer than this does.
    eventually("all received", || bridge.received() == 20_000 && bridge.rejected() > 0).await;
    let error = bridge.last_error().expect("an error");
    assert!(error.starts_with("channel \"a\": "), "{error}");
    link.release();
}

#[tokio::test]
async fn a_bridge_without_a_source_is_refused() {
    let Some(server) = server().await else { return };
    let error = PubSubBridge::builder(server.url()).run(Hub::new()).unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Refused);
    assert_eq!(error.to_string(), "redis: bridge has neither channels nor patterns");
    let error = PubSubBridge::builder("nowhere").channel("a").run(Hub::new()).unwrap_err();
    assert_eq!(error.to_string(), "redis: address has no scheme");
}
