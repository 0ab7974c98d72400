//! Coming back: what a client missed, or a reset.

use tidings::{Hub, Retention};

use super::Adapter;
use super::site::{Site, data_of, status_of};
use crate::checker::{Entry, Summary, Visit, check};
use crate::limit::eventually;
use crate::wire::{Connection, Ending, Request, Response};

#[track_caller]
fn resumes(site: &Site, request: Request, expected: &[&str]) -> impl Future<Output = ()> {
    let response = site.send(request);
    async move {
        let mut response = response.await;
        assert_eq!(response.status(), 200);
        let messages = response.read_messages(1 + expected.len()).await;
        assert_eq!(status_of(&messages[0])["status"], "resumed");
        assert_eq!(data_of(&messages[1..]), expected);
    }
}

pub async fn a_client_resumes_by_the_header<A: Adapter>() {
    let site = Site::open::<A>();
    let [one, _, _] = ["one", "two", "three"].map(|data| site.publish("a", data));
    let request = Request::get("/events?topic=a").header("Last-Event-ID", one);
    resumes(&site, request, &["two", "three"]).await;
}

pub async fn a_client_resumes_by_the_query<A: Adapter>() {
    let site = Site::open::<A>();
    let [_, two, _] = ["one", "two", "three"].map(|data| site.publish("a", data));
    let plain = format!("/events?topic=a&lastEventId={two}");
    resumes(&site, Request::get(&plain), &["three"]).await;
    let escaped = format!("/events?lastEventId={}&topic=a", two.replace('-', "%2D"));
    resumes(&site, Request::get(&escaped), &["three"]).await;
}

pub async fn the_header_takes_precedence_over_the_query<A: Adapter>() {
    let site = Site::open::<A>();
    let [one, two, _] = ["one", "two", "three"].map(|data| site.publish("a", data));
    let target = format!("/events?topic=a&lastEventId={one}");
    let request = Request::get(&target).header("last-event-id", two);
    resumes(&site, request, &["three"]).await;
    let request = Request::get(&target).header("last-event-id", "");
    resumes(&site, request, &["two", "three"]).await;
}

const EXCHANGE: &str = "/events?topic=a&topic=b&history=all";

/// Publishes to the two topics of the exchange, and to another one.
fn publish_some(hub: &Hub, count: usize, published: &mut Vec<Entry>) {
    for _ in 0..count {
        let n = published.len();
        let topic = ["a", "b", "b", "a", "other"][n % 5];
        published.push(Entry::publish(hub, topic, &format!("{n} in\n{topic}")));
    }
}

/// Comes back as a browser does: with the last id, if there is one.
#[track_caller]
fn come_back(
    site: &Site,
    target: &str,
    id: Option<&str>,
) -> impl Future<Output = Response> + use<> {
    let request = Request::get(target);
    site.send(match id {
        Some(id) => request.header("Last-Event-ID", id),
        None => request,
    })
}

pub async fn a_cut_after_every_byte_loses_and_doubles_nothing<A: Adapter>() {
    cut_after_every_byte::<A>(EXCHANGE, &["a", "b"]).await;
}

/// `exchange` asks for `topics`: for all of `a` and `b` in some way, and for nothing else.
pub(super) async fn cut_after_every_byte<A: Adapter>(exchange: &str, topics: &[&str]) {
    // Every machine has file descriptors for this many. A new hub begins at position 1, so each round is the
    // same exchange.
    const AT_A_TIME: usize = 128;
    let mut next = 0;
    loop {
        let site = Site::open::<A>();
        let mut published = Vec::new();
        publish_some(&site.hub, 12, &mut published);
        let mut clients = Vec::new();
        for _ in 0..=AT_A_TIME {
            clients.push(site.get(exchange).await);
        }
        publish_some(&site.hub, 25, &mut published);
        // One client is not cut: it shows how long the exchange is. It has the status and 30 events.
        let mut whole = clients.pop().expect("one more than are cut");
        whole.read_messages(31).await;
        let length = whole.body().len();

        let mut cut = Vec::new();
        for (at, mut response) in (next..=length).zip(clients) {
            response.read_exactly(at).await;
            let id = Some(response.last_event_id().to_owned()).filter(|id| !id.is_empty());
            cut.push((at, Visit::of(None, &response), id));
            match at % 2 {
                0 => response.reset(),
                _ => response.close().await,
            }
        }
        publish_some(&site.hub, 7, &mut published);
        let last = published.last().map_or("", |entry| &entry.id);
        for (at, visit, id) in cut {
            let mut response = come_back(&site, exchange, id.as_deref()).await;
            response.read_until("the last event", |r| r.last_event_id() == last).await;
            let visits = [visit, Visit::of(id.as_deref(), &response)];
            match check(&published, topics, &visits) {
                Ok(summary) => assert_eq!(summary.resets, 0, "cut after byte {at}"),
                Err(fault) => panic!("cut after byte {at}: {fault}: {visits:?}"),
            }
        }
        next += AT_A_TIME;
        if next > length {
            return;
        }
    }
}

