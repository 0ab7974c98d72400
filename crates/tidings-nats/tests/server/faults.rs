//! Streams and publications while servers and links fail.

use std::collections::HashMap;
use std::time::Duration;

use tidings::backend::{LogError, LogErrorKind};
use tidings::{Event, Hub, error::PublishError};
use tidings_nats::{NatsLog, NatsLogBuilder};
use tidings_testkit::checker::check;
use tidings_testkit::limit::within;
use tidings_testkit::log::{Client, publish, publish_all};
use tidings_testkit::proxy::Passing;
use tokio::time::sleep;

use crate::audience::{Audience, ROOMS, publish_rooms};
use crate::{client_of, hub_at, is_ready, node, position, proxy, server};

fn settings() -> NatsLogBuilder {
    NatsLog::builder().append_timeout(Duration::from_secs(8))
}

/// A node that receives everything, and a selective one.
async fn nodes(url: &str, builder: impl Fn() -> NatsLogBuilder) -> (Hub, Hub) {
    (hub_at(url, builder()).await, hub_at(url, builder().selective(true)).await)
}

fn kind(error: &PublishError) -> Option<LogErrorKind> {
    let source = std::error::Error::source(error)?;
    Some(source.downcast_ref::<LogError>()?.kind())
}

#[tokio::test]
async fn streams_outlive_a_server_that_is_killed() {
    let Some(mut server) = server().await else { return };
    let builder = || settings().append_timeout(Duration::from_millis(500));
    let (whole, selective) = nodes(&server.url(), builder).await;
    let audiences = [Audience::of(&whole).await, Audience::of(&selective).await];
    let mut published = Vec::new();
    for round in 0..3 {
        published.extend(publish_rooms(&whole, &format!("{round}, before")).await);
        server.kill().await;
        is_ready(&whole, false).await;
        is_ready(&selective, false).await;
        let lost = within("an error", whole.publish("c", Event::new("lost"))).await.unwrap_err();
        assert_eq!(kind(&lost), Some(LogErrorKind::Unavailable), "{lost}");
        server.restart().await;
        is_ready(&whole, true).await;
        published.extend(publish_rooms(&whole, &format!("{round}, after")).await);
    }
    for audience in audiences {
        audience.check(&published).await;
    }
}

