//! TLS.

use std::time::Duration;

use tidings::STATUS_EVENT;
use tidings_net::{Limits, Tls};

use super::Serving;
use super::site::{Site, follow_on};
use crate::tls::Certificate;
use crate::wire::{Connection, Ending, Http2, Request, Response};

/// With the certificate, and the means to replace it.
fn open<A: Serving>(limits: Limits) -> (Site, Certificate, Tls) {
    let certificate = Certificate::new();
    let tls = Tls::from(certificate.server(&[]));
    let served = tls.clone();
    let site = Site::open::<A>(move |_, serve| serve.limits(limits).tls(served));
    (site, certificate, tls)
}

pub async fn the_client_chooses_the_protocol<A: Serving>() {
    let (site, certificate, _) = open::<A>(Limits::default());
    for (offered, chosen) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let connection = Connection::open_tls(site.addr(), certificate.client(offered)).await;
        assert_eq!(connection.protocol().as_deref(), chosen, "of {offered:?}");
        if chosen != Some("h2") {
            let mut response = connection.send(&Request::get("/stream")).await;
            assert_eq!(response.read_to_end().await, Ending::Whole);
            assert_eq!(response.messages().len(), 3);
        }
    }
}

pub async fn events_arrive_over_http_1_1_and_http_2<A: Serving>() {
    let (site, certificate, _) = open::<A>(Limits::default());
    let connection = Connection::open_tls(site.addr(), certificate.client(&["http/1.1"])).await;
    let mut one = follow_on(connection, "/events?topic=a").await;
    let client = Http2::open_tls(site.addr(), certificate.client(&["h2"])).await;
    let mut two = client.get("/events?topic=a").await;
    assert_eq!(two.next_message().await.event(), STATUS_EVENT);
    for n in ["1", "2", "3"] {
        site.publish("a", n).await;
        assert_eq!(one.next_message().await.data(), n);
        assert_eq!(two.next_message().await.data(), n);
    }
    site.app.hub().close();
    assert_eq!(one.read_to_end().await, Ending::Whole);
    assert_eq!(two.read_to_end().await, Ending::Whole);
}

pub async fn new_certificates_are_for_new_connections<A: Serving>() {
    let (site, old, tls) = open::<A>(Limits::default());
    let connection = Connection::open_tls(site.addr(), old.client(&[])).await;
    let mut before = follow_on(connection, "/events?topic=a").await;
    let new = Certificate::new();
    tls.reload(new.server(&[]));
    // A client that trusts one certificate refuses the other.
    let connection = Connection::open_tls(site.addr(), new.client(&[])).await;
    let mut after = follow_on(connection, "/events?topic=a").await;
    site.publish("a", "one").await;
    assert_eq!(before.next_message().await.data(), "one");
    assert_eq!(after.next_message().await.data(), "one");
}

pub async fn a_handshake_that_does_not_end_is_let_go<A: Serving>() {
    let limits = Limits::default().handshake_timeout(Duration::from_millis(100));
    let (site, certificate, _) = open::<A>(limits);
    let mut connection = Connection::open(site.addr()).await;
    // A record of a handshake, and the first byte of its 500.
    connection.write(&[22, 3, 1, 1, 244, 1]).await;
    connection.ended().await;
    // The limit is for the handshake alone.
    let connection = Connection::open_tls(site.addr(), certificate.client(&[])).await;
    let mut stream = follow_on(connection, "/beating?topic=a").await;
    let is_beating = |response: &Response| response.text().matches(":\n\n").count() > 2;
    stream.read_until("heartbeats", is_beating).await;
}

#[cfg(target_os = "linux")]
pub async fn a_connection_that_sends_nothing_costs_no_more_than_2_kib<A: Serving>() {
    let server = super::signals::start_tls::<A>().await;
    let mut connections = Vec::new();
    let mut open = async |number: usize| {
        while connections.len() < number {
            connections.push(Connection::open(server.addr()).await);
        }
        // The server has accepted them when it ends one that came after them.
        let mut last = Connection::open(server.addr()).await;
        last.write(b"this is no handshake").await;
        last.ended().await;
        server.memory().expect("Linux")
    };
    // Between two sizes of tables, which double: at 224 and at 448.
    let first = open(240).await;
    let all = open(440).await;
    let each = all.saturating_sub(first) / 200;
    assert!(each <= 2 * 1024, "{each} bytes for each");
}
