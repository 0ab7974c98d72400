//! Limits of connections: how many of an address, whose they are, and how large a head may be.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tidings_net::{Limits, Network};

use super::Serving;
use super::site::{Site, follow, follow_on};
use crate::limit::{eventually, within};
use crate::wire::{Connection, Ending, Http2, Request, Response};

const EVENTS: &str = "/events?topic=a";

/// The only proxy, and the address from which clients connect unless they say otherwise.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An address of this machine that is not the proxy's. On Linux: others do not have it by themselves.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn open<A: Serving>(limits: Limits) -> Site {
    Site::open::<A>(move |_, serve| serve.limits(limits))
}

/// The address of the only client, as the application sees it.
#[track_caller]
fn address(site: &Site) -> String {
    let clients = site.app.hub().clients().list();
    let [client] = clients.as_slice() else { panic!("one client, not {clients:?}") };
    client.remote_addr.map(|addr| addr.ip().to_string()).unwrap_or_default()
}

async fn nobody_is_left(site: &Site) {
    eventually("no client is left", || site.app.hub().clients().count() == 0).await;
}

pub async fn an_address_has_a_limit_of_its_own<A: Serving>() {
    let site = open::<A>(Limits::default().connections_per_address(2));
    let one = follow(site.addr(), EVENTS).await;
    let _two = follow(site.addr(), EVENTS).await;
    Connection::open(site.addr()).await.ended().await;
    assert_eq!(site.app.hub().metrics().connections_refused, 1);
    let _other = follow_on(Connection::open_from(STRANGER, site.addr()).await, EVENTS).await;
    one.close().await;
    within("room for another", async {
        let request = Request::get(EVENTS);
        while Connection::try_send(site.addr(), &request).await.is_err() {}
    })
    .await;
}

pub async fn requests_count_for_the_client_that_a_proxy_names<A: Serving>() {
    let site = open::<A>(Limits::default().proxies([PROXY]).connections_per_address(1));
    let as_client = |client: &str, target: &str| {
        Response::to(site.addr(), Request::get(target).header("x-forwarded-for", client))
    };
    let mut streams = Vec::new();
    for client in ["192.0.2.7", "192.0.2.8"] {
        let mut stream = as_client(client, EVENTS).await;
        stream.next_message().await;
        assert_eq!(as_client(client, "/stream").await.status(), 429);
        streams.push(stream);
    }
    assert_eq!(site.app.hub().metrics().connections_refused, 2);
    for stream in streams {
        stream.close().await;
    }
    within("room for their next requests", async {
        for client in ["192.0.2.7", "192.0.2.8", "192.0.2.7"] {
            while as_client(client, "/stream").await.status() != 200 {}
        }
    })
    .await;
}

pub async fn a_proxy_names_the_client_and_nobody_else_does<A: Serving>() {
    let proxies: [Network; 2] = [PROXY.into(), "10.0.0.0/8".parse().expect("a network")];
    let site = open::<A>(Limits::default().proxies(proxies));
    for (from, forwarded, expected) in [
        (PROXY, "192.0.2.7", "192.0.2.7"),
        (PROXY, "198.51.100.1, 192.0.2.7, 10.1.2.3", "192.0.2.7"),
        (PROXY, "[2001:db8::1]:443", "2001:db8::1"),
        (PROXY, "10.0.0.2, 10.0.0.1", "10.0.0.2"),
        (PROXY, "nonsense", "127.0.0.1"),
        (STRANGER, "192.0.2.7", "127.0.0.2"),
    ] {
        let connection = Connection::open_from(from, site.addr()).await;
        let request = Request::get(EVENTS).header("X-Forwarded-For", forwarded);
        let mut stream = connection.send(&request).await;
        stream.next_message().await;
        assert_eq!(address(&site), expected, "{forwarded} from {from}");
        stream.close().await;
        nobody_is_left(&site).await;
    }
}

pub async fn a_proxy_of_the_proxy_protocol_begins_with_its_client<A: Serving>() {
    let limits = Limits::default().proxies([PROXY]).proxy_protocol(true).connections_per_address(1);
    let site = open::<A>(limits.head_timeout(Duration::from_secs(1)));
    let header = |client: &str| format!("PROXY TCP4 {client} 127.0.0.1 5000 80\r\n").into_bytes();
    let connection = connect(&site, PROXY, &header("192.0.2.7")).await;
    // The header that anybody can send is not believed.
    let request = Request::get(EVENTS).header("x-forwarded-for", "198.51.100.1");
    let mut stream = connection.send(&request).await;
    stream.next_message().await;
    assert_eq!(address(&site), "192.0.2.7");
    // The next request of the connection is the same client's.
    site.app.hub().clients().close(site.app.hub().clients().list()[0].id);
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    nobody_is_left(&site).await;
    let _stream = follow_on(stream.into_connection(), EVENTS).await;
    assert_eq!(address(&site), "192.0.2.7");
    // The limit is the client's.
    connect(&site, PROXY, &header("192.0.2.7")).await.ended().await;
    let other = connect(&site, PROXY, &header("192.0.2.8")).await;
    assert_eq!(other.send(&Request::get("/stream")).await.status(), 200);
    assert_eq!(site.app.hub().metrics().connections_refused, 1);
    // Without a header, or with half of it.
    for first in [&Request::get(EVENTS).bytes()[..], b"PROXY TCP4 192"] {
        connect(&site, PROXY, first).await.ended().await;
    }
    let metrics = site.app.hub().metrics();
    assert_eq!((metrics.connections_refused, metrics.connections_timed_out), (2, 1));
    // Somebody else is not a proxy.
    let all = [header("192.0.2.9"), Request::get(EVENTS).bytes()].concat();
    let stranger = connect(&site, STRANGER, &all).await;
    assert_eq!(stranger.response().await.status(), 400);
}

/// Connects from an address, and sends the first bytes.
async fn connect(site: &Site, from: IpAddr, first: &[u8]) -> Connection {
    let mut connection = Connection::open_from(from, site.addr()).await;
    connection.write(first).await;
    connection
}

pub async fn a_head_that_is_too_large_is_refused<A: Serving>() {
    let site = open::<A>(Limits::default());
    for (kib, status) in [(60, 200), (70, 431)] {
        let request = Request::get("/stream").header("x", "y".repeat(kib * 1024));
        assert_eq!(Response::to(site.addr(), request).await.status(), status, "{kib} KiB");
    }
    assert_eq!(site.app.hub().metrics().connections_flooded, 1);
}

pub async fn a_head_of_http_2_that_is_too_large_is_refused<A: Serving>() {
    let site = open::<A>(Limits::default());
    let client = Http2::open(site.addr()).await;
    // Several, as HPACK can make them of little.
    let names: Vec<_> = (0..10).map(|n| format!("x-{n}")).collect();
    let value = "y".repeat(8 * 1024);
    // The libraries' own limits are 16 KiB and 16 MiB.
    for (count, status) in [(6, 200), (10, 431)] {
        let headers = names[..count].iter().map(|name| (name.as_str(), value.as_str()));
        let headers: Vec<_> = headers.collect();
        let response = client.send("GET", "/stream", &headers).await;
        assert_eq!(response.status(), status, "{count} headers of 8 KiB");
    }
}
