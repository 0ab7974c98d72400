//! Clients that read slowly, but read. They are in a network of their own with an MTU of 1,500, because the loopback's
//! is 65,536: there, a window of some kilobytes is never worth a packet.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tidings_testkit::limit::within;
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::program;
use tidings_testkit::requirements::{self, Missing, on_path};
use tidings_testkit::watch::Watch;
use tidings_testkit::wire::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::junk::STREAM;

/// In the environment of the test that runs in its own network.
const INSIDE: &str = "TIDINGS_ATTACKS_INSIDE";

/// The hubs, each with a transport.
const HUBS: [(&str, &str); 4] =
    [("hub-axum", "auto"), ("hub-axum", "body"), ("hub-warp", "auto"), ("hub-actix-web", "auto")];

/// Bytes a second, and the size of the receive buffer, which Linux doubles.
const CLIENTS: [(usize, u32); 6] = [
    (1_200, 8 * 1024),
    (1_200, 64 * 1024),
    (3_000, 8 * 1024),
    (3_000, 64 * 1024),
    (10_000, 8 * 1024),
    (10_000, 64 * 1024),
];

/// Longer than it took to cut any of these clients, with limits of 30 seconds.
const TIME: Duration = Duration::from_secs(75);

fn own_network() -> Result<(), Missing> {
    let remedy =
        "run the tests on Linux with util-linux and iproute2, where user namespaces are allowed";
    for program in ["unshare", "ip"] {
        on_path(program)
            .ok_or_else(|| Missing::new(format!("{program} is not installed"), remedy))?;
    }
    let allowed = in_own_network(&["true".as_ref()]).stderr(Stdio::null()).status();
    match allowed.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err(Missing::new("this user may not make a network namespace", remedy)),
    }
}

/// A program in a network that has nothing but a loopback interface.
fn in_own_network(program: &[&std::ffi::OsStr]) -> Command {
    let mut command = Command::new("unshare");
    let script = "ip link set lo mtu 1500 up && exec \"$@\"";
    command.args(["--map-root-user", "--net", "sh", "-c", script, "sh"]).args(program);
    command.stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_slowly_and_steadily_stay() {
    if std::env::var_os(INSIDE).is_some() {
        return clients_stay().await;
    }
    let Some(()) = requirements::met("slow clients at an MTU of 1,500", own_network) else {
        return;
    };
    // Here, because there is no network inside.
    tokio::task::spawn_blocking(|| program::build("hub-axum")).await.expect("it builds");
    let test = std::env::current_exe().expect("this test's program");
    let name = "slow::clients_that_read_slowly_and_steadily_stay";
    let arguments = [test.as_os_str(), "--exact".as_ref(), name.as_ref(), "--nocapture".as_ref()];
    let mut command = tokio::process::Command::from(in_own_network(&arguments));
    let mut child = command.env(INSIDE, "1").kill_on_drop(true).spawn().expect("it starts");
    let watch = Watch::over(&child);
    let limit = TIME + Duration::from_secs(60);
    let status = tokio::time::timeout(limit, child.wait()).await.expect("it ends in time");
    drop(watch);
    assert!(status.expect("it is our child").success(), "see above");
}

async fn clients_stay() {
    let mut clients = JoinSet::new();
    let mut hubs = Vec::new();
    for (package, transport) in HUBS {
        let arguments = ["--listen", ANY_PORT, "--demo", "false", "--transport", transport];
        let hub = Process::start_with(package, &arguments).await;
        clients.spawn(publish(hub.addr()));
        for (rate, buffer) in CLIENTS {
            let client = read_slowly(hub.addr(), rate, buffer);
            clients.spawn(async move {
                let read = client.await;
                let who =
                    format!("{package}, {transport}: {rate} bytes a second, {buffer} of buffer");
                println!("{who}: {read:?}");
                read.err().map(|after| format!("{who}: ended after {after:?}"))
            });
        }
        hubs.push(hub);
    }
    let mut cut = Vec::new();
    while let Some(client) = clients.join_next().await {
        cut.extend(client.expect("no task fails"));
    }
    assert!(cut.is_empty(), "{cut:#?}");
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
async fn read_slowly(hub: SocketAddr, rate: usize, buffer: u32) -> Result<usize, Duration> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(buffer).expect("a buffer of this size");
    let mut socket = within("connecting", socket.connect(hub)).await.expect("a connection");
    socket.write_all(STREAM).await.expect("a request");
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
