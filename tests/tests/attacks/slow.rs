//! Clients that read slowly, but read. They are in a network of their own with an MTU of 1,500, because the loopback's
//! is 65,536: there, a window of some kilobytes is never worth a packet.

use std::net::SocketAddr;
use std::time::Duration;

use tidings_testkit::limit::within;
use tidings_testkit::network::{self, set_loopback};
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::program;
use tidings_testkit::requirements;
use tidings_testkit::watch::Watch;
use tidings_testkit::wire::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::http2::{PREFACE, get, wide_windows};
use crate::junk::STREAM;
use crate::target::transports;

/// Bytes a second, and the size of the receive buffer, which Linux doubles.
const CLIENTS: [(usize, u32); 6] = [
    (1_200, 8 * 1024),
    (1_200, 64 * 1024),
    (3_000, 8 * 1024),
    (3_000, 64 * 1024),
    (10_000, 8 * 1024),
    (10_000, 64 * 1024),
];

/// Longer than a hub waits for a client whose system has taken up as much as it may: five limits of 30 seconds, and a look.
const TIME: Duration = Duration::from_secs(170);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_slowly_and_steadily_stay() {
    let name = "slow::clients_that_read_slowly_and_steadily_stay";
    let Some(inside) = network::test_inside(name) else {
        set_loopback(&["mtu", "1500", "up"]);
        return clients_stay().await;
    };
    let Some(()) = requirements::met("slow clients at an MTU of 1,500", network::required) else {
        return;
    };
    // Here, because there is no network inside.
    tokio::task::spawn_blocking(|| program::build("hub-axum")).await.expect("it builds");
    let mut inside = tokio::process::Command::from(inside);
    let mut child = inside.kill_on_drop(true).spawn().expect("it starts");
    let watch = Watch::over(&child);
    let limit = TIME + Duration::from_secs(60);
    let status = tokio::time::timeout(limit, child.wait()).await.expect("it ends in time");
    drop(watch);
    assert!(status.expect("it is our child").success(), "see above");
}

async fn clients_stay() {
    let mut clients = JoinSet::new();
    let mut hubs = Vec::new();
    for package in ["hub-axum", "hub-warp", "hub-actix-web"] {
        for &transport in transports(package) {
            let arguments = ["--listen", ANY_PORT, "--demo", "false", "--transport", transport];
            let hub = Process::start_with(package, &arguments).await;
            clients.spawn(publish(hub.addr()));
            let protocols = match transport {
                "body" => vec![("HTTP/1.1", STREAM.to_vec()), ("HTTP/2", stream_of_http2())],
                _ => vec![("HTTP/1.1", STREAM.to_vec())],
            };
            for ((protocol, request), (rate, buffer)) in
                protocols.into_iter().flat_map(|protocol| CLIENTS.map(|it| (protocol.clone(), it)))
            {
                let client = read_slowly(hub.addr(), request, rate, buffer);
                let who = format!(
                    "{package}, {transport}, {protocol}: {rate} bytes a second, {buffer} of buffer"
                );
                clients.spawn(async move {
                    let read = client.await;
                    println!("{who}: {read:?}");
                    read.err().map(|after| format!("{who}: ended after {after:?}"))
                });
            }
            hubs.push(hub);
        }
    }
    let mut cut = Vec::new();
    while let Some(client) = clients.join_next().await {
        cut.extend(client.expect("no task fails"));
    }
    assert!(cut.is_empty(), "{cut:#?}");
}

/// [`STREAM`] over HTTP/2: only what the client reads opens the way.
fn stream_of_http2() -> Vec<u8> {
    [PREFACE.to_vec(), wide_windows(), get(1, "/events?topic=junk")].concat()
}

/// Publishes more than anybody here reads.
async fn publish(hub: SocketAddr) -> Option<String> {
    let end = Instant::now() + TIME;
    let mut every = interval(Duration::from_millis(200));
    while Instant::now() < end {
        every.tick().await;
        let request = Request::post("/publish?topic=junk", "x".repeat(8_000));
        let mut response = Response::to(hub, request).await;
        assert_eq!(response.status(), 200);
        response.read_to_end().await;
    }
    None
}

/// Reads so many bytes a second. Returns how many it has read.
///
/// # Errors
///
/// When the stream has ended: with the time since its beginning.
async fn read_slowly(
    hub: SocketAddr,
    request: Vec<u8>,
    rate: usize,
    buffer: u32,
) -> Result<usize, Duration> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(buffer).expect("a buffer of this size");
    let mut socket = within("connecting", socket.connect(hub)).await.expect("a connection");
    socket.write_all(&request).await.expect("a request");
    let (began, mut total) = (Instant::now(), 0);
    let mut every = interval(Duration::from_millis(250));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut piece = vec![0; rate / 4];
    while began.elapsed() < TIME {
        every.tick().await;
        match timeout_at(began + TIME, socket.read(&mut piece)).await {
            Ok(Ok(length @ 1..)) => total += length,
            Ok(_) => return Err(began.elapsed()),
            Err(_) => break,
        }
    }
    Ok(total)
}
