//! What connections cost before their first request. It is alone in its process, whose memory it measures.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::io::Write;
use std::net::TcpStream;

use site::Site;
use tidings_testkit::limit::eventually;

const CONNECTIONS: usize = 2_000;

/// The bytes of memory that the process has for itself.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_connection_before_its_first_request_costs_no_more_than_2_kilobytes() {
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
