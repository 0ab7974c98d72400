//! Clients of topics and patterns, and events for them.

use tidings::Hub;
use tidings_testkit::checker::{self, Entry, check};
use tidings_testkit::log::{Client, publish_all};

pub(crate) const ROOMS: [&str; 7] = ["a.1", "a.2", "a.10", "a.1.x", "b.1", "b.2", "c"];

/// What the clients of an audience subscribe to.
pub(crate) const SUBSCRIPTIONS: [&[&str]; 7] = [
    &["a.1", "c"],
    &["a.*"],
    &["a.1*", "a.*"],
    &["a.1", "a.*"],
    &["*.1", "a.10"],
    &["*"],
    &["b.*", "c"],
];

pub(crate) async fn publish_rooms(hub: &Hub, what: &str) -> Vec<Entry> {
    let events = (0..140).map(|n| (ROOMS[n % ROOMS.len()], format!("{what} {n}")));
    publish_all(hub, events).await
}

pub(crate) fn is_of(asked: &[&str], entry: &Entry) -> bool {
    checker::is_of(asked, &entry.topic)
}

pub(crate) fn last_of<'a>(published: &'a [Entry], asked: &[&str]) -> &'a Entry {
    published.iter().rev().find(|entry| is_of(asked, entry)).expect("one was published")
}

/// A client for each of the subscriptions.
pub(crate) struct Audience(Vec<Client>);

impl Audience {
    pub(crate) async fn of(hub: &Hub) -> Self {
        let mut clients = Vec::new();
        for asked in SUBSCRIPTIONS {
            clients.push(Client::expect(hub, asked, None, "fresh").await);
        }
        Self(clients)
    }

    pub(crate) async fn read(&mut self, published: &[Entry]) {
        for (client, asked) in self.0.iter_mut().zip(SUBSCRIPTIONS) {
            client.read_to(&last_of(published, asked).id).await;
        }
    }

    /// All clients receive everything once and in order, without a reset.
    pub(crate) async fn check(mut self, published: &[Entry]) {
        self.read(published).await;
        for (client, asked) in self.0.into_iter().zip(SUBSCRIPTIONS) {
            let summary = check(published, asked, &[client.leave()]).expect("all as promised");
            assert_eq!(summary.resets, 0, "{asked:?}");
        }
    }

    /// All clients are reset for this reason.
    pub(crate) async fn expect_reset(&mut self, reason: &str) {
        for client in &mut self.0 {
            assert_eq!(client.status().await["reason"], reason);
        }
    }
}
