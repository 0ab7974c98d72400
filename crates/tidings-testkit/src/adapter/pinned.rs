//! What stalled clients hold of events that no topic has any more.

use tidings::{Hub, HubBuilder, Retention};

use super::Adapter;
use super::site::Site;
use crate::limit::eventually;
use crate::wire::{Connection, Ending, Http2, Request, Response};

const LIMIT: usize = 4 * 1024 * 1024;

/// So large that no socket takes all of it when its client does not read.
const LARGE: usize = 1_000_000;

/// Topics that retain one event.
fn hub() -> HubBuilder {
    Hub::builder().retention(Retention::default().events(1)).pinned_limit(LIMIT)
}

/// Publishes a large event, which `healthy` reads. Returns its id.
async fn publish(site: &Site, healthy: &mut Response) -> String {
    let id = site.publish("a", &"x".repeat(LARGE));
    assert_eq!(healthy.next_message().await.last_event_id(), id);
    id
}

/// The hub holds no more than it may, and somebody was cut for that.
async fn is_bounded(site: &Site) {
    eventually("the limit holds", || {
        let metrics = site.hub.metrics();
        metrics.pinned_bytes <= LIMIT && metrics.streams_cut > 0
    })
    .await;
}

pub async fn clients_that_stall_on_different_events_hold_no_more_than_the_limit<A: Adapter>() {
    let site = Site::with::<A>(hub());
    let mut healthy = site.follow("/events?topic=a").await;
    let mut stalled = Vec::new();
    for _ in 0..12 {
        // Enough to fill the socket, whatever the system gives it.
        let connection = Connection::open_narrow(site.addr(), 4 * 1024).await;
        stalled.push(connection.send(&Request::get("/events?topic=a")).await);
        for _ in 0..8 {
            publish(&site, &mut healthy).await;
            assert!(site.hub.metrics().pinned_bytes <= LIMIT + 2 * LARGE);
        }
    }
    is_bounded(&site).await;
    // The first was cut: its response has no end, and it resumes with its last whole event.
    let mut first = stalled.remove(0);
    assert_eq!(first.read_to_end().await, Ending::Cut);
    let last = first.messages().last().map(|message| message.last_event_id().to_owned());
    let last = last.expect("a status event");
    let request = Request::get("/events?topic=a").header("last-event-id", &last);
    let mut again = site.send(request).await;
    again.next_message().await;
    let id = publish(&site, &mut healthy).await;
    again.read_until("the last event", |response| response.last_event_id() == id).await;
}

pub async fn streams_of_http_2_that_stall_hold_no_more_than_the_limit<A: Adapter>() {
    let site = Site::with_h2c::<A>(hub());
    let mut healthy = site.follow("/events?topic=a").await;
    // Takes the head and a part of the status event, and keeps its connection alive for good.
    let client = Http2::open_narrow(site.addr(), 200).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(client.get("/events?topic=a").await);
        publish(&site, &mut healthy).await;
    }
    is_bounded(&site).await;
    let streams = stalled.len();
    let metrics = site.hub.metrics();
    assert!(metrics.streams_cut < streams as u64, "the youngest may stay: {metrics:?}");
    drop((stalled, client));
    eventually("the memory is free", || site.hub.metrics().pinned_bytes == 0).await;
}
