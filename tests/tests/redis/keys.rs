//! A log that is spread over several keys.

use futures_util::future::join_all;
use tidings::{Event, Hub};
use tidings_redis::RedisLog;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::Client;
use tidings_tests::redis::Server;

use super::{epoch, id_of, server};

const TOPICS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

async fn node(server: &Server) -> Hub {
    let log = RedisLog::builder(server.url()).keys(4).connect();
    Hub::builder().build_on(within("a connection", log).await.expect("the server is there"))
}

async fn clients(hubs: &[Hub]) -> Vec<Client> {
    let connect = |hub| Client::expect(hub, &TOPICS, None, "fresh");
    join_all(hubs.iter().map(connect)).await
}

fn position(id: &str) -> u64 {
    id.rsplit_once('-').and_then(|(_, position)| position.parse().ok()).expect("an id of a hub")
}

#[tokio::test]
async fn all_nodes_show_one_order_and_each_topic_in_the_order_of_its_publications() {
    const EVENTS: usize = 300;

    let Some(server) = server().await else { return };
    let hubs = [node(&server).await, node(&server).await, node(&server).await];
    let mut clients = clients(&hubs).await;
    let publish = |hub: Hub, number: usize| async move {
        let published = (0..EVENTS)
            .map(|n| hub.publish(TOPICS[n % 6], Event::new(format!("{number} {n}"))))
            .collect::<Vec<_>>();
        for published in published {
            within("an answer", published).await.expect("an event is published");
        }
    };
    join_all(hubs.iter().cloned().zip(0..).map(|(hub, number)| publish(hub, number))).await;
    let mut orders = Vec::new();
    for client in &mut clients {
        let seen = client.read(3 * EVENTS).await;
        assert!(
            seen.windows(2).all(|pair| {
                position(pair[0].last_event_id()) < position(pair[1].last_event_id())
            })
        );
        orders.push(seen.iter().map(|message| message.data().to_owned()).collect::<Vec<_>>());
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
    // Of each publisher and topic: the numbers of its events rise.
    for (publisher, topic) in (0..18).map(|n| (n / 6, n % 6)) {
        let numbers = orders[0].iter().filter_map(|data| {
            let (number, n) = data.split_once(' ')?;
            let n: usize = n.parse().ok()?;
            (number == publisher.to_string() && n % 6 == topic).then_some(n)
        });
        assert!(numbers.is_sorted_by(|a, b| a < b), "publisher {publisher}, topic {topic}");
    }
}

#[tokio::test]
async fn keys_without_events_hold_nothing_up() {
    let Some(server) = server().await else { return };
    let hubs = [node(&server).await, node(&server).await];
    let mut clients = clients(&hubs).await;
    for _ in 0..50 {
        let id = id_of(&hubs[0], "a", "x").await;
        for client in &mut clients {
            assert_eq!(client.read(1).await[0].last_event_id(), id);
        }
    }
    // And leave nothing behind in them.
    let lengths = server.cli(&["EVAL", LENGTHS, "0"]).await;
    let total: usize = lengths.lines().map(|line| line.parse::<usize>().expect("a number")).sum();
    assert_eq!(total, 50, "{lengths}");
}

const LENGTHS: &str = "local lengths = {} \
     for i, key in ipairs({'{tidings}:log', '{tidings:1}:log', '{tidings:2}:log', '{tidings:3}:log'}) \
     do lengths[i] = redis.call('XLEN', key) end return lengths";

#[tokio::test]
async fn publications_that_wait_for_each_other_are_in_their_order() {
    let Some(server) = server().await else { return };
    let hub = node(&server).await;
    let mut ids = Vec::new();
    for n in 0..200 {
        ids.push(id_of(&hub, TOPICS[n * 5 % 6], "x").await);
    }
    assert!(ids.is_sorted_by(|a, b| position(a) < position(b)), "{ids:?}");
    // All of it can be read back from anywhere, on a node that was not there.
    let other = node(&server).await;
    for at in [0, 1, 50, 198] {
        let mut client = Client::expect(&other, &TOPICS, Some(&ids[at]), "resumed").await;
        let rest = client.read(199 - at).await;
        let rest: Vec<_> = rest.iter().map(|message| message.last_event_id()).collect();
        assert_eq!(rest, ids[at + 1..]);
    }
}

#[tokio::test]
async fn one_key_that_was_deleted_is_another_history_of_all() {
    let Some(server) = server().await else { return };
    let hubs = [node(&server).await, node(&server).await];
    let mut clients = clients(&hubs).await;
    let before = id_of(&hubs[0], "a", "x").await;
    server.cli(&["DEL", "{tidings:2}:log"]).await;
    for client in &mut clients {
        while !client.next().await.expect("the stream goes on").data().contains("unknown") {}
    }
    let after = id_of(&hubs[1], "a", "y").await;
    assert_ne!(epoch(&before), epoch(&after));
    for client in &mut clients {
        client.read_to(&after).await;
    }
}

/// It may have forgotten up to where it was raised, and then gives ids that were ruled out.
#[tokio::test]
async fn a_server_that_forgets_what_it_was_raised_to_makes_no_silent_hole() {
    let Some(server) = server().await else { return };
    let hubs = [node(&server).await, node(&server).await];
    let mut clients = clients(&hubs).await;
    // Far in the future, so that every other key is raised to there.
    let time = server.cli(&["TIME"]).await;
    let seconds: u64 = time.lines().next().and_then(|s| s.parse().ok()).expect("seconds");
    let ahead = format!("{}-0", (seconds + 3_600) * 1_000);
    server.cli(&["XADD", "{tidings}:log", &ahead, "topic", "a", "data", "ahead"]).await;
    for client in &mut clients {
        assert_eq!(client.read(1).await[0].data(), "ahead");
    }
    // As if a crash had lost it: back to now.
    let now = format!("{}-0", seconds * 1_000);
    server.cli(&["XSETID", "{tidings:1}:log", &now]).await;
    server.cli(&["XADD", "{tidings:1}:log", "*", "topic", "a", "data", "late"]).await;
    for client in &mut clients {
        let message = client.next().await.expect("the stream goes on");
        assert!(message.data().contains("unknown"), "{message:?}");
        let data = ["late", "ahead"].map(str::to_owned);
        assert_eq!(client.read(2).await.iter().map(|m| m.data()).collect::<Vec<_>>(), data);
    }
    let last = id_of(&hubs[0], "b", "last").await;
    for client in &mut clients {
        client.read_to(&last).await;
    }
    eventually("nodes that are ready", || hubs.iter().all(|hub| hub.health().is_ready())).await;
}
