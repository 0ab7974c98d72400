//! What a hub does when its log fails.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;
use tidings::backend::LogErrorKind;
use tidings::{
    ClientId, Event, Hub, Link, ManualClock, PublishErrorKind, Resume, Retention, Topic,
};
use tidings_testkit::limit::within;
use tidings_testkit::log::{Client, publish, publish_all};
use tidings_testkit::shared_log::{SharedLog, SharedNode};

fn node(log: &SharedLog) -> (Hub, SharedNode) {
    let node = log.node();
    (Hub::builder().build_on(node.clone()), node)
}

/// Waits for what nobody announces.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    within(what, looking).await;
}

fn ids(client: &Client) -> Vec<&str> {
    client.messages().iter().map(|message| message.last_event_id()).collect()
}

#[tokio::test]
async fn streams_stay_open_while_the_link_is_down_and_go_on_when_it_is_back() {
    let log = SharedLog::new();
    let (one, link) = node(&log);
    let (other, _) = node(&log);
    let mut client = Client::expect(&one, &["a"], None, "fresh").await;
    link.cut();
    until("the link is down", || matches!(one.health().link, Link::Down { .. })).await;
    let error = within("an answer", one.publish("a", Event::new("x"))).await.unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::Log);
    assert_eq!(error.log_error().unwrap().kind(), LogErrorKind::Unavailable);
    assert_eq!(error.to_string(), "shared log: link is down");
    let missed = publish_all(&other, (0..20).map(|n| ("a", n.to_string()))).await;
    assert_eq!(client.messages().len(), 1);
    link.mend();
    client.read(20).await;
    let published: Vec<_> = missed.iter().map(|entry| &*entry.id).collect();
    assert_eq!(ids(&client)[1..], published);
}

