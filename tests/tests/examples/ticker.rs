use std::collections::HashSet;

use tidings_testkit::wire::{Request, Response};
use tidings_tests::example::follow;

use super::{resume, start};

const SYMBOLS: usize = 8;

/// Reads until it knows the price of each symbol. Returns how many prices it has read.
async fn know_all(stream: &mut Response) -> usize {
    let mut known = HashSet::new();
    let mut read = 0;
    while known.len() < SYMBOLS {
        let change: serde_json::Value = stream.next_message().await.json().expect("JSON");
        known.insert(change["symbol"].as_str().expect("a text").to_owned());
        read += 1;
    }
    read
}

#[tokio::test]
async fn a_client_gets_the_newest_price_of_each_symbol() {
    let server = start("ticker").await;
    let (mut watching, _) = follow(&server, Request::get("/events")).await;
    know_all(&mut watching).await;
    // What has changed while the newest prices are sent comes with the next ones.
    let (mut new, _) = follow(&server, Request::get("/events")).await;
    let read = know_all(&mut new).await;
    assert!(read <= 2 * SYMBOLS, "{read} prices");

    // Each has changed hundreds of times while it was away.
    for _ in 0..30 {
        know_all(&mut watching).await;
    }
    let mut back = resume(&server, Request::get("/events"), &new).await;
    let status = back.next_message().await;
    assert!(status.data().contains("resumed"), "{}", status.data());
    let read = know_all(&mut back).await;
    assert!(read <= 2 * SYMBOLS, "{read} prices");
}
