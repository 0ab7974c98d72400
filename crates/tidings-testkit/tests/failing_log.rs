//! What a hub does when its log fails.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use tidings::backend::LogErrorKind;
use tidings::{
    ClientId, Event, Hub, HubBuilder, Link, Resume, Retention, Snapshot, Topic, clock::ManualClock,
    error::PublishErrorKind,
};
use tidings_testkit::checker::Entry;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::{Client, publish, publish_all};
use tidings_testkit::shared_log::{SharedLog, SharedNode};

fn node(log: &SharedLog) -> (Hub, SharedNode) {
    let node = log.node();
    (Hub::builder().build_on(node.clone()), node)
}

/// A hub that keeps next to nothing in memory.
fn forgetful() -> HubBuilder {
    Hub::builder().retention(Retention::none()).max_retained_bytes(2_000)
}

/// Publishes numbered events to topic `a`.
async fn publish_numbers(hub: &Hub, count: usize) -> Vec<Entry> {
    publish_all(hub, (0..count).map(|n| ("a", n.to_string()))).await
}

fn ids_of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<&'a str> {
    entries.into_iter().map(|entry| &*entry.id).collect()
}

/// The ids of what a client received.
fn ids(client: &Client) -> Vec<&str> {
    client.messages().iter().map(|message| message.last_event_id()).collect()
}

/// Asserts that a client gets nothing until its node is released or mended, although the log answers what the
/// hub asks on its behalf.
async fn stays_silent(link: &SharedNode, client: impl Future<Output = Client>) -> Client {
    let mut client = pin!(client);
    let before = link.answers();
    eventually("the log answers", || {
        assert!(client.as_mut().now_or_never().is_none());
        link.answers() > before
    })
    .await;
    // With the answer.
    assert!(client.as_mut().now_or_never().is_none());
    link.release();
    link.mend();
    client.await
}

#[tokio::test]
async fn streams_stay_open_while_the_link_is_down_and_continue_when_it_is_up() {
    let log = SharedLog::new();
    let (one, link) = node(&log);
    let (other, _) = node(&log);
    let mut client = Client::expect(&one, &["a"], None, "fresh").await;
    link.cut();
    eventually("the link is down", || matches!(one.health().link, Link::Down { .. })).await;
    let error = within("an answer", one.publish("a", Event::new("x"))).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Log);
    assert_eq!(error.log_error().unwrap().kind(), LogErrorKind::Unavailable);
    assert_eq!(error.to_string(), "shared log: link is down");
    let missed = publish_numbers(&other, 20).await;
    assert_eq!(client.messages().len(), 1);
    link.mend();
    assert_eq!(client.read_ids(20).await, ids_of(&missed));
}

#[tokio::test]
async fn health_says_why_a_hub_is_not_ready() {
    let log = SharedLog::new();
    let link = log.node();
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build_on(link.clone());
    eventually("the hub is ready", || hub.health().is_ready()).await;
    assert_eq!(hub.health().to_string(), "ready");
    link.hold();
    // The log may still report that the hub has caught up, until it notices that it is held.
    eventually("the hub lags", || {
        clock.advance(Duration::from_secs(6));
        !hub.health().is_ready()
    })
    .await;
    let health = hub.health().to_string();
    assert!(health.starts_with("log lags by ") && health.ends_with(" s"), "{health}");
    assert!(hub.metrics().to_prometheus().contains("\ntidings_ready 0\n"));
    link.release();
    eventually("the hub is ready", || hub.health().is_ready()).await;
    link.cut();
    eventually("the link is down", || !hub.health().is_ready()).await;
    let health = hub.health().to_string();
    assert!(health.ends_with(": shared log: link is down"), "{health}");
    assert!(health.starts_with("log link is down for "), "{health}");
    hub.close();
    assert_eq!(hub.health().to_string(), "hub is closed");
}

