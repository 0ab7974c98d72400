//! Interests that come and go while events are published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tidings::Hub;
use tidings_testkit::checker::{Entry, Visit, check};
use tidings_testkit::limit::within;
use tidings_testkit::log::{Client, publish_all};
use tokio::time::{MissedTickBehavior, interval};

use crate::audience::{ROOMS, SUBSCRIPTIONS, last_of, publish_rooms};
use crate::hub_at;
use crate::patterns::{forgetful, fresh, is_subscribed_to, selective, server};

/// Publishes until the end, no faster than clients that come back can read the stream.
async fn publish_on(hub: Hub, ending: Arc<AtomicBool>) -> Vec<Entry> {
    let mut published = Vec::new();
    let mut pace = interval(Duration::from_millis(50));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !ending.load(Ordering::Acquire) {
        pace.tick().await;
        let events = (0..14).map(|n| (ROOMS[n % ROOMS.len()], n.to_string()));
        published.extend(publish_all(&hub, events).await);
    }
    published
}

/// A client that comes and goes, each time with the last id that it has seen.
async fn come_and_go(hub: Hub, number: usize) -> (Vec<Visit>, String) {
    let mut random = Rng::with_seed(SEED + number as u64);
    let asked = SUBSCRIPTIONS[number % SUBSCRIPTIONS.len()];
    let (mut visits, mut id) = (Vec::new(), None::<String>);
    for _ in 0..12 {
        let status = if id.is_some() { "resumed" } else { "fresh" };
        let mut client = Client::expect(&hub, asked, id.as_deref(), status).await;
        client.read(random.usize(..30)).await;
        id = Some(client.last_event_id().to_owned());
        visits.push(client.leave());
    }
    (visits, id.unwrap_or_default())
}

const SEED: u64 = 17;

/// Two nodes, so that one adds an interest while the other removes it; and few clients, so that often the last one
/// leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interests_that_come_and_go_while_events_are_published_miss_nothing() {
    let Some(server) = server().await else { return };
    let nodes = [forgetful(&server, "one").await, forgetful(&server, "two").await];
    let publisher = hub_at(&server.url(), selective()).await;
    let ending = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn(publish_on(publisher.clone(), ending.clone()));
    let clients: Vec<_> = (0..2 * SUBSCRIPTIONS.len())
        .map(|number| {
            tokio::spawn(come_and_go(nodes[number / SUBSCRIPTIONS.len()].clone(), number))
        })
        .collect();
    let mut journeys = Vec::new();
    for client in clients {
        journeys.push(client.await.expect("it does not panic"));
    }
    ending.store(true, Ordering::Release);
    let mut published = within("all publications", publishing).await.expect("it does not panic");
    println!("{} published", published.len());
    published.extend(publish_rooms(&publisher, "last").await);
    for (number, (mut visits, id)) in journeys.into_iter().enumerate() {
        let (node, asked) = (&nodes[number % 2], SUBSCRIPTIONS[number % SUBSCRIPTIONS.len()]);
        let mut client = Client::expect(node, asked, Some(&id), "resumed").await;
        client.read_to(&last_of(&published, asked).id).await;
        visits.push(client.leave());
        let summary = check(&published, asked, &visits).expect("all as promised");
        assert_eq!(summary.resets, 0, "{asked:?}");
    }
}

#[tokio::test]
async fn interests_that_come_and_go_in_quick_succession_do_not_change_the_others() {
    let Some(server) = server().await else { return };
    let hub = forgetful(&server, "node").await;
    let other = hub_at(&server.url(), selective()).await;
    let mut steady = fresh(&hub, &["a.1"]).await;
    let mut published = Vec::new();
    for round in 0..20 {
        // Added and removed before the log handles them.
        for _ in 0..10 {
            drop(SUBSCRIPTIONS.map(|asked| Client::connect(&hub, asked, None)));
        }
        let audience = SUBSCRIPTIONS.map(|asked| Client::connect(&hub, asked, None));
        drop(Client::connect(&hub, &["a.*", "a.2"], None));
        let (mut left, mut staying) = (Vec::new(), Vec::new());
        for (number, mut client) in audience.into_iter().enumerate() {
            assert_eq!(client.status().await["status"], "fresh");
            match number % 2 == round % 2 {
                true => left.push(client),
                false => staying.push((client, SUBSCRIPTIONS[number])),
            }
        }
        drop(left);
        let now = publish_rooms(&other, &round.to_string()).await;
        for (mut client, asked) in staying {
            client.read_to(&last_of(&now, asked).id).await;
            let seen = check(&now, asked, &[client.leave()]).expect("all as promised");
            assert_eq!(seen.resets, 0, "{asked:?}");
        }
        published.extend(now);
    }
    is_subscribed_to(&server, "node", &["tidings-live.a.1"]).await;
    steady.read_to(&last_of(&published, &["a.1"]).id).await;
    let summary = check(&published, &["a.1"], &[steady.leave()]).expect("all as promised");
    assert_eq!(summary.resets, 0);
}
