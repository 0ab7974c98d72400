//! Events that the server refuses, and servers that the log refuses.

use tidings::backend::{LogError, LogErrorKind};
use tidings::{Event, Hub};
use tidings_redis::RedisLog;
use tidings_testkit::limit::within;
use tidings_testkit::log::Client;

use super::{id_of, node, publish, server};

async fn connect_error(url: &str) -> LogError {
    within("an answer", RedisLog::connect(url)).await.expect_err("it is refused")
}

#[tokio::test]
async fn a_server_without_memory_refuses_events_and_streams_stay_open() {
    let Some(server) = server().await else { return };
    let hub = node(&server.url()).await;
    let first = id_of(&hub, "a", "one").await;
    let mut client = Client::expect(&hub, &["a"], Some(&first), "resumed").await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = publish(&hub, "a", "refused").await.unwrap_err();
    assert!(error.to_string().contains("OOM command not allowed"), "{error}");
    let error = within("an answer", hub.publish_once("key", "a", Event::new("refused"))).await;
    let error = error.unwrap_err();
    let source = std::error::Error::source(&error).expect("the log's error");
    let kind = source.downcast_ref::<LogError>().expect("an error of the log").kind();
    assert_eq!(kind, LogErrorKind::Full, "{error}");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let last = id_of(&hub, "a", "two").await;
    assert_eq!(client.read(1).await[0].last_event_id(), last);
}

#[tokio::test]
async fn a_server_that_may_evict_the_log_is_refused() {
    let Some(server) = server().await else { return };
    server.cli(&["CONFIG", "SET", "maxmemory", "100mb"]).await;
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let error = connect_error(&server.url()).await;
    assert_eq!(error.kind(), LogErrorKind::Refused);
    assert!(error.to_string().starts_with("redis: maxmemory-policy: allkeys-lru"), "{error}");
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]).await;
    node(&server.url()).await;
}

#[tokio::test]
async fn a_key_that_holds_something_else_is_refused() {
    let Some(server) = server().await else { return };
    server.cli(&["SET", "{tidings}:log", "x"]).await;
    let error = connect_error(&server.url()).await;
    assert_eq!(error.kind(), LogErrorKind::Refused);
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
}

#[tokio::test]
async fn logs_with_different_names_are_independent() {
    let Some(server) = server().await else { return };
    let log = |name: &str| RedisLog::builder(server.url()).name(name).connect();
    let one = Hub::builder().build_on(log("one").await.expect("the server is running"));
    let other = Hub::builder().build_on(log("other").await.expect("the server is running"));
    let id = id_of(&one, "a", "one").await;
    Client::expect(&other, &["a"], Some(&id), "unknown").await;
    let other_id = id_of(&other, "a", "other").await;
    let mut client = Client::expect(&one, &["a"], Some(&id), "resumed").await;
    let last = id_of(&one, "a", "last").await;
    assert_eq!(client.read(1).await[0].last_event_id(), last);
    assert_ne!(super::epoch(&id), super::epoch(&other_id));
}

#[tokio::test]
async fn connecting_fails_in_time_without_a_server() {
    let Some(mut server) = server().await else { return };
    server.kill().await;
    let error = connect_error(&server.url()).await;
    assert_eq!(error.kind(), LogErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    server.start_again().await;
    server.pause();
    let error = connect_error(&server.url()).await;
    assert_eq!(error.kind(), LogErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn the_number_of_events_that_wait_for_the_server_is_limited() {
    let Some(server) = server().await else { return };
    let log = RedisLog::builder(server.url()).max_pending(2).connect().await;
    let hub = Hub::builder().build_on(log.expect("the server is running"));
    id_of(&hub, "a", "one").await;
    server.pause();
    let waiting = [hub.publish("a", Event::new("x")), hub.publish("a", Event::new("x"))];
    let error = publish(&hub, "a", "refused").await.unwrap_err();
    assert!(error.to_string().contains("2 events are waiting"), "{error}");
    server.resume();
    for waiting in waiting {
        within("an answer", waiting).await.expect("the server goes on");
    }
    id_of(&hub, "a", "two").await;
}