#[tokio::test]
async fn a_client_that_is_ahead_of_its_node_waits_for_it() {
    let log = SharedLog::new();
    let (one, _) = node(&log);
    let (other, link) = node(&log);
    publish(&other, "a", "first").await;
    link.hold();
    let entry = publish(&one, "a", "second").await;
    // The log has the client's position, but the node does not.
    let client = Client::expect(&other, &["a"], Some(&entry.id), "resumed");
    let mut client = stays_silent(&link, client).await;
    let third = publish(&one, "a", "third").await;
    client.read(1).await;
    assert_eq!(ids(&client), [&*entry.id, &third.id]);
}

#[tokio::test]
async fn a_client_that_is_ahead_of_a_node_that_is_cut_off_is_not_reset() {
    let log = SharedLog::new();
    let (one, _) = node(&log);
    let (other, link) = node(&log);
    publish(&other, "a", "first").await;
    link.cut();
    let entry = publish(&one, "a", "second").await;
    let client = Client::expect(&other, &["a"], Some(&entry.id), "resumed");
    stays_silent(&link, client).await;
}

#[tokio::test]
async fn a_page_of_another_history_is_not_sent() {
    let log = SharedLog::new();
    let link = log.node();
    let hub = forgetful().build_on(link.clone());
    let old = publish_numbers(&hub, 50).await;
    // The hub does not know yet that the log has another history, and reads from it.
    link.hold();
    log.wipe();
    let (other, _) = node(&log);
    let new = publish_numbers(&other, 60).await;
    let client = Client::expect(&hub, &["a"], Some(&old[2].id), "unknown");
    stays_silent(&link, client).await.read_to(&new[59].id).await;
}

#[tokio::test]
async fn events_that_were_trimmed_while_the_link_was_down_are_a_reset() {
    let log = SharedLog::new();
    let (one, link) = node(&log);
    let (other, _) = node(&log);
    let mut client = Client::expect(&one, &["a"], None, "fresh").await;
    let mut quiet = Client::expect(&one, &["quiet"], None, "fresh").await;
    let entry = publish(&other, "a", "seen").await;
    client.read(1).await;
    link.cut();
    publish_numbers(&other, 20).await;
    log.trim(5);
    link.mend();
    let status = client.status().await;
    assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &"trimmed".into()));
    let last = publish(&other, "a", "last").await;
    client.read_to(&last.id).await;
    assert_eq!(ids(&client)[1], entry.id);
    // The hub cannot know whether an event of its topics was among them.
    assert_eq!(quiet.status().await["status"], "reset");
}

#[tokio::test]
async fn another_history_resets_all_connected_clients() {
    let log = SharedLog::new();
    let (one, _) = node(&log);
    let other = Hub::builder().build_on(log.selective_node());
    let old = publish_numbers(&one, 20).await;
    let mut clients = Vec::new();
    for hub in [&one, &other] {
        let mut client = Client::expect(hub, &["a"], Some(&old[4].id), "resumed").await;
        client.read_to(&old[19].id).await;
        clients.push(client);
    }
    log.wipe();
    for client in &mut clients {
        let status = client.status().await;
        assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &"unknown".into()));
    }
    let new = publish_numbers(&one, 20).await;
    for client in &mut clients {
        client.read_to(&new[19].id).await;
        assert!(ids(client).ends_with(&ids_of(&new)));
    }
    // The positions of both histories overlap. The ids tell them apart.
    Client::expect(&other, &["a"], Some(&old[19].id), "unknown").await;
    Client::expect(&other, &["a"], Some(&new[4].id), "resumed").await;
}

