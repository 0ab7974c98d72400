//! A server whose files run out. It is alone in its process, whose limit it lowers.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::fs::File;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use site::{Site, read_to_end, read_until};
use tidings_testkit::wire::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// Takes all files that the process may still open: some, so that there is more than a spare one when they are dropped.
fn take_all_files() -> Vec<File> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse::<u64>().ok());
    let most = numbers.max().unwrap() + 10;
    let limit = Rlimit { current: Some(most), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test]
async fn when_files_run_out_a_newcomer_takes_the_place_of_a_silent_one_or_is_closed_at_once() {
    let site = Site::new().await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        silent.push(TcpStream::connect(site.addr).await.unwrap());
    }
    // Accepted after them.
    let _stream = site.follow("/events/a").await;
    // These have their files already, and the server's ends do not.
    let mut newcomers: Vec<_> = (0..4).map(|_| TcpSocket::new_v4().unwrap()).collect();
    let mut connect = async || newcomers.pop().unwrap().connect(site.addr).await.unwrap();
    let files = take_all_files();
    let mut served = Vec::new();
    for (n, silent) in silent.iter_mut().enumerate() {
        let mut newcomer = connect().await;
        newcomer.write_all(&Request::get("/text/1").bytes()).await.unwrap();
        read_until(&mut newcomer, "/text/1\r\n0\r\n\r\n").await;
        assert_eq!(read_to_end(silent).await, "");
        assert_eq!(site.hub.metrics().connections_evicted, n as u64 + 1);
        served.push(newcomer);
    }
    // Nobody is silent any more.
    assert_eq!(read_to_end(&mut connect().await).await, "");
    assert_eq!(site.hub.metrics().connections_refused, 1);
    // It goes on when there are files again.
    drop(files);
    let mut newcomer = connect().await;
    newcomer.write_all(&Request::get("/text/1").bytes()).await.unwrap();
    read_until(&mut newcomer, "/text/1\r\n0\r\n\r\n").await;
    assert_eq!(site.hub.metrics().connections_refused, 1);
}
