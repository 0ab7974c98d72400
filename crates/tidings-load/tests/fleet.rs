//! Fleets of clients against a real hub, and against servers with faults.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod scripted;

use std::time::Duration;

use scripted::{Answer, STREAM, Scripted, events};
use tidings_load::{Connections, Fields, Fleet, LoadErrorKind, Plan, Report, Target, Verdict};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::process::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn request(hub: &Process, request: String) -> String {
    let mut stream = TcpStream::connect(hub.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

async fn publish(hub: &Process, topic: &str, data: &str) {
    let length = data.len();
    let post = format!(
        "POST /publish?topic={topic} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{data}"
    );
    let answer = request(hub, post).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn events_of(hub: &Process, topic: &str) -> Target {
    Target::parse(&format!("http://{}/events?topic={topic}", hub.addr())).unwrap()
}

/// Two clients: the server sends `first` to one and `second` to the other, `deliveries` events in
/// all.
async fn two_clients(first: &str, second: &str, deliveries: u64, fields: Fields) -> Report {
    fleet_of_two(first, second, deliveries, fields).await.report()
}

/// As [`two_clients`], before the report.
async fn fleet_of_two(first: &str, second: &str, deliveries: u64, fields: Fields) -> Fleet {
    let answers = [first, second].map(|body| Answer::stays(format!("{STREAM}{body}")));
    let server = Scripted::start(move |number| answers[number % 2].clone()).await;
    let plan = Plan::new(Target::parse(&server.url()).unwrap(), 2).fields(fields);
    let fleet = within("the start", Fleet::start(plan)).await.unwrap();
    eventually("all deliveries", || fleet.deliveries() == deliveries).await;
    fleet
}

#[tokio::test]
async fn every_client_receives_every_event_of_the_hub() {
    let hub = Process::start("hub-axum").await;
    let fleet = within("all clients", Fleet::connect(&events_of(&hub, "load"), 50)).await.unwrap();
    assert_eq!(fleet.connected(), 50);
    for n in 0..10 {
        publish(&hub, "other", "not for them").await;
        publish(&hub, "load", &format!("{{\"n\":{n}}}")).await;
    }
    within("ten events each", fleet.wait_for_deliveries(10)).await.unwrap();
    let report = fleet.report();
    assert!(report.clean, "{report:?}");
    assert_eq!((report.deliveries.total, report.deliveries.without_timestamp), (500, 500));
    assert_eq!((report.verdict.judged_by_id, report.verdict.judged_by_number), (500, 500));
    assert_eq!((report.clients.streamed, report.first_byte_ms.count), (50, 50));
    within("the end", fleet.close()).await;
}

#[tokio::test]
async fn measuring_can_start_again() {
    let hub = Process::start("hub-axum").await;
    let target = events_of(&hub, "load");
    let mut fleet = within("all clients", Fleet::connect(&target, 10)).await.unwrap();
    publish(&hub, "load", "one").await;
    within("an event each", fleet.wait_for_deliveries(1)).await.unwrap();
    fleet.restart_measuring();
    assert_eq!((fleet.deliveries(), fleet.connected()), (0, 10));
    publish(&hub, "load", "two").await;
    publish(&hub, "load", "three").await;
    within("two events each", fleet.wait_for_deliveries(2)).await.unwrap();
    within("an event that they have received already", fleet.wait_for_deliveries(1)).await.unwrap();
    assert_eq!(fleet.report().deliveries.total, 20);
}

/// 30 clients of a hub must receive 100 events, and `closed` of their connections be closed.
async fn reconnecting_loses_nothing(
    plan: impl FnOnce(Plan) -> Plan,
    closed: impl Fn(&Connections) -> u64,
) {
    let hub = Process::start("hub-axum").await;
    let fleet = Fleet::start(plan(Plan::new(events_of(&hub, "load"), 30)));
    let fleet = within("the start", fleet).await.unwrap();
    within("all clients", fleet.wait_connected()).await.unwrap();
    for n in 0..100 {
        publish(&hub, "load", &format!("{{\"n\":{n}}}")).await;
    }
    within("all events", fleet.wait_for_deliveries(100)).await.unwrap();
    eventually("all clients twice", || closed(&fleet.report().connections) >= 60).await;
    let report = fleet.report();
    assert!(report.clean, "{report:?}");
    assert_eq!(report.deliveries.total, 3000);
}

#[tokio::test]
async fn a_storm_loses_nothing() {
    let plan = |plan: Plan| plan.storm(Duration::from_millis(150));
    reconnecting_loses_nothing(plan, |connections| connections.closed_by_storm).await;
}

#[tokio::test]
async fn clients_that_reconnect_in_turn_lose_nothing() {
    let plan = |plan: Plan| plan.reconnect_every(Duration::from_millis(50));
    reconnecting_loses_nothing(plan, |connections| connections.closed_as_planned).await;
}

#[tokio::test]
async fn a_stream_that_the_server_ends_is_resumed_after_its_retry_delay() {
    let server = Scripted::start(|number| match number {
        0 => Answer::ends(format!("{STREAM}retry: 20\n\n{}", events([1, 2]))),
        _ => Answer::stays(format!("{STREAM}{}", events([3]))),
    })
    .await;
    // The plan's delay would be too long for the test.
    let plan = Plan::new(Target::parse(&server.url()).unwrap(), 1).retry(Duration::from_secs(600));
    let fleet = within("the start", Fleet::start(plan)).await.unwrap();
    within("all events", fleet.wait_for_deliveries(3)).await.unwrap();
    let requests = server.requests();
    assert!(!requests[0].contains("Last-Event-ID"), "{requests:?}");
    assert!(requests[1].contains("\r\nLast-Event-ID: e-2\r\n"), "{requests:?}");
    let report = fleet.report();
    assert_eq!((report.connections.ended_by_server, report.connections.opened), (1, 2));
    assert!(report.clean, "{report:?}");
}

#[tokio::test]
async fn a_head_is_the_first_byte_even_if_no_event_comes() {
    let server = Scripted::start(|_| Answer::stays(STREAM)).await;
    let target = Target::parse(&server.url()).unwrap();
    let fleet = within("all clients", Fleet::connect(&target, 3)).await.unwrap();
    assert_eq!(fleet.report().first_byte_ms.count, 3);
}

#[tokio::test]
async fn a_response_without_its_last_chunk_is_cut() {
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                           transfer-encoding: chunked\r\n\r\na\r\nretry: 1\n\n\r\n";
    for (end, broken) in [("", 1), ("0\r\n\r\n", 0)] {
        let server = Scripted::start(move |number| match number {
            0 => Answer::ends(format!("{CHUNKED}{end}")),
            _ => Answer::stays(STREAM),
        })
        .await;
        let plan = Plan::new(Target::parse(&server.url()).unwrap(), 1);
        let fleet = within("the start", Fleet::start(plan)).await.unwrap();
        eventually("the second stream", || fleet.report().connections.opened == 2).await;
        let connections = fleet.report().connections;
        assert_eq!((connections.broken, connections.ended_by_server), (broken, 1 - broken));
        let cut = connections.failures.get("the connection ended inside the response");
        assert_eq!(cut.is_some(), broken == 1, "{:?}", connections.failures);
    }
}

#[tokio::test]
async fn a_server_that_drops_doubles_or_reorders_is_caught() {
    let clean = events(1..20);
    let dropped = events((1..20).filter(|n| *n != 7));
    let doubled = events((1..10).chain(9..20));
    let disordered = events((1..9).chain([10, 9]).chain(11..20));
    // Missed, duplicates, out of order.
    for (stream, deliveries, faults) in [
        (&clean, 38, [0, 0, 0]),
        (&dropped, 37, [1, 0, 0]),
        (&doubled, 39, [0, 1, 0]),
        (&disordered, 38, [0, 0, 1]),
    ] {
        let report = two_clients(&clean, stream, deliveries, Fields::default()).await;
        let verdict = report.verdict;
        assert_eq!([verdict.missed, verdict.duplicates, verdict.disordered], faults);
        let is_clean = faults == [0, 0, 0];
        assert_eq!([report.clean, report.is_good()], [is_clean; 2]);
        assert_eq!(report.complaints().len(), usize::from(!is_clean));
    }
}

#[tokio::test]
async fn an_event_without_an_id_is_no_duplicate() {
    // The second and the last event inherit an id, which is no fault; the third repeats one, which is.
    let stream = "id: e-1\ndata: x\n\ndata: x\n\nid: e-1\ndata: x\n\nid: e-2\n\ndata: x\n\n";
    let report = two_clients(stream, stream, 8, Fields::default()).await;
    let verdict = report.verdict;
    assert_eq!([verdict.duplicates, verdict.judged_by_id, verdict.unjudged], [2, 4, 4]);
}

#[tokio::test]
async fn without_numbers_an_event_that_only_others_received_was_missed() {
    let unnumbered =
        |ids: &[u64]| ids.iter().map(|id| format!("id: e-{id}\ndata: x\n\n")).collect::<String>();
    let (all, some) = (unnumbered(&[2, 5, 9, 12]), unnumbered(&[2, 9, 12]));
    let mut fleet = fleet_of_two(&all, &some, 7, Fields::default()).await;
    let verdict = fleet.report().verdict;
    assert_eq!((verdict.missed, verdict.compared), (1, 7));
    fleet.restart_measuring();
    assert_eq!(fleet.report().verdict, Verdict::default());
}

#[tokio::test]
async fn an_event_of_another_topic_is_caught() {
    let event = |topic: &str| format!("data: {{\"topic\":\"{topic}\"}}\n\n");
    let mut fields = Fields::default();
    fields.expected = Some(("topic".into(), "load".into()));
    let (own, mixed) = (event("load").repeat(2), event("load") + &event("other"));
    let report = two_clients(&own, &mixed, 4, fields).await;
    assert_eq!(report.verdict.foreign, 1);
}

#[tokio::test]
async fn the_end_event_of_a_hub_is_no_delivery() {
    let end = "event: tidings:end\ndata: {\"reason\":\"lifetime\"}\n\n";
    let event = "data: {\"topic\":\"load\"}\n\n";
    let mut fields = Fields::default();
    fields.expected = Some(("topic".into(), "load".into()));
    let report = two_clients(&format!("{end}{event}"), event, 2, fields).await;
    assert_eq!((report.verdict.foreign, report.deliveries.total), (0, 2));
    assert_eq!(report.connections.announced_ends.get("lifetime"), Some(&1));
}

#[tokio::test]
async fn an_event_that_a_reset_repeats_is_no_fault() {
    let reset = "event: tidings:status\ndata: {\"status\":\"reset\",\"reason\":\"expired\"}\n\n";
    let stream = events(1..10) + reset + &events(5..15);
    let report = two_clients(&events(1..20), &stream, 38, Fields::default()).await;
    let verdict = report.verdict;
    assert_eq!((verdict.resets, verdict.repeated_after_reset), (1, 5));
    assert!(report.clean, "{report:?}");
}

#[tokio::test]
async fn a_timestamp_in_the_data_gives_the_latency_except_of_a_replay() {
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let past = format!("data: {{\"at\":{}}}\n\n", at.as_millis() - 5000);
    let future = format!("data: {}\n\n", at.as_nanos() + 3_600_000_000_000);
    let report = two_clients(&past, &future, 2, Fields::default()).await;
    let deliveries = &report.deliveries;
    assert_eq!((deliveries.replayed, deliveries.from_the_future), (1, 1));
    assert_eq!((report.latency_ms.count, deliveries.without_timestamp), (1, 0));
}

#[tokio::test]
async fn a_slow_client_receives_every_event() {
    let server = Scripted::start(|_| Answer::stays(format!("{STREAM}{}", events(1..500)))).await;
    let plan = Plan::new(Target::parse(&server.url()).unwrap(), 2).slow(0.5, 50_000);
    let fleet = within("the start", Fleet::start(plan)).await.unwrap();
    within("all events", fleet.wait_for_deliveries(499)).await.unwrap();
    let report = fleet.report();
    assert_eq!((report.clients.slow, report.clients.slow_evicted), (1, 0));
    assert!(report.clean, "{report:?}");
}

#[tokio::test]
async fn a_refusal_names_its_reason() {
    async fn refusal(answer: &'static str) -> (LoadErrorKind, String) {
        let server = Scripted::start(move |_| Answer::ends(answer)).await;
        let target = Target::parse(&server.url()).unwrap();
        let error = within("the end", Fleet::connect(&target, 3)).await.unwrap_err();
        (error.kind(), error.to_string().replace(&target.to_string(), "url"))
    }
    let not_found = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let (kind, message) = refusal(not_found).await;
    assert_eq!((kind, &*message), (LoadErrorKind::Refused, "url: the server answers 404"));
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n";
    let (kind, message) = refusal(page).await;
    let expected = "url: the content type is text/html, not text/event-stream";
    assert_eq!((kind, &*message), (LoadErrorKind::Refused, expected));
    assert_eq!(refusal("SSH-2.0-x\r\n").await.1, "url: the response is not HTTP/1.1");
    assert_eq!(refusal("").await.1, "url: the connection ended before the response");
}

#[tokio::test]
async fn a_server_that_does_not_listen_is_unreachable() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let target = Target::parse(&format!("http://{free}/")).unwrap();
    let error = within("the end", Fleet::connect(&target, 3)).await.unwrap_err();
    assert_eq!(error.kind(), LoadErrorKind::Unreachable);
    assert_eq!(error.to_string(), format!("http://{free}/: connection refused"));
}
