//! Connections with streams: what comes before a stream, after it and instead of it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use site::{Site, read_to_end, read_until};
use tidings_net::Limits;
use tidings_testkit::limit::within;
use tidings_testkit::wire::{Connection, Ending, Http2, Request, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_stream_has_no_task_and_its_snapshot_is_not_made_by_a_writer() {
    let site = Site::new().await;
    let mut response = site.follow("/late/a").await;
    site.has(1, 0).await;
    // Its snapshot names the thread that made it.
    let snapshot = response.next_message().await.data().to_owned();
    let here = std::thread::current().name().unwrap_or_default().to_owned();
    assert_eq!(snapshot, here, "the runtime of a test has one thread");
}

#[tokio::test]
async fn a_request_that_follows_a_streams_is_answered_when_the_stream_has_ended() {
    let site = Site::new().await;
    let both = [Request::get("/events/a").bytes(), Request::get("/text/1").bytes()].concat();
    // The second request comes with the first, cut anywhere, or after the stream.
    for cut in Request::get("/events/a").bytes().len()..=both.len() {
        let mut connection = Connection::open(site.addr).await;
        connection.write(&both[..cut]).await;
        let mut response = connection.response().await;
        response.next_message().await;
        site.has(1, 0).await;
        site.publish("a", "before");
        assert_eq!(response.next_message().await.data(), "before");
        site.close_client();
        assert_eq!(response.read_to_end().await, Ending::Whole);
        let mut connection = response.into_connection();
        connection.write(&both[cut..]).await;
        let mut response = connection.response().await;
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), "/text/1");
        response.reset();
    }
    site.has(0, 0).await;
}

#[tokio::test]
async fn what_a_client_sends_during_the_stream_is_its_next_request() {
    let site = Site::new().await;
    let mut socket = TcpStream::connect(site.addr).await.unwrap();
    let next = [Request::get("/text/1").bytes(), Request::get("/events/b").bytes()].concat();
    socket.write_all(&Request::get("/events/a").bytes()).await.unwrap();
    read_until(&mut socket, "\n\n").await;
    site.has(1, 0).await;
    for (n, piece) in next.chunks(7).enumerate() {
        socket.write_all(piece).await.unwrap();
        site.publish("a", &format!("during {n}."));
        read_until(&mut socket, &format!("during {n}.")).await;
    }
    site.close_client();
    let rest = read_until(&mut socket, "tidings:status").await;
    let (end, rest) = rest.split_once("0\r\n\r\n").unwrap();
    assert!(!end.contains("HTTP"), "{end:?}");
    assert!(
        rest.starts_with("HTTP/1.1 200 OK\r\n")
            && rest.contains("/text/1\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n")
    );
    // The third response is a stream again, and direct.
    site.has(1, 0).await;
    assert_eq!(site.hub.clients().list()[0].topics[0].as_str(), "b");
}

#[tokio::test]
async fn a_response_before_the_stream_leaves_first() {
    let site = Site::new().await;
    let mut connection = Connection::open(site.addr).await;
    let large = "x".repeat(1 << 20);
    let requests = [Request::post("/echo/1", large.as_str()), Request::get("/events/a")];
    let both = requests.map(|request| request.bytes()).concat();
    connection.write(&both).await;
    let mut response = connection.response().await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.text(), large);
    let mut response = response.into_connection().response().await;
    response.next_message().await;
    site.has(1, 0).await;
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_a_body_without_framing() {
    let site = Site::new().await;
    let mut socket = TcpStream::connect(site.addr).await.unwrap();
    socket.write_all(&Request::get("/events/a").http_1_0().bytes()).await.unwrap();
    let begin = read_until(&mut socket, "\n\n").await;
    let (head, body) = begin.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n") && !head.contains("transfer-encoding"));
    assert!(body.starts_with("event: tidings:status\n"), "{body:?}");
    site.has(1, 0).await;
    let id = site.publish("a", "hello");
    site.hub.close();
    let rest = read_to_end(&mut socket).await;
    assert_eq!(rest, format!("data: hello\nid: {id}\n\n"));
    site.has(0, 0).await;
}

#[tokio::test]
async fn a_connection_ends_after_the_stream_if_the_client_asks_for_it() {
    let site = Site::new().await;
    for value in ["close", "Close", "te, close"] {
        let mut socket = TcpStream::connect(site.addr).await.unwrap();
        let request = Request::get("/events/a").header("Connection", value);
        socket.write_all(&request.bytes()).await.unwrap();
        let head = read_until(&mut socket, "\r\n\r\n").await;
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
        site.has(1, 0).await;
        site.close_client();
        assert!(read_to_end(&mut socket).await.ends_with("0\r\n\r\n"));
        site.has(0, 0).await;
    }
}

