//! What connections cost before their first request. It is alone in its process, whose memory it measures.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use site::Site;
use tidings_testkit::limit::eventually;
use tokio::sync::Mutex;

const CONNECTIONS: usize = 2_000;

/// One test at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The bytes of memory that the process has for itself.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// How long clients need to connect, all at once and each with a request; until the last one has an answer.
fn connecting(addr: SocketAddr, count: usize) -> Duration {
    let began = Instant::now();
    let mut clients: Vec<_> = (0..count).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let last = clients.last_mut().unwrap();
    last.write_all(b"GET /text/1 HTTP/1.1\r\nhost: tidings.test\r\n\r\n").unwrap();
    last.read_exact(&mut [0; 15]).unwrap();
    began.elapsed()
}

/// A server that does nothing but accept, and answers each request with its first line.
fn accept_only() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, i32::MAX).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut accepted = Vec::new();
        while accepted.len() < CONNECTIONS {
            accepted.push(listener.accept().unwrap().0);
        }
        accepted.last_mut().unwrap().write_all(b"HTTP/1.1 200 OK").unwrap();
        // Until the client has read it.
        let _ = accepted.last_mut().unwrap().read(&mut [0; 1024]);
        let _ = accepted.last_mut().unwrap().read(&mut [0; 1024]);
    });
    addr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_clients_that_connect_at_once_are_accepted_as_fast_as_a_server_accepts() {
    let _alone = ALONE.lock().await;
    let site = Site::new().await;
    let addr = site.addr;
    let (own, raw) = tokio::task::spawn_blocking(move || {
        (connecting(addr, CONNECTIONS), connecting(accept_only(), CONNECTIONS))
    })
    .await
    .unwrap();
    println!("{CONNECTIONS} connects: {own:?}; of a server that only accepts: {raw:?}");
    // A single second SYN would be a second.
    assert!(own < raw * 3 + Duration::from_millis(500), "{own:?} and {raw:?}");
}

#[tokio::test]
async fn a_connection_before_its_first_request_costs_no_more_than_2_kilobytes() {
    let _alone = ALONE.lock().await;
    let site = Site::new().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let connect = |first: &'static [u8]| {
        let mut socket = TcpStream::connect(site.addr).unwrap();
        socket.write_all(first).unwrap();
        socket
    };
    // Silent ones, and ones with a part of a head.
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let mut before = 0;
    for first in [&b""[..], b"GET /events/a HTTP/1.1\r\nhost: tidings.test\r\n"] {
        // The first few pay for what all of them share.
        for n in 0..CONNECTIONS / 2 {
            clients.push(connect(first));
            if n % 100 == 99 {
                let wanted = clients.len();
                eventually("they are accepted", || tasks() >= wanted).await;
            }
            if clients.len() == 500 {
                before = memory();
            }
        }
    }
    let each = (memory() - before) / (CONNECTIONS - 500);
    println!("{each} bytes for each connection");
    assert!(each <= 2 * 1024, "{each} bytes for each connection");
}
