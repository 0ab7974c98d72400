//! Stalled clients, and slow ones.

use std::time::{Duration, Instant};

use tidings::{Event, Hub, Retention, STATUS_EVENT};

use super::Adapter;
use super::site::Site;
use crate::limit::eventually;
use crate::wire::{Connection, Request};

/// Short for a test: the default is 30 seconds.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

const LARGE: usize = 64 * 1024;

/// On Linux, because some servers leave the limit to the system.
pub async fn a_stalled_client_is_evicted<A: Adapter>() {
    let site = Site::with_write_timeout::<A>(WRITE_TIMEOUT);
    // Waits until the server has begun: where connections inherit options from the listener, earlier ones have
    // none.
    let mut other = site.follow("/events?topic=b").await;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let connection = Connection::open_narrow(site.addr(), 16 * 1024).await;
        stalled.push(connection.send(&Request::get("/events?topic=a")).await);
    }
    assert_eq!(site.hub.clients().count(), 5);
    let data = "x".repeat(LARGE);
    eventually("only the other is left", || {
        site.publish("a", &data);
        site.hub.clients().count() == 1
    })
    .await;
    site.publish("b", "still connected");
    assert_eq!(other.next_message().await.data(), "still connected");
}

#[cfg(target_os = "linux")]
pub async fn a_client_that_has_vanished_is_ended_though_the_kernel_takes_all_events<A: Adapter>() {
    let site = Site::with_write_timeout::<A>(WRITE_TIMEOUT);
    let mut clients = [site.follow("/events?topic=a").await, site.follow("/events?topic=b").await];
    let first = site.publish("a", "it is there");
    assert_eq!(clients[0].next_message().await.last_event_id(), first);
    for client in &clients {
        client.vanish();
    }
    let began = Instant::now();
    site.publish("a", "a few bytes");
    eventually("only one is left", || site.hub.clients().count() == 1).await;
    assert!(began.elapsed() >= WRITE_TIMEOUT, "after {:?}", began.elapsed());
    assert_eq!(site.hub.clients().list()[0].topics[0].as_str(), "b", "nothing was sent to it");
    assert_eq!(site.hub.metrics().connections_timed_out, 1);
}

pub async fn a_slow_client_stays<A: Adapter>() {
    let site = Site::with_write_timeout::<A>(WRITE_TIMEOUT);
    site.follow("/events?topic=b").await.reset();
    let connection = Connection::open_narrow(site.addr(), 16 * 1024).await;
    let mut slow = connection.send(&Request::get("/events?topic=a")).await;
    slow.read_messages(1).await;
    let data = "x".repeat(LARGE);
    let began = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while began.elapsed() < WRITE_TIMEOUT * 3 {
        // There is always more than it reads.
        for _ in 0..8 {
            site.publish("a", &data);
        }
        pace.tick().await;
        slow.read_exactly(slow.body().len() + 4096).await;
    }
    assert_eq!(site.hub.clients().count(), 1);
    let last = site.publish("a", "the last");
    slow.read_until("the last event", |response| response.last_event_id() == last).await;
}

pub async fn a_slow_client_gets_the_last_value_of_each_key_and_few_before_it<A: Adapter>() {
    const KEYS: usize = 50;
    const ROUNDS: usize = 1_000;
    let builder = Hub::builder().retain("values", Retention::latest_per_key());
    let site = Site::with::<A>(builder.expect("a pattern"));
    let connection = Connection::open_narrow(site.addr(), 16 * 1024).await;
    let mut slow = connection.send(&Request::get("/events?topic=values")).await;
    slow.read_messages(1).await;
    for round in 0..ROUNDS {
        for key in 0..KEYS {
            let event = Event::keyed(key.to_string(), format!("{key} {round} {}", "x".repeat(300)));
            site.hub.publish("values", event.expect("a key")).wait().expect("it is published");
        }
        if round % 50 == 0 {
            slow.read_exactly(slow.body().len() + 1_024).await;
        }
    }
    let last = site.publish("values", "the last");
    slow.read_until("the last event", |response| response.last_event_id() == last).await;
    let mut known = [None; KEYS];
    // The first is the status, of which there is no other: it is not reset.
    let (events, first) = (&slow.messages()[1..slow.messages().len() - 1], &slow.messages()[0]);
    assert_eq!(first.event(), STATUS_EVENT);
    for event in events {
        let mut words = event.data().split(' ').map_while(|word| word.parse::<usize>().ok());
        let (key, round) = words.next().zip(words.next()).expect("an event of this test");
        assert!(known[key] < Some(round), "{key} {round}");
        known[key] = Some(round);
    }
    assert_eq!(known, [Some(ROUNDS - 1); KEYS]);
    assert!(events.len() < KEYS * ROUNDS / 2, "{}", events.len());
}