#[tokio::test]
async fn a_connection_outlives_its_streams() {
    let site = Site::new().await;
    let mut connection = Connection::open(site.addr).await;
    for n in 0..5 {
        let mut response = connection.send(&Request::get("/events/a")).await;
        assert_eq!(response.header("connection"), None);
        response.next_message().await;
        site.has(1, 0).await;
        let data = format!("event {n}");
        site.publish("a", &data);
        assert_eq!(response.next_message().await.data(), data);
        site.close_client();
        assert_eq!(response.read_to_end().await, Ending::Whole);
        connection = response.into_connection();
        site.has(0, 1).await;
    }
}

#[tokio::test]
async fn a_request_with_a_body_is_answered_by_hyper() {
    let site = Site::new().await;
    let mut connection = Connection::open(site.addr).await;
    connection.write(&Request::post("/events/a", "a body").bytes()).await;
    let mut response = connection.response().await;
    response.next_message().await;
    site.has(1, 1).await;
    site.publish("a", "hello");
    assert_eq!(response.next_message().await.data(), "hello");
    site.close_client();
    assert_eq!(response.read_to_end().await, Ending::Whole);
    // The connection goes on.
    let mut response = response.into_connection().send(&Request::post("/echo/1", "again")).await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.text(), "again");
}

#[tokio::test]
async fn head_is_answered_by_hyper_and_its_subscription_ends() {
    let site = Site::new().await;
    let connection = Connection::open(site.addr).await;
    let mut response = connection.send(&Request::new("HEAD", "/events/a")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(response.read_to_end().await, Ending::Whole);
    site.has(0, 1).await;
    let mut response = response.into_connection().send(&Request::get("/events/a")).await;
    response.next_message().await;
    site.has(1, 0).await;
}

#[tokio::test]
async fn an_upgrade_works() {
    let site = Site::new().await;
    let mut socket = TcpStream::connect(site.addr).await.unwrap();
    let request = Request::get("/upgrade/1").header("connection", "upgrade");
    let bytes = [&request.header("upgrade", "echo").bytes()[..], b"to be echoed\n"].concat();
    socket.write_all(&bytes).await.unwrap();
    let all = read_to_end(&mut socket).await;
    assert!(all.starts_with("HTTP/1.1 101 "), "{all}");
    assert!(all.ends_with("\r\n\r\nto be echoed\n"), "{all}");
    // hyper sends the stream to a client that has offered an upgrade.
    let mut socket = TcpStream::connect(site.addr).await.unwrap();
    let request =
        Request::get("/events/a").header("connection", "upgrade").header("upgrade", "h2c");
    socket.write_all(&request.bytes()).await.unwrap();
    read_until(&mut socket, "tidings:status").await;
    site.has(1, 1).await;
}

#[tokio::test]
async fn a_client_that_begins_with_http_2_is_answered_by_hyper() {
    let site = Site::new().await;
    let client = Http2::open(site.addr).await;
    let mut one = client.get("/events/a").await;
    let mut other = client.get("/events/b").await;
    one.next_message().await;
    other.next_message().await;
    site.publish("a", "hello");
    assert_eq!(one.next_message().await.data(), "hello");
    site.publish("b", "world");
    assert_eq!(other.next_message().await.data(), "world");
    site.hub.close();
    assert_eq!(one.read_to_end().await, Ending::Whole);
    assert_eq!(other.read_to_end().await, Ending::Whole);
}

#[tokio::test]
async fn a_client_that_hesitates_in_its_first_bytes_is_understood() {
    let site = Site::new().await;
    // For a while, it might be HTTP/2.
    for first in ["P", "PR", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut socket = TcpStream::connect(site.addr).await.unwrap();
        socket.write_all(first.as_bytes()).await.unwrap();
        let mut stream = site.follow("/events/a").await;
        site.publish("a", "hello");
        assert_eq!(stream.next_message().await.data(), "hello");
        socket.write_all(b"OPFIND /text/1 HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
        let all = read_to_end(&mut socket).await;
        assert_eq!(all.contains("200 OK"), first == "P" || first == "PR", "{all}");
    }
}

#[tokio::test]
async fn a_body_that_a_layer_changes_is_sent_as_changed() {
    let site = Site::new().await;
    let mut response = Response::to(site.addr, Request::get("/loud/a")).await;
    response.read_until("shouting", |r| r.text().contains("EVENT: TIDINGS:STATUS\n")).await;
    site.has(1, 1).await;
    site.publish("a", "hello");
    response.read_until("shouting", |r| r.text().contains("DATA: HELLO\n")).await;
    site.close_client();
    assert_eq!(response.read_to_end().await, Ending::Whole);
}

#[tokio::test]
async fn what_a_layer_sends_before_the_stream_or_in_its_place_is_sent_by_both_transports() {
    for site in [Site::new().await, Site::with_bodies(Limits::default()).await] {
        let mut response = Response::to(site.addr, Request::get("/prefixed/a")).await;
        response.read_until("the stream", |r| r.text().contains("tidings:status")).await;
        let begin = ": padding\n\nevent: tidings:status\n";
        assert!(response.text().starts_with(begin), "{}", response.text());
        site.close_client();
        assert_eq!(response.read_to_end().await, Ending::Whole);
        let mut response = Response::to(site.addr, Request::get("/replaced/a")).await;
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(response.text(), "something else");
        let is_empty = || site.hub.clients().count() == 0;
        tidings_testkit::limit::eventually("nobody is left", is_empty).await;
    }
}

#[tokio::test]
async fn what_a_layer_keeps_in_the_body_is_dropped_when_the_stream_ends() {
    use std::sync::atomic::Ordering::SeqCst;

    let site = Site::new().await;
    let watches = || site.watches.load(SeqCst);
    for ending in ["closed", "gone", "reset"] {
        let mut response = site.follow("/watched/a").await;
        site.has(1, 0).await;
        assert_eq!(watches(), 1, "it lives as long as the stream");
        site.publish("a", "hello");
        assert_eq!(response.next_message().await.data(), "hello");
        match ending {
            "closed" => {
                site.close_client();
                assert_eq!(response.read_to_end().await, Ending::Whole);
            }
            "gone" => response.close().await,
            _ => response.reset(),
        }
        tidings_testkit::limit::eventually(ending, || watches() == 0).await;
        tidings_testkit::limit::eventually(ending, || site.hub.clients().count() == 0).await;
    }
}

#[tokio::test]
async fn a_panic_in_a_layers_drop_ends_no_other_stream() {
    let site = Site::new().await;
    for ending in ["closed", "gone"] {
        let mut other = site.follow("/events/a").await;
        let cursed = site.follow("/cursed/b").await;
        site.has(2, 0).await;
        match ending {
            "closed" => {
                let clients = site.hub.clients().list();
                let cursed = clients.iter().find(|client| client.topics[0].as_str() == "b");
                assert!(site.hub.clients().close(cursed.unwrap().id));
            }
            _ => cursed.close().await,
        }
        let is_gone = || site.hub.clients().count() == 1;
        tidings_testkit::limit::eventually(ending, is_gone).await;
        site.publish("a", "hello");
        assert_eq!(other.next_message().await.data(), "hello");
        other.close().await;
        let is_empty = || site.hub.clients().count() == 0;
        tidings_testkit::limit::eventually(ending, is_empty).await;
    }
}

#[tokio::test]
async fn a_snapshot_may_use_the_runtimes_timers() {
    let site = Site::new().await;
    let connection = Connection::open(site.addr).await;
    let mut response = connection.send(&Request::get("/timed/a")).await;
    response.read_messages(2).await;
    assert_eq!(response.messages()[1].data(), "a snapshot that took its time");
    site.has(1, 0).await;
    site.publish("a", "hello");
    response.read_messages(3).await;
    assert_eq!(response.messages()[2].data(), "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_snapshot_that_blocks_its_thread_delays_no_other_stream() {
    let site = Site::new().await;
    let mut others = [site.follow("/events/a").await, site.follow("/events/b").await];
    let connection = Connection::open(site.addr).await;
    let mut blocked = connection.send(&Request::get("/blocked/a")).await;
    for n in 0..10 {
        for (topic, other) in ["a", "b"].into_iter().zip(&mut others) {
            let data = format!("{topic} {n}");
            site.publish(topic, &data);
            assert_eq!(other.next_message().await.data(), data);
        }
        // New ones, too.
        site.follow("/events/a").await.close().await;
    }
    assert!(blocked.messages().is_empty());
    let gate = site.gate.clone();
    let opening = tokio::task::spawn_blocking(move || gate.wait());
    within("the hook", opening).await.unwrap();
    blocked.read_messages(3).await;
    assert_eq!(blocked.messages()[1].data(), "a snapshot that was waited for");
    assert_eq!(blocked.messages()[2].data(), "a 0");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_snapshot_is_there_leaves_nothing() {
    let site = Site::new().await;
    let connection = Connection::open(site.addr).await;
    let waiting = connection.send(&Request::get("/endless/a")).await;
    site.has(1, 1).await;
    waiting.reset();
    site.has(0, 0).await;
}

#[tokio::test]
async fn streams_can_end_without_their_last_chunk() {
    let site = Site::new().await;
    site.hub.end_streams_by_reset(true);
    let mut response = site.follow("/events/a").await;
    site.publish("a", "the last");
    site.close_client();
    let ending = response.read_to_end().await;
    assert!(matches!(ending, Ending::Cut | Ending::Reset), "{ending:?}");
    let mut socket = TcpStream::connect(site.addr).await.unwrap();
    socket.write_all(&Request::get("/events/a").http_1_0().bytes()).await.unwrap();
    read_until(&mut socket, "\n\n").await;
    site.hub.close();
    read_to_end(&mut socket).await;
    site.has(0, 0).await;
}

#[tokio::test]
async fn a_snapshot_that_panics_ends_only_its_own_stream() {
    let site = Site::new().await;
    let mut other = site.follow("/events/a").await;
    let connection = Connection::open(site.addr).await;
    let mut response = connection.send(&Request::get("/panics/a")).await;
    let ending = response.read_to_end().await;
    assert!(matches!(ending, Ending::Cut | Ending::Reset), "{ending:?}");
    site.has(1, 0).await;
    site.publish("a", "hello");
    assert_eq!(other.next_message().await.data(), "hello");
}

#[tokio::test]
async fn a_shutdown_ends_all_streams_with_their_last_chunk() {
    let mut site = Site::new().await;
    let mut streams = Vec::new();
    for n in 0..20 {
        streams.push(site.follow(&format!("/events/{}", n % 3)).await);
    }
    site.has(20, 0).await;
    let idle = Connection::open(site.addr).await;
    let mut of_hyper = Response::to(site.addr, Request::get("/loud/0")).await;
    site.publish("0", "the last");
    site.hub.close();
    site.shutdown.take().unwrap().send(()).unwrap();
    for (n, response) in streams.iter_mut().enumerate() {
        assert_eq!(response.read_to_end().await, Ending::Whole);
        let last = response.messages().last().unwrap().data();
        assert_eq!(last == "the last", n % 3 == 0);
    }
    assert_eq!(of_hyper.read_to_end().await, Ending::Whole);
    assert!(of_hyper.text().contains("DATA: THE LAST\n"));
    within("the end of the server", &mut site.server).await.unwrap().unwrap();
    assert_eq!(site.hub.clients().count(), 0);
    drop(idle);
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_what_hyper_sends_and_who_waits() {
    let site = Site::with_bodies(Limits::default()).await;
    let mut stream = site.follow("/events/a").await;
    let silent = Connection::open(site.addr).await;
    let mut idle = Response::to(site.addr, Request::get("/text/1")).await;
    assert_eq!(idle.read_to_end().await, Ending::Whole);
    site.has(1, 3).await;
    site.server.abort();
    let ending = stream.read_to_end().await;
    assert!(matches!(ending, Ending::Cut | Ending::Reset), "{ending:?}");
    silent.ended().await;
    idle.into_connection().ended().await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let is_empty = || metrics.num_alive_tasks() == 0;
    tidings_testkit::limit::eventually("no task is left", is_empty).await;
    assert_eq!(site.hub.clients().count(), 0);
}

#[tokio::test]
async fn a_server_that_is_dropped_closes_its_direct_streams() {
    let mut site = Site::new().await;
    let mut streams = Vec::new();
    for n in 0..20 {
        streams.push(site.follow(&format!("/events/{}", n % 3)).await);
    }
    site.has(20, 0).await;
    site.server.abort();
    let _ = within("the end of the server", &mut site.server).await;
    for response in &mut streams {
        let ending = response.read_to_end().await;
        assert!(matches!(ending, Ending::Cut | Ending::Reset), "{ending:?}");
    }
    tidings_testkit::limit::eventually("no client is left", || site.hub.clients().count() == 0)
        .await;
}
