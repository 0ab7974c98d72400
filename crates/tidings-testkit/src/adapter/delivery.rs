//! What arrives, and when.

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use tidings::{Hub, Resume, Retention};

use super::site::Site;
use super::{Adapter, Answer};
use crate::checker::{Entry, Summary, Visit, check, position};
use crate::limit::within;
use crate::wire::{Connection, Ending, Request, Response};

pub async fn events_arrive_one_by_one_as_they_are_published<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.follow("/events?topic=a&topic=b").await;
    for n in 0..50 {
        // No event may need the next one to be delivered.
        let id = site.publish(if n % 3 == 0 { "b" } else { "a" }, &n.to_string());
        let message = response.next_message().await;
        assert_eq!((message.data(), message.last_event_id()), (n.to_string().as_str(), &*id));
    }
}

pub async fn the_body_is_byte_for_byte_what_the_subscription_yields<A: Adapter>() {
    let site = Site::open::<A>();
    let mut id = String::new();
    for n in 0..20 {
        let entry =
            site.publish(["a", "b", "other"][n % 3], &format!("line {n}\r\n next\u{2028}\n"));
        id = if n == 10 { entry } else { id };
    }
    let mut pairs: Vec<(Response, _)> = Vec::new();
    for (query, claimed) in [
        ("topic=a", None),
        ("topic=b&topic=a&history=all", None),
        ("topic=a&topic=b", Some(id.as_str())),
        ("topic=b", Some("another-7")),
        ("topic=nothing-here&topic=a&history=all", None),
    ] {
        for path in ["/events", "/bare"] {
            let request = Request::get(&format!("{path}?{query}"));
            let resume = Resume::new();
            let (request, resume) = match claimed {
                Some(id) => (request.header("last-event-id", id), resume.with_last_event_id(id)),
                None => (request, resume),
            };
            let response = site.send(request).await;
            let Answer::Subscription(same) = site.app.answer(path, Some(query), resume) else {
                panic!("{path} is a subscription");
            };
            pairs.push((response, same.open().expect("good topics")));
        }
    }
    for n in 0..20 {
        site.publish(["a", "b", "other"][n % 3], &format!("live {n}"));
    }
    site.hub.close();
    for (mut response, subscription) in pairs {
        assert_eq!(response.read_to_end().await, Ending::Whole);
        let expected: Vec<_> = within("the subscription", subscription.try_collect::<Vec<_>>())
            .await
            .expect("no snapshot can fail here");
        let expected = String::from_utf8(expected.concat()).expect("text");
        assert_eq!(without_client(response.text()), without_client(&expected));
    }
}

/// A body without its client id, whose 16 digits differ from stream to stream.
pub(super) fn without_client(body: &str) -> String {
    match body.split_once("\"client\":\"") {
        Some((before, client)) => format!("{before}{}", &client[16..]),
        None => body.to_owned(),
    }
}

pub async fn events_of_any_size_arrive_whole<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.follow("/events?topic=a").await;
    for size in [0, 1, 4_095, 8_192, 65_535, 65_536, 300_000, 1_000_000] {
        let data = "0123456789abcdef".repeat(size / 16 + 1)[..size].to_owned();
        site.publish("a", &data);
        assert!(response.next_message().await.data() == data, "an event of {size} bytes");
    }
}

pub async fn an_idle_stream_sends_heartbeats<A: Adapter>() {
    let site = Site::open::<A>();
    let mut response = site.follow("/beating?topic=a").await;
    let before = response.body().len();
    response.read_exactly(before + 9).await;
    assert_eq!(&response.text()[before..], ":\n\n:\n\n:\n\n");
    assert_eq!(response.messages().len(), 1, "heartbeats are no messages");
}

pub async fn a_heartbeat_may_be_an_event_which_does_not_change_where_a_client_resumes<
    A: Adapter,
>() {
    const PING: &str = "event: ping\ndata:\n\n";
    let site = Site::open::<A>();
    let mut response = site.follow("/pinging?topic=a").await;
    let (before, client) = (response.body().len(), response.last_event_id().to_owned());
    response.read_exactly(before + 3 * PING.len()).await;
    assert_eq!(&response.text()[before..], PING.repeat(3));
    assert_eq!(response.last_event_id(), client);
    // The status, and no heartbeat.
    assert_eq!(site.hub.clients().list().iter().map(|client| client.events_sent).sum::<u64>(), 1);
    response.reset();
    let missed = site.publish("a", "missed");
    let request = Request::get("/pinging?topic=a").header("Last-Event-ID", &client);
    let mut response = site.send(request).await;
    response.read_until("the event", |response| response.last_event_id() == missed).await;
    let messages = response.messages().iter().filter(|message| message.event() != "ping");
    let messages: Vec<_> = messages.map(|message| message.event()).collect();
    assert_eq!(messages, ["tidings:status", "message"]);
}