#[tokio::test]
async fn a_slow_client_of_a_small_hub_catches_up_while_the_log_grows() {
    let log = SharedLog::new();
    let hub = forgetful().build_on(log.node());
    let mut client = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let mut published = Vec::new();
    for round in 0..20 {
        let events = (0..50).map(|n| (["a", "b", "c"][n % 3], "x".repeat(n * round)));
        published.extend(publish_all(&hub, events).await);
        client.read(7).await;
    }
    client.read_to(&published.last().unwrap().id).await;
    let expected = ids_of(published.iter().filter(|entry| entry.topic != "c"));
    assert_eq!(ids(&client)[1..], expected);
    assert!(hub.metrics().log_reads > 0);
}

#[tokio::test]
async fn a_snapshot_replaces_what_the_log_has_lost() {
    let log = SharedLog::new();
    let (hub, _) = node(&log);
    let old = publish_numbers(&hub, 20).await;
    log.trim(5);
    let late = Hub::builder().build_on(log.node());
    let snapshot = || async { Ok(Snapshot::new([Event::new("state")])) };
    let resume = Resume::new().with_last_event_id(&old[2].id);
    let subscribe = late.subscribe(["a"]).snapshot(snapshot).resume(resume);
    let mut client = Client::of(subscribe.retry(None).open().unwrap(), Some(&old[2].id));
    assert_eq!(client.status().await["reason"], "trimmed");
    assert_eq!(client.read(1).await[0].data(), "state");
    let next = publish(&hub, "a", "next").await;
    client.read_to(&next.id).await;
    assert!(client.messages().iter().all(|message| message.data() != "2"));
}

#[tokio::test]
async fn a_fresh_client_gets_its_snapshot_even_from_a_late_node() {
    let log = SharedLog::new();
    let (hub, _) = node(&log);
    publish_numbers(&hub, 20).await;
    let link = log.node();
    link.hold();
    let late = Hub::builder().build_on(link);
    for hub in [&hub, &late] {
        let snapshot = || async { Ok(Snapshot::new([Event::new("state")])) };
        let subscribe = hub.subscribe(["a"]).snapshot(snapshot).retry(None);
        let mut client = Client::of(subscribe.open().unwrap(), None);
        assert_eq!(client.status().await["status"], "fresh");
        assert_eq!(client.read(1).await[0].data(), "state");
    }
}

#[tokio::test]
async fn nodes_know_each_other_and_close_each_others_clients() {
    let log = SharedLog::new();
    let clock = ManualClock::new();
    let links = [log.node(), log.node(), log.node()];
    let hubs = links.clone().map(|node| Hub::builder().clock(clock.clock()).build_on(node));
    let tick = || clock.advance(Duration::from_secs(1));
    eventually("all know all", || {
        tick();
        hubs.iter().all(|hub| hub.cluster().nodes().len() == 3)
    })
    .await;
    let streams = [(0, "ada"), (1, "ada"), (2, "ada"), (2, "bob")]
        .map(|(hub, name)| hubs[hub].subscribe(["a"]).principal(name).open().unwrap());
    eventually("all are counted", || {
        tick();
        hubs.iter().all(|hub| hub.cluster().count() == 4)
    })
    .await;
    let ask = |ask: tidings::cluster::Ask| within("an answer", ask);
    let topic = Topic::new("a").unwrap();
    assert_eq!(ask(hubs[1].cluster().count_of_topic(&topic)).await.total, 4);
    assert_eq!(ask(hubs[1].cluster().count_of_principal("ada")).await.total, 3);
    let answer = ask(hubs[0].cluster().close(streams[3].client_id())).await;
    assert_eq!((answer.total, answer.silent.len()), (1, 0));
    let nobody: ClientId = "0000000000000000".parse().unwrap();
    assert_eq!(ask(hubs[0].cluster().close(nobody)).await.total, 0);

    // One node hears nothing. The answer names it, and does not wait for it longer than necessary.
    links[2].cut();
    let mut closing = pin!(ask(hubs[0].cluster().close_principal("ada")));
    let mut answer = None;
    eventually("two answer", || {
        answer = closing.as_mut().now_or_never();
        tick();
        answer.is_some()
    })
    .await;
    let answer = answer.unwrap();
    assert_eq!(answer.total, 2);
    let third = hubs[2].cluster().nodes()[0].id;
    assert_eq!(answer.silent, [third]);
    for _ in 0..6 {
        tick();
    }
    let nodes = hubs[0].cluster().nodes();
    let lost: Vec<_> = nodes.iter().filter(|node| node.is_lost).map(|node| node.id).collect();
    assert_eq!(lost, [third]);
    let answer = ask(hubs[0].cluster().count_of_principal("ada")).await;
    assert_eq!((answer.total, answer.silent), (2, vec![third]));
    links[2].mend();
    eventually("it is back", || {
        tick();
        hubs[0].cluster().nodes().iter().all(|node| !node.is_lost)
    })
    .await;

    // A node that leaves says so.
    let [one, two, three] = hubs;
    drop(three);
    assert_eq!(one.cluster().nodes().len(), 2);
    assert_eq!(two.cluster().nodes().len(), 2);
}