pub async fn a_client_that_was_away_too_long_is_reset_to_what_is_retained<A: Adapter>() {
    let retention = Retention::default().events(5);
    let site = Site::with::<A>(Hub::builder().retention(retention));
    let mut published = Vec::new();
    let mut response = site.get(EXCHANGE).await;
    publish_some(&site.hub, 4, &mut published);
    response.read_messages(5).await;
    let id = response.last_event_id().to_owned();
    let before = Visit::of(None, &response);
    response.reset();
    // Connected clients can still read what is not retained.
    eventually("the client is gone", || site.hub.clients().count() == 0).await;
    publish_some(&site.hub, 30, &mut published);

    let mut response = come_back(&site, EXCHANGE, Some(&id)).await;
    assert_eq!(response.status(), 200);
    let status = status_of(&response.next_message().await);
    assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &"trimmed".into()));
    let last = published.last().map_or("", |entry| &entry.id);
    response.read_until("the last event", |r| r.last_event_id() == last).await;
    let mut retained: Vec<_> = published
        .iter()
        .rev()
        .filter(|entry| entry.topic == "a")
        .take(5)
        .chain(published.iter().rev().filter(|entry| entry.topic == "b").take(5))
        .collect();
    retained.sort_by_key(|entry| published.iter().position(|other| other == *entry));
    let retained: Vec<_> = retained.iter().map(|entry| entry.data.as_str()).collect();
    assert_eq!(data_of(&response.messages()[1..]), retained, "everything that is retained");

    let visits = [before, Visit::of(Some(&id), &response)];
    let summary = check(&published, &["a", "b"], &visits);
    assert_eq!(summary, Ok(Summary { events: 4 + 10, resumed: 0, resets: 1 }));
}

pub async fn a_hostile_last_event_id_is_answered_in_the_stream<A: Adapter>() {
    let site = Site::open::<A>();
    let id = site.publish("a", "one");
    let (epoch, _) = id.split_once('-').expect("an id is epoch and position");
    let get = || Request::get("/events?topic=a");
    let header = |value: &[u8]| get().header("Last-Event-ID", value);
    let query = |value: &str| Request::get(&format!("/events?topic=a&lastEventId={value}"));
    let long = "x".repeat(60 * 1024);

    let nonsense = [
        header(long.as_bytes()),
        header(&b"\xff\xfe\x80".repeat(20)),
        header(format!("{id} ").repeat(2).as_bytes()),
        header(format!("{epoch}-2").as_bytes()),
        header(format!("{epoch}-18446744073709551615").as_bytes()),
        header(format!("{epoch}-18446744073709551616").as_bytes()),
        header(format!("{epoch}--1").as_bytes()),
        header(format!("{epoch}-+1").as_bytes()),
        header(format!("{epoch}-01").as_bytes()),
        header(format!("{epoch}-").as_bytes()),
        header(epoch.as_bytes()),
        header(b"0123456789ab-1"),
        header(b"-"),
        header(b"data: x"),
        header(b"..%2f..%0d%0a"),
        // Two that contradict each other: neither can be trusted.
        header(id.as_bytes()).header("last-event-id", format!("{epoch}-0")),
        query(&long),
        query("%ff%fe%00"),
        query("%"),
        query("%0d%0adata:%20x"),
        query(&format!("{epoch}-99999999999999999999999")),
    ];
    for request in nonsense {
        let shown = String::from_utf8_lossy(&request.bytes()[..100.min(request.bytes().len())])
            .into_owned();
        let mut response = site.send(request).await;
        assert_eq!(response.status(), 200, "{shown}");
        let messages = response.read_messages(2).await;
        let status = status_of(&messages[0]);
        assert_eq!(status["status"], "reset", "{shown}");
        assert_eq!(status["reason"], "unknown", "{shown}");
        assert_eq!(data_of(&messages[1..]), ["one"], "what is retained follows a reset");
    }
    // White space around a header's value is not part of it.
    for request in [header(b""), header(b" \t"), header(b"").header("Last-Event-ID", ""), query("")]
    {
        let mut response = site.send(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(status_of(&response.next_message().await)["status"], "fresh");
    }
    // The same id twice does not contradict itself.
    let mut response = site.send(header(id.as_bytes()).header("last-event-id", &id)).await;
    assert_eq!(status_of(&response.next_message().await)["status"], "resumed");
}

pub async fn a_client_that_cannot_be_told_of_a_gap_is_cut_before_it<A: Adapter>() {
    const LARGE: usize = 64 * 1024;
    let site = Site::with::<A>(Hub::builder().retention(Retention::default().events(4)));
    let connection = Connection::open_narrow(site.addr(), 16 * 1024).await;
    let mut slow = connection.send(&Request::get("/bare?topic=a")).await;
    let first = site.publish("a", "0");
    slow.read_until("the first event", |response| response.last_event_id() == first).await;
    let mut quick = site.follow("/events?topic=a").await;
    for n in 1..400 {
        let data = format!("{n} {}", "x".repeat(LARGE));
        site.publish("a", &data);
        assert!(quick.next_message().await.data() == data, "event {n}");
    }
    assert_ne!(slow.read_to_end().await, Ending::Whole);
    for (n, message) in slow.messages().iter().enumerate() {
        let number = message.data().split(' ').next();
        assert_eq!(number, Some(&*n.to_string()), "a gap that the client was not told of");
    }
    assert_eq!(site.hub.metrics().streams_untold, 1);
}