pub async fn a_stream_without_a_hub_may_have_events_as_heartbeats<A: Adapter>() {
    let expected = format!(":\n\n{}", "event: ping\ndata:\n\n".repeat(2));
    let site = Site::open::<A>();
    let mut response = site.get("/stream/pinging").await;
    response.read_exactly(expected.len()).await;
    assert_eq!(response.text(), expected);
}

pub async fn a_bare_stream_has_nothing_but_events<A: Adapter>() {
    let site = Site::open::<A>();
    let before = site.publish("a", "before");
    let mut response = site.get("/bare?topic=a&history=all").await;
    let live = site.publish("a", "live");
    response.read_messages(2).await;
    // The first three bytes are for proxies that hold the head back.
    let expected = format!(":\n\ndata: before\nid: {before}\n\ndata: live\nid: {live}\n\n");
    assert_eq!(response.text(), expected);
}

pub async fn concurrent_publications_have_one_order_for_all<A: Adapter>() {
    const PUBLISHERS: usize = 4;
    const EACH: usize = 300;
    let site = Site::open::<A>();
    let mut clients = Vec::new();
    for n in 0..6 {
        let response = site.get(["/events?topic=a&topic=b", "/events?topic=b"][n % 2]).await;
        clients.push((response, ["a", "b"].split_at(n % 2).1));
    }
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let hub = site.hub.clone();
        tokio::task::spawn_blocking(move || {
            let data = |n| format!("{publisher} {n}");
            (0..EACH).map(|n| Entry::publish(&hub, ["a", "b"][n % 2], &data(n))).collect::<Vec<_>>()
        })
    });
    let published = try_join_all(publishers.collect::<Vec<_>>());
    let mut published = within("publishing", published).await.expect("it is published").concat();
    published.sort_by_key(|entry| position(&entry.id));
    for (mut response, topics) in clients {
        let count = PUBLISHERS * EACH * topics.len() / 2;
        // It is cut, and comes back.
        response.read_messages(1 + count / 3).await;
        let id = response.last_event_id().to_owned();
        let before = Visit::of(None, &response);
        response.reset();
        let target = format!("/events?topic={}", topics.join("&topic="));
        let mut response = site.send(Request::get(&target).header("Last-Event-ID", &id)).await;
        let left = 1 + count - (before.messages.len() - 1);
        response.read_messages(left).await;
        let visits = [before, Visit::of(Some(&id), &response)];
        let summary = check(&published, topics, &visits);
        assert_eq!(summary, Ok(Summary { events: count, resumed: 1, resets: 0 }));
    }
}

/// Together 16 MiB: more than a server and two kernels buffer for one connection.
pub(super) const MANY: usize = 128;
pub(super) const LARGE: usize = 128 * 1024;

pub async fn a_client_that_does_not_read_delays_nobody<A: Adapter>() {
    let site = Site::open::<A>();
    let mut slow = Vec::new();
    for _ in 0..4 {
        let connection = Connection::open_narrow(site.addr(), 16 * 1024).await;
        slow.push(connection.send(&Request::get("/events?topic=a")).await);
    }
    let mut quick = site.follow("/events?topic=a").await;
    for n in 0..MANY {
        let data = format!("{n} {}", "x".repeat(LARGE));
        site.publish("a", &data);
        assert!(quick.next_message().await.data() == data, "event {n}");
    }
}

pub async fn the_buffer_of_a_client_that_does_not_read_is_bounded<A: Adapter>() {
    const RETAINED: usize = 1024 * 1024;
    let retention = Retention::default().bytes(RETAINED);
    let site = Site::with::<A>(Hub::builder().retention(retention));
    let slow = Connection::open_narrow(site.addr(), 16 * 1024).await;
    let mut slow = slow.send(&Request::get("/events?topic=a")).await;
    slow.read_messages(1).await;
    let data = |n| format!("{n} {}", "x".repeat(LARGE));
    let published: Vec<_> = (0..MANY).map(|n| Entry::publish(&site.hub, "a", &data(n))).collect();
    // It reads on: what was sent to it, a reset, and what is retained.
    let last = published.last().map_or("", |entry| &entry.id);
    slow.read_until("the last event", |response| response.last_event_id() == last).await;
    let summary = check(&published, &["a"], &[Visit::of(None, &slow)]);
    assert!(summary.as_ref().is_ok_and(|summary| summary.resets > 0), "{summary:?}");
    let received = slow.body().len();
    let buffered = received - RETAINED.min(received);
    assert!(buffered < MANY * LARGE / 2, "{buffered} bytes were buffered for a slow client");
    assert_eq!(
        slow.messages().last().map(|message| message.data().len()),
        Some(data(MANY - 1).len())
    );
}