#[tokio::test]
async fn events_that_are_published_without_a_link_are_stored_in_order_when_it_is_back() {
    let Some(mut server) = server().await else { return };
    let hub = hub_at(&server.url(), settings()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    is_ready(&hub, true).await;
    server.kill().await;
    is_ready(&hub, false).await;
    let publishing = publish_all(&hub, (0..200).map(|n| ("a", n.to_string())));
    let (published, ()) = tokio::join!(publishing, server.restart());
    client.read(200).await;
    let summary = check(&published, &["a"], &[client.leave()]).expect("all as promised");
    assert_eq!((summary.events, summary.resets), (200, 0));
}

/// Publishes each number once, whatever fails in between. Returns the ids of those that were acknowledged, by number.
async fn publish_numbers(hub: Hub, count: usize) -> HashMap<usize, String> {
    let mut acknowledged = HashMap::new();
    for burst in (0..count).step_by(20) {
        let publishes: Vec<_> =
            (burst..burst + 20).map(|n| (n, hub.publish("a", Event::new(n.to_string())))).collect();
        for (n, publish) in publishes {
            if let Ok(published) = within("an outcome", publish).await {
                acknowledged.insert(n, published.id().as_str().to_owned());
            }
        }
    }
    acknowledged
}

/// The client has received each number at most once, in the order in which they were published, and all that were
/// acknowledged under their ids.
fn check_numbers(client: Client, acknowledged: &HashMap<usize, String>) {
    let messages = client.leave().messages;
    let events = messages.iter().filter(|message| message.event() == "message");
    let (mut last, mut seen) = (0, HashMap::new());
    for message in events {
        let number: usize = message.data().parse().expect("a number");
        let at = position(message.last_event_id());
        assert!(at > last, "{number} is at {at}, after {last}");
        last = at;
        let before = seen.insert(number, message.last_event_id().to_owned());
        assert_eq!(before, None, "{number} came twice");
    }
    for (number, id) in acknowledged {
        assert_eq!(seen.get(number), Some(id), "{number} was acknowledged");
    }
    let resets = messages.iter().filter(|message| message.data().contains("reset")).count();
    assert_eq!(resets, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_a_server_is_killed_under_load() {
    let Some(mut server) = server().await else { return };
    let hub = hub_at(&server.url(), settings()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let publishing = tokio::spawn(publish_numbers(hub.clone(), 20_000));
    for _ in 0..3 {
        client.read(500).await;
        server.kill().await;
        server.restart().await;
    }
    let acknowledged = read_while(&mut client, publishing).await;
    let last = publish(&hub, "a", "1000000").await;
    client.read_to(&last.id).await;
    assert!(acknowledged.len() > 1_000, "{}", acknowledged.len());
    check_numbers(client, &acknowledged);
}

async fn read_while<T>(client: &mut Client, task: tokio::task::JoinHandle<T>) -> T {
    tokio::pin!(task);
    loop {
        tokio::select! {
            outcome = &mut task => return outcome.expect("it does not panic"),
            message = client.next() => { message.expect("the stream goes on"); }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_connections_break_under_load() {
    let Some(server) = server().await else { return };
    let (proxy, url) = proxy(&server).await;
    let hub = hub_at(&url, settings()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let publishing = tokio::spawn(publish_numbers(hub.clone(), 20_000));
    for _ in 0..10 {
        client.read(300).await;
        proxy.reset();
    }
    let acknowledged = read_while(&mut client, publishing).await;
    let last = publish(&hub, "a", "1000000").await;
    client.read_to(&last.id).await;
    assert!(acknowledged.len() > 15_000, "{}", acknowledged.len());
    check_numbers(client, &acknowledged);
}

#[tokio::test]
async fn a_link_that_is_cut_is_noticed_and_what_was_missed_comes() {
    let Some(server) = server().await else { return };
    for passing in [Passing::Neither, Passing::ToClient, Passing::ToServer] {
        let (proxy, url) = proxy(&server).await;
        let (whole, selective) = nodes(&url, settings).await;
        let other = node(&server).await;
        let audiences = [Audience::of(&whole).await, Audience::of(&selective).await];
        let mut published = publish_rooms(&other, "before").await;
        proxy.pass(passing);
        published.extend(publish_rooms(&other, "meanwhile").await);
        for hub in [&whole, &selective] {
            is_ready(hub, false).await;
        }
        proxy.pass(Passing::Both);
        published.extend(publish_rooms(&other, "after").await);
        for audience in audiences {
            audience.check(&published).await;
        }
        for hub in [&whole, &selective] {
            is_ready(hub, true).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_missed_while_connections_break() {
    let Some(server) = server().await else { return };
    let (proxy, url) = proxy(&server).await;
    let (whole, selective) = nodes(&url, settings).await;
    let other = node(&server).await;
    let audiences = [Audience::of(&whole).await, Audience::of(&selective).await];
    let mut published = Vec::new();
    for round in 0..10 {
        proxy.reset();
        published.extend(publish_rooms(&other, &round.to_string()).await);
    }
    for audience in audiences {
        audience.check(&published).await;
    }
}

#[tokio::test]
async fn a_server_that_is_stopped_is_noticed() {
    let Some(server) = server().await else { return };
    let hub = hub_at(&server.url(), settings()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    server.pause();
    is_ready(&hub, false).await;
    server.resume();
    is_ready(&hub, true).await;
    let event = publish(&hub, "a", "x").await;
    client.read_to(&event.id).await;
    assert!(!client.messages().iter().any(|message| message.data().contains("reset")));
}

#[tokio::test]
async fn a_server_that_lost_everything_resets_the_clients() {
    let Some(mut server) = server().await else { return };
    let (whole, selective) = nodes(&server.url(), settings).await;
    let mut audiences = [Audience::of(&whole).await, Audience::of(&selective).await];
    let published = publish_rooms(&whole, "lost").await;
    for audience in &mut audiences {
        audience.read(&published).await;
    }
    server.kill().await;
    server.wipe();
    server.restart().await;
    for audience in &mut audiences {
        audience.expect_reset("unknown").await;
    }
    let published = publish_rooms(&whole, "new").await;
    for audience in &mut audiences {
        audience.read(&published).await;
    }
    // One history for both.
    let event = publish(&selective, "a.1", "after").await;
    Client::expect(&whole, &["a.1"], Some(&event.id), "resumed").await;
}

/// A marker of another node may be the first message of a new stream. When the next one takes its place the
/// stream begins later, and yet nothing that anybody should have seen is gone.
#[tokio::test]
async fn a_marker_that_goes_from_the_beginning_of_a_new_history_is_not_a_loss() {
    let Some(mut server) = server().await else { return };
    let (proxy, url) = proxy(&server).await;
    let hub = hub_at(&url, settings()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let stream =
        async_nats::jetstream::new(client_of(&server).await).get_stream("TIDINGS").await.unwrap();
    let config = stream.cached_info().config.clone();
    // Which of the node's own markers comes first is left to chance.
    for _ in 0..5 {
        let event = publish(&hub, "a", "x").await;
        assert_eq!(client.read(1).await[0].last_event_id(), event.id);
        proxy.pass(Passing::Neither);
        proxy.reset();
        server.kill().await;
        server.wipe();
        server.restart().await;
        let jetstream = async_nats::jetstream::new(client_of(&server).await);
        jetstream.create_stream(config.clone()).await.unwrap();
        let mut rollup = async_nats::HeaderMap::new();
        rollup.insert("Nats-Rollup", "sub");
        let marker = jetstream.publish_with_headers("tidings.$sync", rollup, "other 1".into());
        marker.await.unwrap().await.unwrap();
        jetstream.publish("tidings.$begin", "".into()).await.unwrap().await.unwrap();
        proxy.pass(Passing::Both);
        assert_eq!(client.status().await["reason"], "unknown");
    }
    let event = publish(&hub, "a", "the last").await;
    assert_eq!(client.read(1).await[0].last_event_id(), event.id);
}

#[tokio::test]
async fn a_server_that_went_back_resets_the_clients() {
    let Some(mut server) = server().await else { return };
    let hub = hub_at(&server.url(), settings()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    publish_all(&hub, (0..50).map(|n| ("a", n.to_string()))).await;
    client.read(50).await;
    server.kill().await;
    let copy = server.copy();
    server.restart().await;
    is_ready(&hub, true).await;
    publish_all(&hub, (0..50).map(|n| ("a", n.to_string()))).await;
    client.read(50).await;
    server.kill().await;
    server.put_back(copy);
    server.restart().await;
    is_ready(&hub, true).await;
    assert_eq!(client.status().await["reason"], "unknown");
    let event = publish(&hub, "a", "new").await;
    client.read_to(&event.id).await;
}

#[tokio::test]
async fn clients_are_reset_when_what_they_missed_was_trimmed() {
    let Some(server) = server().await else { return };
    let (proxy, url) = proxy(&server).await;
    let (whole, selective) = nodes(&url, || settings().max_events(50)).await;
    let other = node(&server).await;
    let mut audiences = [Audience::of(&whole).await, Audience::of(&selective).await];
    let before = publish_all(&other, ROOMS.map(|topic| (topic, "before".to_owned()))).await;
    for audience in &mut audiences {
        audience.read(&before).await;
    }
    proxy.pass(Passing::Neither);
    publish_rooms(&other, "missed").await;
    for hub in [&whole, &selective] {
        is_ready(hub, false).await;
    }
    // Otherwise what was held back would come.
    proxy.reset();
    proxy.pass(Passing::Both);
    for audience in &mut audiences {
        audience.expect_reset("trimmed").await;
    }
    let published = publish_rooms(&other, "after").await;
    for audience in &mut audiences {
        audience.read(&published).await;
    }
}

#[tokio::test]
async fn a_client_of_a_quiet_topic_is_not_reset_by_markers() {
    let Some(server) = server().await else { return };
    let (proxy, url) = proxy(&server).await;
    let cut = hub_at(&url, settings()).await;
    let whole = hub_at(&server.url(), settings()).await;
    let mut client = Client::expect(&cut, &["quiet"], None, "fresh").await;
    proxy.pass(Passing::Neither);
    for n in 0..20 {
        // Each subscription to a new topic needs a marker.
        Client::expect(&whole, &[&format!("t{n}")], None, "fresh").await;
    }
    is_ready(&cut, false).await;
    proxy.pass(Passing::Both);
    let event = publish(&whole, "quiet", "x").await;
    client.read_to(&event.id).await;
    assert!(!client.messages().iter().any(|message| message.data().contains("reset")));
}

#[tokio::test]
async fn an_idle_cluster_writes_nothing() {
    let Some(server) = server().await else { return };
    let one = hub_at(&server.url(), settings()).await;
    let two = hub_at(&server.url(), settings()).await;
    let _client = Client::expect(&one, &["a"], None, "fresh").await;
    for hub in [&one, &two] {
        is_ready(hub, true).await;
    }
    let stream =
        async_nats::jetstream::new(client_of(&server).await).get_stream("TIDINGS").await.unwrap();
    let last = stream.get_info().await.unwrap().state.last_sequence;
    // Nothing must happen, which only time can show.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(stream.get_info().await.unwrap().state.last_sequence, last);
    for hub in [&one, &two] {
        assert!(hub.health().is_ready());
    }
}
