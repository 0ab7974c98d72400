//! Bodies of requests that the application does not read.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tidings::STATUS_EVENT;
use tidings_net::Limits;

use super::Serving;
use super::site::Site;
use crate::wire::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, RawHttp2, WINDOW_UPDATE, frame, head, text,
};
use crate::wire::{Connection, Ending, Request, Response};

const EVENTS: &str = "/events?topic=a";

/// Less, in all, than a server still takes when it has answered.
const PIECES: usize = 50;
const PIECE: [u8; 4096] = [b'x'; 4096];

/// Sends the head of a request, and pieces of its body when it was answered. The answer must be there afterwards.
async fn is_answered(site: &Site, request: Request, status: u16) {
    let mut connection = Connection::open(site.addr()).await;
    let request = request.header("content-length", (3 << 20).to_string());
    connection.write(&request.bytes()).await;
    connection.answered().await;
    for _ in 0..PIECES {
        connection.write(&PIECE).await;
    }
    let mut response = connection.response().await;
    assert_eq!(response.status(), status);
    assert_eq!(response.read_to_end().await, Ending::Whole);
}

pub async fn an_answer_reaches_a_client_that_still_sends_its_body<A: Serving>() {
    let proxy = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let limits = Limits::default().proxies([proxy]).connections_per_address(1);
    let site = Site::open::<A>(move |_, serve| serve.limits(limits));
    is_answered(&site, Request::get("/nowhere"), 404).await;
    // The server's own answer.
    let as_client = |target: &str| Request::get(target).header("x-forwarded-for", "192.0.2.7");
    let mut stream = Response::to(site.addr(), as_client(EVENTS)).await;
    stream.next_message().await;
    is_answered(&site, as_client("/stream"), 429).await;
}

pub async fn a_shutdown_does_not_cut_off_a_client_that_still_sends_its_body<A: Serving>() {
    let length = (3 << 20).to_string();
    for (name, value) in [("content-length", &*length), ("transfer-encoding", "chunked")] {
        let site = Site::open::<A>(|_, serve| serve);
        // Enough that each thread of a server has one.
        let mut idle = Vec::new();
        for _ in 0..8 {
            let mut response = Response::to(site.addr(), Request::get("/stream")).await;
            assert_eq!(response.read_to_end().await, Ending::Whole);
            idle.push(response.into_connection());
        }
        let mut connection = Connection::open(site.addr()).await;
        connection.write(&Request::get("/nowhere").header(name, value).bytes()).await;
        connection.answered().await;
        let meanwhile = async {
            for one in idle {
                one.ended().await;
            }
            for _ in 0..PIECES {
                connection.write(&chunk()).await;
            }
            let mut response = connection.response().await;
            assert_eq!(response.status(), 404);
            assert_eq!(response.read_to_end().await, Ending::Whole);
        };
        tokio::join!(meanwhile, site.server.shutdown());
    }
}

pub async fn what_follows_a_body_that_is_not_read_has_a_time_limit<A: Serving>() {
    let time = Duration::from_secs(1);
    let limits = Limits::default().write_timeout(time).head_timeout(time).idle_timeout(None);
    let site = Site::open::<A>(move |_, serve| serve.limits(limits));
    let mut connection = Connection::open(site.addr()).await;
    let head = Request::get("/nowhere").header("transfer-encoding", "chunked").bytes();
    connection.write(&[&head[..], b"1\r\nx\r\n0\r\n\r\n"].concat()).await;
    let mut response = connection.response().await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.read_to_end().await, Ending::Whole);
    let mut connection = response.into_connection();
    connection.write(b"GET").await;
    // It may be more of the body.
    assert_eq!(String::from_utf8_lossy(&connection.read_to_end().await), "");
}

/// A piece as a chunk.
fn chunk() -> Vec<u8> {
    [&b"1000\r\n"[..], &PIECE, b"\r\n"].concat()
}

pub async fn the_rest_of_a_body_is_not_taken_for_a_head<A: Serving>() {
    let site = Site::open::<A>(|_, serve| serve);
    let mut connection = Connection::open(site.addr()).await;
    let request = Request::get("/nowhere").header("transfer-encoding", "chunked");
    connection.write(&request.bytes()).await;
    connection.answered().await;
    for _ in 0..PIECES {
        connection.write(&chunk()).await;
    }
    connection.write(b"0\r\n\r\n").await;
    let mut response = connection.response().await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.read_to_end().await, Ending::Whole);
    // Some servers have closed it.
    let mut connection = response.into_connection();
    let next = Request::get("/stream").header("connection", "close");
    connection.write(&next.bytes()).await;
    let rest = String::from_utf8_lossy(&connection.read_to_end().await).into_owned();
    assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 200 "), "{rest}");
    assert!(rest.matches("HTTP/1.1 ").count() <= 1, "{rest}");
}

pub async fn a_body_that_is_not_read_keeps_no_window_from_other_streams<A: Serving>() {
    let site = Site::open::<A>(|_, serve| serve);
    let mut client = RawHttp2::open(site.addr()).await;
    // As much as the connection takes at first.
    let data = vec![b'x'; 65_535];
    let data = data.chunks(16_384).map(|piece| frame(DATA, 0, 1, piece));
    let request = [frame(HEADERS, END_HEADERS, 1, &head("GET", EVENTS))].into_iter().chain(data);
    client.write(&request.collect::<Vec<_>>().concat()).await;
    let is_open = "the stream, and a window of the connection";
    client
        .read_until(is_open, |frames| {
            let mut windows = frames.iter().filter(|frame| frame.kind == WINDOW_UPDATE);
            windows.any(|frame| frame.stream == 0) && text(frames).contains(STATUS_EVENT)
        })
        .await;
    let head = frame(HEADERS, END_HEADERS, 3, &head("POST", "/echo"));
    client.write(&[head, frame(DATA, END_STREAM, 3, b"y")].concat()).await;
    client
        .read_until("the other answer", |frames| {
            frames.iter().filter(|frame| frame.stream == 3).any(|frame| frame.payload == b"y")
        })
        .await;
}