#[tokio::test]
async fn health_tells_why_a_hub_is_not_ready() {
    let log = SharedLog::new();
    let link = log.node();
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(clock.clock()).build_on(link.clone());
    until("the hub is ready", || hub.health().is_ready()).await;
    assert_eq!(hub.health().to_string(), "ready");
    link.hold();
    // Until what was being delivered is, it may still say that it has everything.
    until("the hub lags", || {
        clock.advance(Duration::from_secs(6));
        !hub.health().is_ready()
    })
    .await;
    let health = hub.health().to_string();
    assert!(health.starts_with("log lags by ") && health.ends_with(" s"), "{health}");
    assert!(hub.metrics().to_string().contains("\ntidings_ready 0\n"));
    link.release();
    until("the hub is ready", || hub.health().is_ready()).await;
    link.cut();
    until("the link is down", || !hub.health().is_ready()).await;
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
    let client = Client::expect(&other, &["a"], Some(&entry.id), "resumed");
    let mut client = std::pin::pin!(client);
    // The log knows the place, the node does not: nothing is said before it does.
    for _ in 0..100 {
        assert!(client.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    link.release();
    let mut client = client.await;
    let third = publish(&one, "a", "third").await;
    client.read(1).await;
    assert_eq!(ids(&client), [&*entry.id, &third.id]);
}

#[tokio::test]
async fn a_client_that_is_ahead_in_a_cut_off_node_is_not_reset() {
    let log = SharedLog::new();
    let (one, _) = node(&log);
    let (other, link) = node(&log);
    publish(&other, "a", "first").await;
    link.cut();
    let entry = publish(&one, "a", "second").await;
    let client = Client::expect(&other, &["a"], Some(&entry.id), "resumed");
    let mut client = std::pin::pin!(client);
    for _ in 0..100 {
        assert!(client.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    link.mend();
    client.await;
}

#[tokio::test]
async fn what_was_trimmed_while_the_link_was_down_is_a_reset() {
    let log = SharedLog::new();
    let (one, link) = node(&log);
    let (other, _) = node(&log);
    let mut client = Client::expect(&one, &["a"], None, "fresh").await;
    let mut quiet = Client::expect(&one, &["quiet"], None, "fresh").await;
    let entry = publish(&other, "a", "seen").await;
    client.read(1).await;
    link.cut();
    publish_all(&other, (0..20).map(|n| ("a", n.to_string()))).await;
    log.trim(5);
    link.mend();
    let status = client.status().await;
    assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &"trimmed".into()));
    let last = publish(&other, "a", "last").await;
    client.read_to(&last.id).await;
    assert_eq!(ids(&client)[1], entry.id);
    // Whether something of its topics was among it, nobody can say any more.
    assert_eq!(quiet.status().await["status"], "reset");
}

#[tokio::test]
async fn another_history_resets_all_who_are_connected() {
    let log = SharedLog::new();
    let (one, _) = node(&log);
    let selecting = log.selective_node();
    let other = Hub::builder().build_on(selecting);
    let old = publish_all(&one, (0..20).map(|n| ("a", n.to_string()))).await;
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
    let new = publish_all(&one, (0..20).map(|n| ("a", n.to_string()))).await;
    for client in &mut clients {
        client.read_to(&new[19].id).await;
        let seen = ids(client);
        let published: Vec<_> = new.iter().map(|entry| &*entry.id).collect();
        assert_eq!(seen[seen.len() - 20..], published);
    }
    // Positions of both histories overlap; that they are not the same is in the id.
    Client::expect(&other, &["a"], Some(&old[19].id), "unknown").await;
    Client::expect(&other, &["a"], Some(&new[4].id), "resumed").await;
}

#[tokio::test]
async fn a_slow_client_of_a_small_hub_is_caught_up_while_the_log_grows() {
    let log = SharedLog::new();
    let little = Hub::builder().retention(Retention::none()).max_retained_bytes(2_000);
    let hub = little.build_on(log.node());
    let mut client = Client::expect(&hub, &["a", "b"], None, "fresh").await;
    let mut published = Vec::new();
    for round in 0..20 {
        let events = (0..50).map(|n| (["a", "b", "c"][n % 3], "x".repeat(n * round)));
        published.extend(publish_all(&hub, events).await);
        client.read(7).await;
    }
    client.read_to(&published.last().unwrap().id).await;
    let expected = published.iter().filter(|entry| entry.topic != "c");
    assert_eq!(ids(&client)[1..], expected.map(|entry| &*entry.id).collect::<Vec<_>>());
    assert!(hub.metrics().log_reads > 0);
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_what_the_log_has_lost() {
    let log = SharedLog::new();
    let (hub, _) = node(&log);
    let old = publish_all(&hub, (0..20).map(|n| ("a", n.to_string()))).await;
    let late = Hub::builder().build_on({
        log.trim(5);
        log.node()
    });
    let snapshot = || async { Ok(tidings::Snapshot::new([Event::new("state")])) };
    let resume = Resume::new().with_last_event_id(&old[2].id);
    let subscribe = late.subscribe(["a"]).snapshot(snapshot).resume(resume);
    let mut client = Client::of(subscribe.retry(None).open().unwrap(), Some(&old[2].id));
    assert_eq!(client.status().await["reason"], "trimmed");
    let messages = client.read(1).await;
    assert_eq!(messages[0].data(), "state");
    let next = publish(&hub, "a", "next").await;
    client.read_to(&next.id).await;
    assert!(client.messages().iter().all(|message| message.data() != "2"));
}

#[tokio::test]
async fn a_fresh_client_gets_its_snapshot_whether_the_node_is_behind_or_not() {
    let log = SharedLog::new();
    let (hub, _) = node(&log);
    publish_all(&hub, (0..20).map(|n| ("a", n.to_string()))).await;
    let link = log.node();
    link.hold();
    let late = Hub::builder().build_on(link);
    for hub in [&hub, &late] {
        let snapshot = || async { Ok(tidings::Snapshot::new([Event::new("state")])) };
        let subscribe = hub.subscribe(["a"]).snapshot(snapshot).retry(None);
        let mut client = Client::of(subscribe.open().unwrap(), None);
        assert_eq!(client.status().await["status"], "fresh");
        assert_eq!(client.read(1).await[0].data(), "state");
    }
}

#[tokio::test]
async fn nodes_know_each_other_and_act_on_each_others_clients() {
    let log = SharedLog::new();
    let clock = ManualClock::new();
    let build = |node: SharedNode| Hub::builder().clock(clock.clock()).build_on(node);
    let links = [log.node(), log.node(), log.node()];
    let hubs = links.clone().map(build);
    let tick = || clock.advance(Duration::from_secs(1));
    until("all know all", || {
        tick();
        hubs.iter().all(|hub| hub.cluster().nodes().len() == 3)
    })
    .await;
    let open =
        |hub: &Hub, principal: &str| hub.subscribe(["a"]).principal(principal).open().unwrap();
    let streams = [
        open(&hubs[0], "ada"),
        open(&hubs[1], "ada"),
        open(&hubs[2], "ada"),
        open(&hubs[2], "bob"),
    ];
    until("all are counted", || {
        tick();
        hubs.iter().all(|hub| hub.cluster().count() == 4)
    })
    .await;
    let ask = |ask: tidings::Ask| within("an answer", ask);
    let topic = Topic::new("a").unwrap();
    assert_eq!(ask(hubs[1].cluster().count_of_topic(&topic)).await.total, 4);
    assert_eq!(ask(hubs[1].cluster().count_of_principal("ada")).await.total, 3);
    let answer = ask(hubs[0].cluster().close(streams[3].client_id())).await;
    assert_eq!((answer.total, answer.silent.len()), (1, 0));
    let nobody: ClientId = "0000000000000000".parse().unwrap();
    assert_eq!(ask(hubs[0].cluster().close(nobody)).await.total, 0);

    // One of them hears nothing: that is said, and not waited for longer than needed.
    links[2].cut();
    let closing = hubs[0].cluster().close_principal("ada");
    let mut closing = std::pin::pin!(ask(closing));
    let answer = loop {
        match closing.as_mut().now_or_never() {
            Some(answer) => break answer,
            None => tick(),
        }
    };
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
    until("it is back", || {
        tick();
        hubs[0].cluster().nodes().iter().all(|node| !node.is_lost)
    })
    .await;

    // One that leaves says so.
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
    one.publish_ephemeral("chat", Event::comment("still here").unwrap()).unwrap();
    assert_eq!(one.publish_ephemeral("chat", typing).unwrap(), 0);
    let id = client.last_event_id().to_owned();
    let message = &client.read(1).await[0];
    assert_eq!((message.event(), message.data()), ("typing", "ada"));
    assert_eq!(client.last_event_id(), id);
    assert!(String::from_utf8_lossy(client.raw()).contains(": still here\n\n"));
    assert!(log.is_empty());
}

#[tokio::test]
async fn a_hub_in_memory_is_a_cluster_of_itself() {
    let hub = Hub::new();
    let stream = hub.subscribe(["a"]).principal("ada").open().unwrap();
    assert_eq!(hub.cluster().nodes().len(), 1);
    assert_eq!(hub.cluster().count(), 1);
    let answer = within("an answer", hub.cluster().close_principal("ada")).await;
    assert_eq!((answer.total, answer.silent.len()), (1, 0));
    drop(stream);
}

fn assert_send<T: Send>(_: &T) {}

#[tokio::test]
async fn publications_can_be_awaited_on_any_thread() {
    let log = SharedLog::new();
    let (hub, _) = node(&log);
    let publish = hub.publish("a", Event::new("x"));
    assert_send(&publish);
    // Not async code, and the log answers from a thread of its own.
    let published = std::thread::spawn(move || publish.wait()).join().unwrap().unwrap();
    assert!(!published.is_duplicate());
    let _: &dyn Future<Output = _> = &hub.publish("a", Event::new("y"));
}

#[tokio::test]
async fn a_page_of_another_history_is_not_sent() {
    let log = SharedLog::new();
    let link = log.node();
    let little = Hub::builder().retention(Retention::none()).max_retained_bytes(2_000);
    let hub = little.build_on(link.clone());
    let old = publish_all(&hub, (0..50).map(|n| ("a", n.to_string()))).await;
    // It does not know yet that the log's history is another one, and reads from that.
    link.hold();
    log.wipe();
    let (other, _) = node(&log);
    let new = publish_all(&other, (0..60).map(|n| ("a", n.to_string()))).await;
    let client = Client::expect(&hub, &["a"], Some(&old[2].id), "unknown");
    let mut client = std::pin::pin!(client);
    for _ in 0..100 {
        assert!(client.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    link.release();
    client.await.read_to(&new[59].id).await;
}

#[tokio::test]
async fn a_client_without_status_that_has_seen_nothing_falls_off_behind_its_place() {
    let log = SharedLog::new();
    let (one, _) = node(&log);
    let link = log.node();
    let little = Hub::builder().retention(Retention::none()).max_retained_bytes(2_000);
    let hub = little.build_on(link.clone());
    publish_all(&hub, (0..5).map(|n| ("a", n.to_string()))).await;
    link.hold();
    let ahead = publish(&one, "a", "ahead").await;
    let resume = Resume::new().with_last_event_id(&ahead.id);
    let subscribe = hub.subscribe(["a"]).status(false).resume(resume).retry(None);
    let mut client = Client::of(subscribe.open().unwrap(), Some(&ahead.id));
    assert!(client.next().now_or_never().is_none());
    link.release();
    // It arrives, and has nothing to read yet.
    publish(&hub, "b", "elsewhere").await;
    assert!(client.next().now_or_never().is_none());
    let more = publish_all(&hub, (0..200).map(|n| ("a", n.to_string()))).await;
    client.read_to(&more[199].id).await;
    assert_eq!(ids(&client), more.iter().map(|entry| &*entry.id).collect::<Vec<_>>());
}
