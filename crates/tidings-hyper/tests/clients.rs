//! Clients that vanish, stall or read slowly, and do not disturb others.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::time::{Duration, Instant};

use site::Site;
use tidings::{Hub, Retention};
use tidings_net::Limits;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::wire::{Connection, Ending, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A client that reads its status event and nothing after it.
async fn stalled(site: &Site, topic: &str) -> Response {
    let connection = Connection::open_narrow(site.addr, 4096).await;
    let mut response = connection.send(&Request::get(&format!("/events/{topic}"))).await;
    response.next_message().await;
    response
}

/// More than the buffers of both ends take.
fn flood(site: &Site, topic: &str) {
    let data = "x".repeat(64 * 1024);
    for _ in 0..128 {
        site.publish(topic, &data);
    }
}

#[tokio::test]
async fn a_client_that_closes_is_gone_at_once() {
    let site = Site::new().await;
    let others = site.follow("/events/a").await;
    for n in 0..10 {
        let response = site.follow(&format!("/events/{}", ["a", "b"][n % 2])).await;
        site.has(2, 0).await;
        match n % 3 {
            0 => response.close().await,
            1 => response.reset(),
            _ => drop(response),
        }
        // No event and no heartbeat would discover it.
        site.has(1, 0).await;
    }
    drop(others);
    site.has(0, 0).await;
    assert_eq!(site.hub.clients().topics(), []);
}

#[tokio::test]
async fn a_client_that_closes_while_it_is_stalled_is_gone_at_once() {
    let site = Site::with(Hub::new(), Limits::default().write_timeout(None)).await;
    for is_reset in [true, false] {
        let response = stalled(&site, "a").await;
        site.has(1, 0).await;
        flood(&site, "a");
        // It is not in the roster, and a stream that joins and ends does not change that.
        site.follow("/events/a").await.reset();
        site.has(1, 0).await;
        match is_reset {
            true => response.reset(),
            false => response.close().await,
        }
        site.has(0, 0).await;
    }
}

#[tokio::test]
async fn a_stalled_client_is_evicted_and_delays_nobody() {
    const TIMEOUT: Duration = Duration::from_millis(500);

    let site = Site::with(Hub::new(), Limits::default().write_timeout(TIMEOUT)).await;
    let mut others = [site.follow("/events/a").await, site.follow("/events/b").await];
    let stuck = [stalled(&site, "a").await, stalled(&site, "a").await];
    site.has(4, 0).await;
    let began = Instant::now();
    let data = "x".repeat(64 * 1024);
    let mut published = 0;
    while site.hub.clients().count() > 2 {
        assert!(began.elapsed() < TIMEOUT * 10, "the stalled clients are still connected");
        let a = site.publish("a", &data);
        let b = site.publish("b", "between");
        published += 1;
        for (response, id) in others.iter_mut().zip([a, b]) {
            let before = Instant::now();
            let message = response.next_message().await;
            assert!(before.elapsed() < TIMEOUT, "it waited for the stalled clients");
            assert_eq!(message.last_event_id(), id);
        }
    }
    assert!(began.elapsed() >= TIMEOUT, "evicted too early, after {published} events");
    for mut response in stuck {
        assert_ne!(response.read_to_end().await, Ending::Whole);
    }
    site.has(2, 0).await;
}

#[tokio::test]
async fn without_a_write_timeout_a_stalled_client_stays_and_is_reset() {
    let hub = Hub::builder().retain("a", Retention::none()).unwrap().build();
    let site = Site::with(hub, Limits::default().write_timeout(None)).await;
    let mut response = stalled(&site, "a").await;
    site.has(1, 0).await;
    flood(&site, "a");
    // Events of other topics move the hub's head, which does not wake the stalled client's cohort.
    for _ in 0..10 {
        site.publish("b", "elsewhere");
    }
    // It reads on, first what was sent before, then a reset.
    response
        .read_until("a reset", |response| {
            response.messages().iter().any(|message| message.data().contains("\"reset\""))
        })
        .await;
    // It is in its cohort again, without the help of a heartbeat.
    let last = site.publish("a", "the last");
    response.read_until("the last", |response| response.last_event_id() == last).await;
}

#[tokio::test]
async fn a_slow_but_steady_client_gets_every_byte() {
    let hub = Hub::builder().retention(Retention::default().events(10_000).bytes(16 << 20)).build();
    let site = Site::with(hub, Limits::default()).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let mut slow = socket.connect(site.addr).await.unwrap();
    slow.write_all(&Request::get("/events/a").http_1_0().bytes()).await.unwrap();
    let mut chunked = stalled(&site, "a").await;
    let mut fast = site.follow("/events/a").await;
    site.has(3, 0).await;
    site::read_until(&mut slow, "\r\n\r\n").await;
    // Sizes close to the buffers' and to each other, so that writes end anywhere.
    let mut sizes = vec![1_000_000, 1, 65_536];
    sizes.extend((0..300).map(|n| (n * 7919) % 9_001));
    let mut wanted = String::new();
    for (n, size) in sizes.iter().enumerate() {
        let data = format!("{n} {}", "x".repeat(*size));
        let id = site.publish("a", &data);
        wanted += &format!("data: {data}\nid: {id}\n\n");
    }
    let last = site.hub.publish("a", tidings::Event::new("the end")).wait().unwrap().id();
    wanted += &format!("data: the end\nid: {last}\n\n");
    fast.read_until("the end", |response| response.last_event_id() == last.as_str()).await;

    // At first a few bytes at a time: a prime number, so that reads end anywhere.
    let mut all = Vec::new();
    within("the end", async {
        let mut some = vec![0; 100_000];
        while !all.ends_with(format!("id: {last}\n\n").as_bytes()) {
            let size = if all.len() < 200_000 { 997 } else { some.len() };
            let length = slow.read(&mut some[..size]).await.unwrap();
            assert!(length > 0, "it ends after {} bytes", all.len());
            all.extend_from_slice(&some[..length]);
        }
    })
    .await;
    let all = String::from_utf8(all).unwrap();
    let begin = all.find("data: 0 ").unwrap();
    assert!(all[begin..] == wanted, "the bytes differ");

    let status = chunked.body().len();
    chunked.read_until("the end", |response| response.last_event_id() == last.as_str()).await;
    assert!(chunked.text()[status..] == wanted, "the bytes differ");

    // Both are caught up again.
    let id = site.publish("a", "for all");
    site::read_until(&mut slow, id.as_str()).await;
    assert_eq!(chunked.next_after(&id).await, "for all");
}

#[tokio::test]
async fn a_client_that_sends_junk_without_end_is_ended_after_a_little() {
    let site = Site::new().await;
    let mut socket = TcpStream::connect(site.addr).await.unwrap();
    socket.write_all(&Request::get("/events/a").bytes()).await.unwrap();
    site::read_until(&mut socket, "\n\n").await;
    site.has(1, 0).await;
    let junk = vec![b'x'; 4096];
    let sent = within("the end of the connection", async {
        let mut sent = 0;
        while let Ok(length) = socket.write(&junk).await {
            sent += length;
        }
        sent
    })
    .await;
    site.has(0, 0).await;
    // What was on its way when the connection ended comes on top.
    assert!(sent >= 16 * 1024, "ended after {sent} bytes");
}

trait NextAfter {
    async fn next_after(&mut self, id: &str) -> String;
}

impl NextAfter for Response {
    /// The data of the event with this id.
    async fn next_after(&mut self, id: &str) -> String {
        self.read_until("the event", |response| response.last_event_id() == id).await;
        self.messages().last().unwrap().data().to_owned()
    }
}

#[tokio::test]
async fn a_thousand_clients_come_and_go_and_leave_nothing() {
    let site = Site::new().await;
    for round in 0..10 {
        let mut clients = Vec::new();
        for n in 0..100 {
            let mut socket = TcpStream::connect(site.addr).await.unwrap();
            let request = Request::get(&format!("/watched/{}", n % 7));
            socket.write_all(&request.bytes()).await.unwrap();
            // Some vanish before their head was sent.
            if n % 4 != round % 4 {
                site::read_until(&mut socket, "tidings:status").await;
            }
            clients.push(socket);
        }
        eventually("they are connected", || site.hub.clients().count() >= 75).await;
        site.publish("3", "for some of them");
        for socket in &clients {
            if round % 2 == 0 {
                socket.set_zero_linger().unwrap();
            }
        }
        drop(clients);
        site.has(0, 0).await;
        let watches = || site.watches.load(std::sync::atomic::Ordering::SeqCst);
        eventually("no body is left", || watches() == 0).await;
    }
    // Topic 3 retains its events; nothing else is left.
    let topics: Vec<_> = site.hub.clients().topics();
    assert_eq!(topics.len(), 1, "{topics:?}");
    assert_eq!(topics[0].1, 0);
    let mut response = site.follow("/events/3").await;
    site.publish("3", "and it goes on");
    assert_eq!(response.next_message().await.data(), "and it goes on");
}
