//! Pattern subscribers. Their past is not in the logs that they wait for.

use fastrand::Rng;
use futures_util::future::join_all;
use tidings::{Hub, Retention};

use super::Adapter;
use super::delivery::{LARGE, MANY};
use super::resume::cut_after_every_byte;
use super::site::Site;
use crate::checker::{Entry, Visit, check, check_uneven, is_of};
use crate::wire::{Connection, Request, Response};

pub async fn a_cut_after_every_byte_loses_and_doubles_nothing<A: Adapter>() {
    let exchange = "/events?match=a*&match=*a&topic=b&history=all";
    cut_after_every_byte::<A>(exchange, &["a*", "*a", "b"]).await;
}

/// What clients ask for, and how. Clients that ask for the same are served together.
const ASKED: [(&str, &[&str]); 4] = [
    ("/events?match=room:*", &["room:*"]),
    ("/events?match=room:*&match=*:1&topic=hall:1", &["room:*", "*:1"]),
    ("/events?topic=room:1&match=room:1*", &["room:1", "room:1*"]),
    ("/events?match=*", &["*"]),
];

/// A client that connects before the first event.
struct Client {
    target: &'static str,
    topics: &'static [&'static str],
    is_narrow: bool,
    random: Rng,
    response: Option<Response>,
    claimed: Option<String>,
    visits: Vec<Visit>,
}

impl Client {
    fn new(number: usize) -> Self {
        let (target, topics) = ASKED[number % ASKED.len()];
        let random = Rng::with_seed(number as u64);
        let is_narrow = number.is_multiple_of(3);
        let (response, claimed, visits) = (None, None, Vec::new());
        Self { target, topics, is_narrow, random, response, claimed, visits }
    }

    async fn come(&mut self, site: &Site) {
        if self.response.is_some() {
            return;
        }
        let request = Request::get(self.target);
        let request = match &self.claimed {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let mut response = match self.is_narrow {
            true => Connection::open_narrow(site.addr(), 16 * 1024).await.send(&request).await,
            false => site.send(request).await,
        };
        response.read_messages(1).await;
        self.response = Some(response);
    }

    /// Reads some of its events, or all, and may leave then.
    async fn read(&mut self, published: &[Entry], all: bool) {
        let Some(mut response) = self.response.take() else { return };
        let mine = published.iter().filter(|entry| is_of(self.topics, &entry.topic)).count();
        let before: usize = self.visits.iter().map(|visit| visit.messages.len() - 1).sum();
        let there = mine + 1 - before;
        let count = match self.random.u8(..4) {
            _ if all => there,
            0 => 1,
            _ => self.random.usize(1..=there),
        };
        response.read_messages(count).await;
        if !all && self.random.bool() {
            self.response = Some(response);
            return;
        }
        self.visits.push(Visit::of(self.claimed.as_deref(), &response));
        self.claimed = Some(response.last_event_id().to_owned());
        match self.random.u8(..3) {
            0 => response.reset(),
            1 => response.close().await,
            _ => drop(response),
        }
    }
}

pub async fn many_pattern_subscribers_come_and_go_and_lose_nothing<A: Adapter>() {
    const CLIENTS: usize = 40;
    let retention = Retention::default().events(100_000).bytes(1 << 28);
    let site = Site::with::<A>(Hub::builder().retention(retention).max_retained_bytes(1 << 28));
    let mut clients: Vec<_> = (0..CLIENTS).map(Client::new).collect();
    let mut random = Rng::with_seed(7);
    let mut published = Vec::new();
    for round in 0..12 {
        join_all(clients.iter_mut().map(|client| client.come(&site))).await;
        // Every other burst is larger than the live window.
        let count = random.usize(..[40, 600][round % 2]);
        for n in 0..count {
            // The number of topics grows.
            let topic = match random.usize(..8) {
                0 => format!("hall:{}", random.usize(..=round)),
                _ => format!("room:{}", random.usize(..=round)),
            };
            let size = [10, 100, 1_000][random.usize(..3)];
            let data = format!("{round} {n} {}", "x".repeat(size));
            published.push(Entry::publish(&site.hub, &topic, &data));
        }
        join_all(clients.iter_mut().map(|client| client.read(&published, false))).await;
    }
    join_all(clients.iter_mut().map(|client| client.come(&site))).await;
    join_all(clients.iter_mut().map(|client| client.read(&published, true))).await;
    for Client { topics, visits, .. } in &clients {
        let all = published.iter().filter(|entry| is_of(topics, &entry.topic)).count();
        let summary = check(&published, topics, visits).expect("all as promised");
        assert_eq!((summary.events, summary.resets), (all, 0), "{topics:?}");
        assert_eq!(summary.resumed, visits.len() - 1);
    }
}

pub async fn slow_pattern_subscribers_are_reset_and_quick_ones_are_not<A: Adapter>() {
    const TOPICS: [&str; 3] = ["a:1", "a:2", "a:3"];
    let few = Retention::default().events(4);
    let site = Site::with::<A>(Hub::builder().retention(few));
    let mut slow = Vec::new();
    for n in 0..4 {
        let target = ["/events?match=a:*", "/events?match=a:*&match=*:1"][n % 2];
        let connection = Connection::open_narrow(site.addr(), 16 * 1024).await;
        let mut response = connection.send(&Request::get(target)).await;
        response.read_messages(1).await;
        slow.push(response);
    }
    let mut quick = site.follow("/events?match=a:*").await;
    let mut published = Vec::new();
    for n in 0..MANY {
        let data = format!("{n} {}", "x".repeat(LARGE));
        published.push(Entry::publish(&site.hub, TOPICS[n % 3], &data));
        assert!(quick.next_message().await.data() == data, "event {n}");
    }
    let last = published.last().map_or("", |entry| &entry.id);
    for (n, response) in slow.iter_mut().enumerate() {
        response.read_until("the last event", |response| response.last_event_id() == last).await;
        let summary = check_uneven(&published, &["a:*"], &[Visit::of(None, response)], true);
        assert!(summary.as_ref().is_ok_and(|summary| summary.resets > 0), "{n}: {summary:?}");
    }
    let summary = check(&published, &["a:*"], &[Visit::of(None, &quick)]).expect("all as promised");
    assert_eq!((summary.events, summary.resets), (MANY, 0));
}
