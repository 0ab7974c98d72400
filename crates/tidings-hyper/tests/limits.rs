//! The limits of connections in time and number, each with a short value.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use site::{Site, read_to_end, read_until};
use tidings::Hub;
use tidings_net::{Limits, Network};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::wire::{Connection, Ending, Http2, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const SHORT: Duration = Duration::from_millis(100);

/// No limit in time but those that a test sets.
fn limits() -> Limits {
    Limits::default()
        .handshake_timeout(None)
        .head_timeout(None)
        .idle_timeout(None)
        .body_timeout(None)
        .write_timeout(None)
}

async fn site(limits: Limits) -> Site {
    Site::with(Hub::new(), limits).await
}

async fn connected(site: &Site, first: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(site.addr).await.unwrap();
    socket.write_all(first).await.unwrap();
    socket
}

fn get(target: &str) -> Vec<u8> {
    Request::get(target).bytes().to_vec()
}

/// What comes until the connection's end, which may be a reset.
async fn until_its_end(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let _ = within("the end of the connection", socket.read_to_end(&mut all)).await;
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn a_connection_without_a_request_ends_after_the_head_timeout() {
    let site = site(limits().head_timeout(SHORT)).await;
    for first in ["", "G", "GET / HTTP/1.1\r\nhost: a\r\n", "\r\n\r\n", "PRI * HT"] {
        let mut socket = connected(&site, first.as_bytes()).await;
        let answer = until_its_end(&mut socket).await;
        let wanted = if first.is_empty() { "" } else { "HTTP/1.1 408 Request Timeout\r\n" };
        assert!(answer.starts_with(wanted) && answer.is_empty() == first.is_empty(), "{answer}");
    }
    assert_eq!(site.hub.metrics().connections_timed_out, 5);
}

#[tokio::test]
async fn a_byte_now_and_then_does_not_keep_a_connection() {
    let site = site(limits().head_timeout(SHORT * 3)).await;
    let mut socket = connected(&site, b"GET / HTTP/1.1\r\nx: ").await;
    let answer = within("the end", async {
        let mut all = Vec::new();
        loop {
            tokio::select! {
                read = socket.read_buf(&mut all) => if matches!(read, Ok(0) | Err(_)) { break all },
                () = tokio::time::sleep(SHORT / 4) => drop(socket.write(b"x").await),
            }
        }
    });
    assert!(answer.await.starts_with(b"HTTP/1.1 408 "));
}

#[tokio::test]
async fn a_later_head_has_a_time_limit_from_its_first_byte() {
    let site = site(limits().head_timeout(SHORT)).await;
    let mut socket = connected(&site, &get("/text/1")).await;
    read_until(&mut socket, "0\r\n\r\n").await;
    // It may be idle for longer than that.
    tokio::time::sleep(SHORT * 2).await;
    socket.write_all(&get("/text/2")).await.unwrap();
    read_until(&mut socket, "0\r\n\r\n").await;
    socket.write_all(b"GET /text/3 HT").await.unwrap();
    assert!(until_its_end(&mut socket).await.starts_with("HTTP/1.1 408 "));
    // The same after a stream of a writer.
    let mut socket = connected(&site, &get("/events/a")).await;
    read_until(&mut socket, "\n\n").await;
    site.has(1, 0).await;
    site.close_client();
    read_until(&mut socket, "0\r\n\r\n").await;
    tokio::time::sleep(SHORT * 2).await;
    socket.write_all(b"GET /text/3 HT").await.unwrap();
    assert!(until_its_end(&mut socket).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn an_idle_connection_ends_after_its_response() {
    let site = site(limits().idle_timeout(SHORT)).await;
    // hyper has the connection.
    let mut socket = connected(&site, &get("/text/1")).await;
    assert!(read_to_end(&mut socket).await.ends_with("/text/1\r\n0\r\n\r\n"));
    // It comes back from a writer.
    let mut stream = site.follow("/events/a").await;
    site.has(1, 0).await;
    tokio::time::sleep(SHORT * 2).await;
    site.close_client();
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    within("the end of the connection", stream.into_connection().ended()).await;
    assert_eq!(site.hub.metrics().connections_timed_out, 2);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431() {
    let site = site(limits().head_size(10_000)).await;
    let large = |size: usize| {
        [&b"GET /text/1 HTTP/1.1\r\nhost: a\r\nx: "[..], &vec![b'x'; size], b"\r\n\r\n"].concat()
    };
    let mut socket = connected(&site, &large(9_000)).await;
    read_until(&mut socket, "0\r\n\r\n").await;
    // A later one.
    socket.write_all(&large(20_000)).await.unwrap();
    assert!(until_its_end(&mut socket).await.starts_with("HTTP/1.1 431 "));
    // A first one, and one that never ends.
    for head in [large(20_000), large(300_000)] {
        let mut socket = TcpStream::connect(site.addr).await.unwrap();
        let _ = socket.write_all(&head).await;
        assert!(until_its_end(&mut socket).await.starts_with("HTTP/1.1 431 "));
    }
    // hyper says so when the client has had its time to read the answer.
    eventually("all are counted", || site.hub.metrics().connections_flooded == 3).await;
}

#[tokio::test]
async fn a_body_that_stops_fails_for_the_application() {
    let site = site(limits().body_timeout(SHORT)).await;
    let head = b"POST /echo/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhello ";
    let mut socket = connected(&site, head).await;
    let answer = read_until(&mut socket, "100ms").await;
    assert!(answer.contains("hello request body has brought no bytes for 100ms"), "{answer}");
    // One that makes progress may take longer. The limit is one that a busy machine does not reach between two steps.
    let limit = 10 * SHORT;
    let site = self::site(limits().body_timeout(limit)).await;
    let mut socket = connected(&site, head).await;
    for _ in 0..94 / 2 {
        tokio::time::sleep(limit / 40).await;
        socket.write_all(b"xx").await.unwrap();
    }
    let answer = read_until(&mut socket, "0\r\n\r\n").await;
    assert!(answer.contains(&format!("hello {}\r\n", "x".repeat(94))), "{answer}");
}

#[tokio::test]
async fn what_a_client_sends_during_a_body_is_limited_and_kept() {
    let site = Site::with_bodies(limits()).await;
    let mut socket = connected(&site, &get("/events/a")).await;
    read_until(&mut socket, "\n\n").await;
    // As much as a few requests.
    let next = get("/text/1").repeat(20);
    socket.write_all(&next).await.unwrap();
    site.publish("a", "hello");
    read_until(&mut socket, "hello").await;
    site.close_client();
    let mut answers = String::new();
    while answers.matches("/text/1\r\n0\r\n\r\n").count() < 20 {
        answers += &read_until(&mut socket, "0\r\n\r\n").await;
    }
    // And not more.
    let mut socket = connected(&site, &get("/events/a")).await;
    read_until(&mut socket, "\n\n").await;
    site.has(1, 1 + 1).await;
    let _ = socket.write_all(&vec![b'x'; 100_000]).await;
    until_its_end(&mut socket).await;
    eventually("it is gone", || site.hub.clients().count() == 0).await;
}

#[tokio::test]
async fn a_client_that_closes_after_it_has_sent_more_is_gone_at_once() {
    let site = Site::with_bodies(limits()).await;
    let follow_up = get("/text/1");
    // In one packet with the request, or after it.
    for split in [false, true] {
        let mut first = get("/events/a");
        if !split {
            first.extend_from_slice(&follow_up);
        }
        let mut socket = connected(&site, &first).await;
        read_until(&mut socket, "\n\n").await;
        site.has(1, 1).await;
        if split {
            socket.write_all(&follow_up).await.unwrap();
        }
        socket.shutdown().await.unwrap();
        site.has(0, 0).await;
    }
}

#[tokio::test]
async fn a_body_that_the_application_does_not_read_does_not_cut_its_answer() {
    let site = site(limits()).await;
    let head = b"POST /text/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n";
    let mut socket = connected(&site, head).await;
    let (mut reads, mut writes) = socket.split();
    let mut answer = Vec::new();
    within("the answer", async {
        let body = vec![b'x'; 1_000_000];
        let writing = async {
            let _ = writes.write_all(&body).await;
        };
        let reading = async {
            while !answer.ends_with(b"/text/1\r\n0\r\n\r\n") {
                assert!(reads.read_buf(&mut answer).await.unwrap() > 0, "the answer is cut");
            }
        };
        tokio::join!(writing, reading)
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_without_pause_stays_and_a_stalled_one_does_not() {
    const LIMIT: Duration = Duration::from_millis(500);

    let site = Site::with_bodies(limits().write_timeout(LIMIT)).await;
    let open = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut socket = socket.connect(site.addr).await.unwrap();
        socket.write_all(&get("/events/a")).await.unwrap();
        read_until(&mut socket, "\n\n").await;
        socket
    };
    let (mut slow, stalled) = (open().await, open().await);
    let data = "x".repeat(64 * 1024);
    for _ in 0..32 {
        site.publish("a", &data);
    }
    let began = std::time::Instant::now();
    // The server's socket is writable again only after more than the limit, each time.
    while began.elapsed() < LIMIT * 6 {
        slow.read_exact(&mut [0; 1000]).await.unwrap();
        assert!(site.hub.clients().count() >= 1, "after {:?}", began.elapsed());
        tokio::time::sleep(LIMIT / 20).await;
    }
    assert_eq!(site.hub.clients().count(), 1, "the stalled one is gone");
    drop(stalled);
    assert!(site.hub.metrics().connections_timed_out > 0);
}

#[tokio::test]
async fn at_the_limit_of_connections_those_without_a_request_go_first() {
    let site = site(limits().connections(3)).await;
    let _one = site.follow("/events/a").await;
    let mut oldest = connected(&site, b"GET").await;
    let mut newer = connected(&site, b"").await;
    // In the order in which they were accepted.
    eventually("they are there", || site.hub.metrics().connections_evicted == 0).await;
    let _two = site.follow("/events/a").await;
    assert_eq!(until_its_end(&mut oldest).await, "");
    assert_eq!(site.hub.metrics().connections_evicted, 1);
    let three = site.follow("/events/a").await;
    assert_eq!(until_its_end(&mut newer).await, "");
    assert_eq!(site.hub.metrics().connections_evicted, 2);
    // Nobody has to go for the next one.
    let mut next = connected(&site, &get("/text/1")).await;
    assert_eq!(until_its_end(&mut next).await, "");
    assert_eq!(site.hub.metrics().connections_refused, 1);
    assert_eq!(site.hub.clients().count(), 3);
    three.close().await;
    eventually("one is gone", || site.hub.clients().count() == 2).await;
    let _four = site.follow("/events/a").await;
}

#[tokio::test]
async fn nobody_goes_for_a_connection_that_its_own_address_has_too_many_of() {
    let site = site(limits().connections(2).connections_per_address(1)).await;
    let mut stream = site.follow("/events/a").await;
    // Idle after a stream: the first to go.
    let idle = Connection::open_from(Ipv4Addr::new(127, 0, 0, 2).into(), site.addr).await;
    let mut ended = idle.send(&Request::get("/events/b")).await;
    ended.next_message().await;
    site.has(2, 0).await;
    let clients = site.hub.clients().list();
    let other = clients.iter().find(|client| client.topics[0].as_str() == "b").unwrap();
    assert!(site.hub.clients().close(other.id));
    assert_eq!(ended.read_to_end().await, Ending::Whole);
    site.has(1, 1).await;
    let mut one_too_many = connected(&site, &get("/text/1")).await;
    assert_eq!(until_its_end(&mut one_too_many).await, "");
    assert_eq!(site.hub.metrics().connections_refused, 1);
    assert_eq!(site.hub.metrics().connections_evicted, 0);
    let idle = ended.into_connection();
    assert_eq!(idle.send(&Request::get("/text/1")).await.status(), 200);
    site.publish("a", "hello");
    assert_eq!(stream.next_message().await.data(), "hello");
}

#[tokio::test]
async fn a_limit_in_time_may_be_as_long_as_time_goes() {
    let limits = Limits::default()
        .keepalive(Duration::MAX)
        .write_timeout(Duration::MAX)
        .handshake_timeout(Duration::MAX)
        .head_timeout(Duration::MAX)
        .idle_timeout(Duration::MAX)
        .body_timeout(Duration::MAX);
    for site in [site(limits.clone()).await, Site::with_bodies(limits).await] {
        let mut socket = connected(&site, &get("/events/a")).await;
        read_until(&mut socket, "\n\n").await;
        site.publish("a", "hello");
        read_until(&mut socket, "hello").await;
        site.close_client();
        read_until(&mut socket, "0\r\n\r\n").await;
        socket.write_all(&Request::post("/echo/1", "again").bytes()).await.unwrap();
        read_until(&mut socket, "again\r\n0\r\n\r\n").await;
        let client = Http2::open(site.addr).await;
        client.get("/events/a").await.next_message().await;
        assert_eq!(site.hub.metrics().writer_restarts, 0);
        assert!(!site.server.is_finished());
    }
}

fn proxy() -> [Network; 1] {
    [IpAddr::from(Ipv4Addr::LOCALHOST).into()]
}

#[tokio::test]
async fn a_connection_that_comes_back_from_a_writer_is_still_not_a_proxys() {
    let site = site(limits().proxies(proxy())).await;
    for (from, expected) in [([127, 0, 0, 1], "192.0.2.7"), ([127, 0, 0, 2], "127.0.0.2")] {
        let connection = Connection::open_from(IpAddr::from(from), site.addr).await;
        let mut stream = connection.send(&Request::get("/events/a")).await;
        stream.next_message().await;
        site.has(1, 0).await;
        site.close_client();
        assert_eq!(stream.read_to_end().await, Ending::Whole);
        let request = Request::get("/who/1").header("X-Forwarded-For", "192.0.2.7");
        let mut response = stream.into_connection().send(&request).await;
        response.read_to_end().await;
        assert_eq!(response.text(), expected);
        response.close().await;
        site.has(0, 0).await;
    }
}

#[tokio::test]
async fn what_waits_in_the_lobby_costs_no_task_of_hyper_and_ends_with_the_server() {
    let mut site = site(limits()).await;
    let mut silent = connected(&site, b"GET").await;
    let mut idle = connected(&site, &get("/events/a")).await;
    read_until(&mut idle, "\n\n").await;
    site.close_client();
    read_until(&mut idle, "0\r\n\r\n").await;
    site.shutdown.take().unwrap().send(()).unwrap();
    assert_eq!(until_its_end(&mut silent).await, "");
    assert_eq!(until_its_end(&mut idle).await, "");
    within("the end of the server", &mut site.server).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_idle_connection_of_http_2_ends_with_goaway() {
    let site = site(limits().idle_timeout(SHORT)).await;
    let client = Http2::open(site.addr).await;
    let mut stream = client.get("/events/a").await;
    stream.next_message().await;
    // An open stream is not idle.
    tokio::time::sleep(SHORT * 3).await;
    site.publish("a", "hello");
    assert_eq!(stream.next_message().await.data(), "hello");
    stream.reset();
    site.has(0, 0).await;
    assert_eq!(site.hub.metrics().connections_timed_out, 1);
}

/// One with a stream, and one that waits for a request.
#[tokio::test]
async fn a_connection_that_waits_for_a_request_makes_room_for_another() {
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let half_head: &[u8] = b"GET /text/2 HT";
    let after_a_request = [&get("/text/1"), half_head].concat();
    for first in [&get("/text/1"), &after_a_request, &[preface, settings].concat(), preface] {
        let site = site(limits().connections(2)).await;
        let mut stream = site.follow("/events/a").await;
        let mut waiting = connected(&site, first).await;
        within("a newcomer", async {
            let request = Request::get("/text/1").header("connection", "close");
            while Connection::try_send(site.addr, &request).await.is_err() {}
        })
        .await;
        until_its_end(&mut waiting).await;
        assert_eq!(site.hub.metrics().connections_evicted, 1);
        assert_eq!(site.hub.metrics().connections_timed_out, 0);
        site.publish("a", "hello");
        assert_eq!(stream.next_message().await.data(), "hello");
    }
}

/// Whoever has made a handshake has more time for its head than a newcomer has for its handshake.
#[cfg(feature = "tls")]
#[tokio::test]
async fn a_newcomer_does_not_go_before_those_that_are_silent_after_their_handshake() {
    use tidings_net::Options;
    use tidings_testkit::tls::Certificate;

    let certificate = Certificate::new();
    let tls = Some(certificate.server(&[]).into());
    let limits = Limits::default().connections(2);
    let mut options = Options::new(limits);
    options.tls = tls;
    let site = Site::start(Hub::new(), options).await;
    let client = certificate.client(&["http/1.1"]);
    let one = Connection::open_tls(site.addr, client.clone()).await;
    let other = Connection::open_tls(site.addr, client).await;
    let evicted = || site.hub.metrics().connections_evicted;
    let newcomer = connected(&site, b"").await;
    eventually("room for a newcomer", || evicted() == 1).await;
    let another = connected(&site, b"").await;
    eventually("room for another", || evicted() == 2).await;
    one.ended().await;
    other.ended().await;
    drop((newcomer, another));
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_handshake_has_a_time_limit_and_then_the_head() {
    use tidings_net::Options;
    use tidings_testkit::tls::Certificate;

    let certificate = Certificate::new();
    let limits = limits().handshake_timeout(SHORT).head_timeout(SHORT * 5);
    let tls = Some(certificate.server(&[]).into());
    let mut options = Options::new(limits);
    options.tls = tls;
    let site = Site::start(Hub::new(), options).await;
    // Nothing, and the beginning of a handshake.
    for first in [&b""[..], &[22, 3, 1]] {
        let began = std::time::Instant::now();
        let mut socket = connected(&site, first).await;
        assert_eq!(until_its_end(&mut socket).await, "");
        assert!(began.elapsed() < SHORT * 5, "it is the handshake's limit");
    }
    let client = certificate.client(&["http/1.1"]);
    Connection::open_tls(site.addr, client.clone()).await.ended().await;
    assert_eq!(site.hub.metrics().connections_timed_out, 3);
    let connection = Connection::open_tls(site.addr, client).await;
    let mut response = connection.send(&Request::get("/events/a")).await;
    response.next_message().await;
    site.publish("a", "hello");
    assert_eq!(response.next_message().await.data(), "hello");
}
