//! The registry of clients. A client leaves it when its connection ends: at once where the server watches for
//! that, elsewhere when the next heartbeat or event cannot be written.

use tidings::Topic;

use super::Adapter;
use super::site::{Site, status_of};
use crate::limit::eventually;
use crate::wire::{Connection, Ending, Request};

pub async fn a_client_is_listed_with_its_address_and_topics<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.get("/events?topic=b&topic=a&topic=b&principal=ada").await;
    let status = status_of(&response.next_message().await);
    let clients = site.hub.clients().list();
    let [client] = clients.as_slice() else { panic!("one client, not {clients:?}") };
    assert_eq!(client.remote_addr, Some(response.local_addr()));
    assert_eq!(client.topics, ["a", "b"].map(|name| Topic::new(name).expect("a good name")));
    assert_eq!(client.principal.as_deref(), Some("ada"));
    assert_eq!(status["client"], client.id.to_string());
    assert_eq!(client.bytes_sent, response.body().len() as u64);
}

/// A stream with short heartbeats, so that every platform notices in time.
const BEATING: &str = "/beating?topic=a";

async fn nobody_is_left(site: &Site) {
    let clients = || site.hub.clients().count();
    eventually("no client is left", || clients() == 0).await;
    assert!(site.hub.clients().topics().is_empty(), "no topic is left");
}

pub async fn a_client_that_closes_its_connection_is_gone<A: Adapter>() {
    let site = Site::open::<A>();
    for _ in 0..20 {
        site.follow(BEATING).await.close().await;
    }
    nobody_is_left(&site).await;
}

pub async fn a_client_that_resets_its_connection_is_gone<A: Adapter>() {
    let site = Site::open::<A>();
    for _ in 0..20 {
        site.follow(BEATING).await.reset();
    }
    nobody_is_left(&site).await;
}

pub async fn a_client_that_leaves_before_the_response_is_gone<A: Adapter>() {
    let site = Site::open::<A>();
    for n in 0..100 {
        let mut connection = Connection::open(site.addr()).await;
        connection.write(&Request::get(BEATING).bytes()).await;
        match n % 2 {
            0 => connection.reset(),
            _ => connection.close().await,
        }
    }
    site.follow(BEATING).await.reset();
    // A server of several threads may take some of those only now.
    let clients = || site.hub.clients();
    let is_empty = || clients().count() == 0 && clients().topics().is_empty();
    eventually("no client and no topic is left", is_empty).await;
}

pub async fn a_response_that_is_never_sent_leaves_no_client<A: Adapter>() {
    let site = Site::open::<A>();
    let response = site.get("/dropped?topic=a").await;
    assert_eq!(response.status(), 204);
    assert_eq!(site.hub.clients().count(), 0);
    assert!(site.hub.clients().topics().is_empty());
}

pub async fn a_client_that_is_closed_by_its_id_gets_a_whole_response<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.get("/events?topic=a").await;
    let mut other = site.follow("/events?topic=a").await;
    let status = status_of(&response.next_message().await);
    let id = status["client"].as_str().expect("an id").parse().expect("a client id");
    assert!(site.hub.clients().close(id));
    assert_eq!(response.read_to_end().await, Ending::Whole);
    eventually("the client is gone", || site.hub.clients().get(id).is_none()).await;
    assert!(!site.hub.clients().close(id));
    site.publish("a", "one");
    assert_eq!(other.read_messages(2).await[1].data(), "one");
}

pub async fn all_streams_of_a_principal_can_be_closed<A: Adapter>() {
    let site = Site::open::<A>();
    let mut ada = [
        site.follow("/events?topic=a&principal=ada").await,
        site.follow("/events?topic=b&principal=ada").await,
    ];
    let mut bob = site.follow("/events?topic=a&principal=bob").await;
    assert_eq!(site.hub.clients().close_principal("ada"), 2);
    for response in &mut ada {
        assert_eq!(response.read_to_end().await, Ending::Whole);
    }
    eventually("they are gone", || site.hub.clients().count() == 1).await;
    assert_eq!(site.hub.clients().close_principal("ada"), 0);
    site.publish("a", "one");
    assert_eq!(bob.read_messages(2).await[1].data(), "one");
}

pub async fn clients_that_vanish_leave_no_task<A: Adapter>() {
    let site = Site::open::<A>();
    let has_tasks_of = |streams: usize| {
        A::TASKS_PER_STREAM.is_none_or(|each| site.server.tasks() == streams * each)
    };
    for _ in 0..10 {
        let mut streams = Vec::new();
        for _ in 0..100 {
            streams.push(site.follow(BEATING).await);
        }
        assert_eq!(site.hub.clients().count(), 100);
        eventually("each stream has its tasks", || has_tasks_of(100)).await;
        drop(streams);
        nobody_is_left(&site).await;
        eventually("no task is left", || has_tasks_of(0)).await;
    }
}
