//! What happens to clients when something happens to the server, or to the link to it.

use std::net::SocketAddr;

use tidings::backend::{LogError, LogErrorKind};
use tidings::{Event, Hub, Link, error::PublishError};
use tidings_redis::RedisLog;
use tidings_testkit::guarded::copy_folder;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::Client;
use tidings_testkit::proxy::{Passing, Proxy};
use tidings_testkit::redis::Server;

use super::{epoch, id_of, node, publish, server, server_with};

/// The kind of error that the log answered with.
fn log_error(error: &PublishError) -> LogErrorKind {
    let source = std::error::Error::source(error).expect("the log's error");
    source.downcast_ref::<LogError>().expect("an error of the log").kind()
}

pub(super) async fn proxy(server: &Server) -> (Proxy, String) {
    let addr = SocketAddr::from(([127, 0, 0, 1], server.port()));
    let proxy = Proxy::start(addr).await.expect("a port");
    let url = format!("redis://{}/", proxy.addr());
    (proxy, url)
}

async fn expect_reset(client: &mut Client, reason: &str) {
    loop {
        let message = client.next().await.expect("the stream goes on");
        if message.event() == tidings::STATUS_EVENT {
            assert!(message.data().contains(&format!(r#""reason":"{reason}""#)), "{message:?}");
            return;
        }
    }
}

#[tokio::test]
async fn a_server_that_comes_back_with_its_data_resets_no_client() {
    let Some(mut server) = server().await else { return };
    let hubs = [node(&server.url()).await, node(&server.url()).await];
    let mut clients = Vec::new();
    for hub in &hubs {
        clients.push(Client::expect(hub, &["a"], None, "fresh").await);
    }
    let mut ids = vec![id_of(&hubs[0], "a", "one").await];
    for round in 0..3 {
        eventually("nodes that are ready", || hubs.iter().all(|hub| hub.health().is_ready())).await;
        server.kill().await;
        eventually("a link that is down", || hubs.iter().all(|hub| !hub.health().is_ready())).await;
        server.start_again().await;
        // Waits for the link.
        ids.push(id_of(&hubs[round % 2], "a", "more").await);
    }
    for client in &mut clients {
        let seen: Vec<_> = client.read(4).await.iter().map(|m| m.last_event_id()).collect();
        assert_eq!(seen, ids);
    }
    eventually("nodes that are ready", || hubs.iter().all(|hub| hub.health().is_ready())).await;
}

#[tokio::test]
async fn a_server_that_lost_everything_has_another_history_the_same_for_all_nodes() {
    let Some(mut server) = server().await else { return };
    let hubs = [node(&server.url()).await, node(&server.url()).await, node(&server.url()).await];
    let mut clients = Vec::new();
    for hub in &hubs {
        clients.push(Client::expect(hub, &["a"], None, "fresh").await);
    }
    let before = id_of(&hubs[0], "a", "one").await;
    for client in &mut clients {
        client.read(1).await;
    }
    server.kill().await;
    server.wipe();
    server.start_again().await;
    for client in &mut clients {
        expect_reset(client, "unknown").await;
    }
    let after = id_of(&hubs[1], "a", "two").await;
    assert_ne!(epoch(&before), epoch(&after));
    for client in &mut clients {
        client.read_to(&after).await;
    }
    for hub in &hubs {
        Client::expect(hub, &["a"], Some(&before), "unknown").await;
        Client::expect(hub, &["a"], Some(&after), "resumed").await;
    }
}

/// A server is put back to the state before the last event, and then receives `others` events, while a node is cut
/// off.
async fn restored(others: usize) {
    let Some(mut server) = server().await else { return };
    let (proxy, url) = proxy(&server).await;
    let hub = node(&url).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let kept = id_of(&hub, "a", "kept").await;
    let copied = server.folder().with_extension("copy");
    copy_folder(server.folder(), &copied);
    let lost = id_of(&hub, "a", "lost").await;
    client.read_to(&lost).await;

    proxy.pass(Passing::Neither);
    proxy.reset();
    server.kill().await;
    server.wipe();
    copy_folder(&copied, server.folder());
    std::fs::remove_dir_all(&copied).expect("it is ours");
    server.start_again().await;
    for n in 0..others {
        server.cli(&["XADD", "{tidings}:log", "*", "topic", "a", "data", &n.to_string()]).await;
    }
    proxy.pass(Passing::Both);
    proxy.reset();

    expect_reset(&mut client, "unknown").await;
    let after = id_of(&hub, "a", "after").await;
    client.read_to(&after).await;
    assert_ne!(epoch(&kept), epoch(&after));
    Client::expect(&hub, &["a"], Some(&lost), "unknown").await;
}

#[tokio::test]
async fn a_server_that_lost_its_newest_events_is_another_history() {
    restored(0).await;
}

#[tokio::test]
async fn lost_events_are_noticed_when_others_are_in_their_place() {
    restored(20).await;
}

#[tokio::test]
async fn a_stream_that_was_deleted_and_filled_again_is_another_history() {
    let Some(server) = server().await else { return };
    let hub = node(&server.url()).await;
    let before = id_of(&hub, "a", "one").await;
    let mut client = Client::expect(&hub, &["a"], Some(&before), "resumed").await;
    server.cli(&["DEL", "{tidings}:log"]).await;
    server.cli(&["XADD", "{tidings}:log", "*", "topic", "a", "data", "two"]).await;
    expect_reset(&mut client, "unknown").await;
    let after = id_of(&hub, "a", "three").await;
    assert_ne!(epoch(&before), epoch(&after));
}

#[tokio::test]
async fn trimming_past_a_node_that_was_cut_off_resets_its_clients() {
    let Some(server) = server().await else { return };
    let (proxy, url) = proxy(&server).await;
    let (cut_off, other) = (node(&url).await, node(&server.url()).await);
    let before = id_of(&other, "a", "one").await;
    let mut client = Client::expect(&cut_off, &["a"], Some(&before), "resumed").await;
    proxy.pass(Passing::Neither);
    proxy.reset();
    for _ in 0..5 {
        id_of(&other, "a", "missed").await;
    }
    server.cli(&["XTRIM", "{tidings}:log", "MAXLEN", "2"]).await;
    proxy.pass(Passing::Both);
    proxy.reset();
    expect_reset(&mut client, "trimmed").await;
    let after = id_of(&other, "a", "after").await;
    client.read_to(&after).await;
    assert_eq!(epoch(&before), epoch(&after));
    Client::expect(&cut_off, &["a"], Some(&before), "trimmed").await;
}

/// Adds 1,000 events in one step, of which 100 are left.
const MANY: &str = "for n = 1, 1000 do\n\
    redis.call('XADD', KEYS[1], 'MAXLEN', '100', '*', 'topic', 'a', 'data', n)\n\
    end";

#[tokio::test]
async fn what_is_trimmed_in_the_step_that_adds_it_resets_clients_before_the_rest() {
    let Some(server) = server().await else { return };
    let hub = node(&server.url()).await;
    let before = id_of(&hub, "a", "before").await;
    let mut client = Client::expect(&hub, &["a"], Some(&before), "resumed").await;
    server.cli(&["EVAL", MANY, "1", "{tidings}:log"]).await;
    assert_eq!(client.status().await["reason"], "trimmed");
    let last = id_of(&hub, "a", "1001").await;
    client.read_to(&last).await;
    // After that nothing is missing.
    let number = |m: &tidings::Message| m.data().parse::<u64>().expect("a number");
    let seen: Vec<_> = client.messages()[2..].iter().map(number).collect();
    assert!(seen[0] > 900 && seen.windows(2).all(|two| two[0] + 1 == two[1]), "{seen:?}");
    Client::expect(&hub, &["a"], Some(&before), "trimmed").await;
}

/// How many bytes a server has sent.
async fn sent(server: &Server) -> usize {
    let stats = server.cli(&["INFO", "stats"]).await;
    let bytes = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    bytes.and_then(|bytes| bytes.trim().parse().ok()).expect("a number of bytes")
}

/// Adds events of a size to topic `a`.
async fn fill(server: &Server, events: usize, size: usize) {
    let script = format!(
        "for n = 1, {events} do\n\
         redis.call('XADD', KEYS[1], '*', 'topic', 'a', 'data', string.rep('x', {size}))\n\
         end"
    );
    server.cli(&["EVAL", &script, "1", "{tidings}:log"]).await;
}

/// A node that begins with so many events.
async fn node_with(server: &Server, replay: u64) -> Hub {
    let log = RedisLog::builder(server.url()).replay(replay).connect();
    Hub::builder().build_on(within("a connection", log).await.expect("the server is running"))
}

#[tokio::test]
async fn large_events_are_not_read_many_times() {
    const EVENTS: usize = 60;
    const SIZE: usize = 200_000;

    let Some(server) = server().await else { return };
    let first = id_of(&node(&server.url()).await, "a", "first").await;
    fill(&server, EVENTS, SIZE).await;
    let hub = node_with(&server, 1).await;
    let before = sent(&server).await;
    let mut client = Client::expect(&hub, &["a"], Some(&first), "resumed").await;
    client.read(EVENTS).await;
    let bytes = sent(&server).await - before;
    assert!(bytes < 3 * EVENTS * SIZE, "{bytes}");
}

#[tokio::test]
async fn a_node_begins_with_as_many_events_as_it_was_told() {
    let Some(server) = server().await else { return };
    let first = id_of(&node(&server.url()).await, "a", "first").await;
    fill(&server, 1_000, 1).await;
    let hub = node_with(&server, 600).await;
    eventually("a node that is ready", || hub.health().is_ready()).await;
    let newest = server.cli(&["XREVRANGE", "{tidings}:log", "+", "-"]).await;
    for (events, is_read) in [(500, false), (700, true)] {
        // An entry has five lines.
        let id = newest.lines().nth(5 * events).expect("as many");
        let (ms, seq) = id.split_once('-').expect("an id");
        let [ms, seq] = [ms, seq].map(|part| part.parse::<u64>().expect("a number"));
        let id = format!("{}-{}", epoch(&first), ms << 22 | seq);
        let mut client = Client::expect(&hub, &["a"], Some(&id), "resumed").await;
        client.read(events).await;
        assert_eq!(hub.metrics().log_reads > 0, is_read, "after {events}");
    }
}

#[tokio::test]
async fn events_that_expire_when_they_were_read_reset_no_client() {
    let Some(server) = server().await else { return };
    let hub = node(&server.url()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    for data in ["one", "two", "three"] {
        let id = id_of(&hub, "a", data).await;
        client.read_to(&id).await;
        server.cli(&["XTRIM", "{tidings}:log", "MAXLEN", "0"]).await;
    }
    let seen: Vec<_> = client.messages()[1..].iter().map(|m| m.data()).collect();
    assert_eq!(seen, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_link_that_passes_nothing_is_noticed_and_what_was_missed_comes() {
    let Some(server) = server().await else { return };
    for passing in [Passing::ToClient, Passing::ToServer, Passing::Neither] {
        let (proxy, url) = proxy(&server).await;
        let (cut_off, other) = (node(&url).await, node(&server.url()).await);
        let mut client = Client::expect(&cut_off, &["a"], None, "fresh").await;
        proxy.pass(passing);
        eventually("a node that is not ready", || !cut_off.health().is_ready()).await;
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(id_of(&other, "a", "missed").await);
        }
        proxy.pass(Passing::Both);
        let seen: Vec<_> = client.read(10).await.iter().map(|m| m.last_event_id()).collect();
        assert_eq!(seen, ids, "{passing:?}");
        eventually("a node that is ready", || cut_off.health().is_ready()).await;
    }
}

#[tokio::test]
async fn health_has_the_last_error_of_an_outage() {
    let Some(server) = server().await else { return };
    let Some(locked) = server_with(&["--requirepass", "secret"]).await else { return };
    let (proxy, url) = proxy(&server).await;
    let hub = node(&url).await;
    eventually("a node that is ready", || hub.health().is_ready()).await;
    proxy.pass(Passing::Neither);
    let is_down = || matches!(hub.health().link, Link::Down { .. });
    eventually("a link that is down", is_down).await;
    proxy.lead_to(SocketAddr::from(([127, 0, 0, 1], locked.port())));
    proxy.pass(Passing::Both);
    proxy.reset();
    eventually("its last error", || hub.health().to_string().contains("NOAUTH")).await;
}

#[tokio::test]
async fn a_server_that_is_stopped_and_goes_on_loses_nothing() {
    let Some(server) = server().await else { return };
    let hub = node(&server.url()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let first = id_of(&hub, "a", "one").await;
    server.pause();
    eventually("a node that is not ready", || !hub.health().is_ready()).await;
    let publish = hub.publish_once("key", "a", Event::new("two"));
    server.resume();
    let published = within("an answer", publish).await.expect("it is tried again");
    let second = published.id().as_str().to_owned();
    let third = id_of(&hub, "a", "three").await;
    let seen: Vec<_> = client.read(3).await.iter().map(|m| m.last_event_id()).collect();
    assert_eq!(seen, [first, second, third]);
}

#[tokio::test]
async fn an_event_without_a_server_fails_and_is_not_in_the_log() {
    let Some(mut server) = server().await else { return };
    let hub = node(&server.url()).await;
    let first = id_of(&hub, "a", "one").await;
    server.kill().await;
    eventually("a node that is not ready", || !hub.health().is_ready()).await;
    // Until the connection has noticed, too, it cannot tell whether the server has the event.
    let refused = || async { log_error(&publish(&hub, "a", "refused").await.unwrap_err()) };
    within("a connection that has noticed", async {
        while refused().await != LogErrorKind::Unavailable {}
    })
    .await;
    server.start_again().await;
    let second = id_of(&hub, "a", "two").await;
    let mut client = Client::expect(&hub, &["a"], Some(&first), "resumed").await;
    assert_eq!(client.read(1).await[0].last_event_id(), second);
}

#[tokio::test]
async fn an_unanswered_event_is_unacknowledged_without_a_key_and_tried_again_with_one() {
    let Some(server) = server().await else { return };
    let (proxy, url) = proxy(&server).await;
    let hub = node(&url).await;
    let first = id_of(&hub, "a", "one").await;
    // Commands arrive, and no answer comes back.
    proxy.pass(Passing::ToServer);
    let plain = hub.publish("a", Event::new("plain"));
    let keyed = hub.publish_once("key", "a", Event::new("keyed"));
    let error = within("an answer", plain).await.unwrap_err();
    assert_eq!(log_error(&error), LogErrorKind::Unacknowledged, "{error}");
    proxy.pass(Passing::Both);
    proxy.reset();
    let keyed = within("an answer", keyed).await.expect("it is tried again");
    assert!(!keyed.is_duplicate(), "it is this publication's own event");
    let mut client = Client::expect(&hub, &["a"], Some(&first), "resumed").await;
    let seen: Vec<_> = client.read(2).await.iter().map(|m| m.data().to_owned()).collect();
    assert_eq!(seen, ["plain", "keyed"]);
    let again = hub.publish_once("key", "a", Event::new("keyed"));
    assert!(within("an answer", again).await.expect("it was published").is_duplicate());
    let last = id_of(&hub, "a", "last").await;
    assert_eq!(client.read(1).await[0].last_event_id(), last);
}

#[tokio::test]
async fn an_entry_that_is_not_an_event_is_left_out_and_counted() {
    let Some(server) = server().await else { return };
    let hub = node(&server.url()).await;
    let first = id_of(&hub, "a", "one").await;
    let mut client = Client::expect(&hub, &["a"], Some(&first), "resumed").await;
    server.cli(&["XADD", "{tidings}:log", "*", "data", "without a topic"]).await;
    server.cli(&["XADD", "{tidings}:log", "*", "topic", "a", "event", "tidings:x"]).await;
    let last = id_of(&hub, "a", "two").await;
    assert_eq!(client.read(1).await[0].last_event_id(), last);
    let metrics = hub.metrics().to_prometheus();
    assert!(metrics.contains("rejected") && metrics.contains(" 2\n"), "{metrics}");
    // Also when it is read back.
    let mut client = Client::expect(&hub, &["a"], Some(&first), "resumed").await;
    assert_eq!(client.read(1).await[0].last_event_id(), last);
}

/// Its stream stays in the last millisecond that it knew, with many ids in it.
#[tokio::test]
async fn ids_go_on_rising_when_the_servers_clock_was_set_back() {
    const EVENTS: usize = 2_000;

    let Some(server) = server().await else { return };
    let hub = node(&server.url()).await;
    let now = server.cli(&["TIME"]).await;
    let now: u64 = now.lines().next().and_then(|s| s.parse().ok()).expect("seconds");
    // As if the clock had been an hour ahead a moment ago.
    let ahead = format!("{}-0", (now + 3_600) * 1_000);
    server.cli(&["XADD", "{tidings}:log", &ahead, "topic", "a", "data", "ahead"]).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let publish = |hub: &Hub| hub.publish("a", Event::new("x"));
    for _ in 0..EVENTS / 500 {
        let published: Vec<_> = (0..500).map(|_| publish(&hub)).collect();
        for published in published {
            within("an answer", published).await.expect("it gets an id");
        }
    }
    let last = id_of(&hub, "a", "last").await;
    client.read_to(&last).await;
    assert!(client.messages().len() > EVENTS);
}