#[tokio::test]
async fn ephemeral_events_reach_all_nodes() {
    let log = SharedLog::new();
    let (one, _) = node(&log);
    let (other, _) = node(&log);
    let mut client = Client::expect(&other, &["chat"], None, "fresh").await;
    let typing = Event::named("typing", "ada").unwrap();
    one.publish_ephemeral("chat", Event::comment("a comment").unwrap()).unwrap();
    assert_eq!(one.publish_ephemeral("chat", typing).unwrap(), 0);
    let id = client.last_event_id().to_owned();
    let message = &client.read(1).await[0];
    assert_eq!((message.event(), message.data()), ("typing", "ada"));
    assert_eq!(client.last_event_id(), id);
    assert!(String::from_utf8_lossy(client.raw()).contains(": a comment\n\n"));
    assert!(log.is_empty());
}

#[tokio::test]
async fn a_hub_in_memory_is_a_cluster_of_one_node() {
    let hub = Hub::new();
    let stream = hub.subscribe(["a"]).principal("ada").open().unwrap();
    assert_eq!(hub.cluster().nodes().len(), 1);
    assert_eq!(hub.cluster().count(), 1);
    let answer = within("an answer", hub.cluster().close_principal("ada")).await;
    assert_eq!((answer.total, answer.silent.len()), (1, 0));
    drop(stream);
}

#[tokio::test]
async fn publications_can_be_awaited_on_any_thread() {
    let log = SharedLog::new();
    let (hub, _) = node(&log);
    let publish = hub.publish("a", Event::new("x"));
    // No async code, while the log answers from its own thread.
    let published = std::thread::spawn(move || publish.wait()).join().unwrap().unwrap();
    assert!(!published.is_duplicate());
    let publish = tokio::spawn(hub.publish("a", Event::new("y")).into_future());
    assert!(!within("an acknowledgement", publish).await.unwrap().unwrap().is_duplicate());
}

#[tokio::test]
async fn an_overrun_of_a_client_without_status_does_not_go_back_before_its_position() {
    let log = SharedLog::new();
    let (one, _) = node(&log);
    let link = log.node();
    let hub = forgetful().build_on(link.clone());
    publish_numbers(&hub, 5).await;
    link.hold();
    let ahead = publish(&one, "a", "ahead").await;
    let resume = Resume::new().with_last_event_id(&ahead.id);
    let subscribe = hub.subscribe(["a"]).status(false).resume(resume).retry(None);
    let mut client = Client::of(subscribe.open().unwrap(), Some(&ahead.id));
    assert!(client.next().now_or_never().is_none());
    link.release();
    // The node reaches the client's position, after which there is nothing to read yet.
    publish(&hub, "b", "elsewhere").await;
    assert!(client.next().now_or_never().is_none());
    let more = publish_numbers(&hub, 200).await;
    client.read_to(&more[199].id).await;
    assert_eq!(ids(&client), ids_of(&more));
}
