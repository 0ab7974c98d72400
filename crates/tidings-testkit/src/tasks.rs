//! The tasks of a server, as its runtime counts them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tidings::Hub;
use tokio::runtime::RuntimeMetrics;

const LIMIT: Duration = Duration::from_secs(30);

/// Clients of a quiet stream at `/events` that vanish leave no task behind, where each of them is
/// `each` tasks, and the server is one.
pub fn none_is_left_behind(addr: SocketAddr, hub: &Hub, metrics: &RuntimeMetrics, each: usize) {
    let own = 1;
    drop(connect(addr));
    let is_as_before = || hub.clients().count() == 0 && metrics.num_alive_tasks() == own;
    eventually("one client was there and is gone", is_as_before);
    for _ in 0..10 {
        let clients: Vec<_> = (0..100).map(|_| connect(addr)).collect();
        assert_eq!(hub.clients().count(), 100);
        let tasks = own + 100 * each;
        eventually("each is that many tasks", || metrics.num_alive_tasks() == tasks);
        drop(clients);
        eventually("registry and runtime are as before", is_as_before);
    }
}

/// A client that has its first bytes.
fn connect(addr: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(addr).expect("the server listens");
    client.set_read_timeout(Some(LIMIT)).expect("a limit");
    client.write_all(b"GET /events HTTP/1.1\r\nHost: hub\r\n\r\n").expect("it takes requests");
    assert!(client.read(&mut [0; 64]).expect("an answer in time") > 0);
    client
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LIMIT, "{what}");
        std::thread::yield_now();
    }
}
