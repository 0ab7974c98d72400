//! TLS, with the protocol chosen by ALPN.

use tidings::STATUS_EVENT;

use super::Adapter;
use super::delivery::without_client;
use super::site::{Site, data_of, status_of};
use crate::limit::eventually;
use crate::wire::{Connection, Ending, Http2, Request};

pub async fn the_client_chooses_the_protocol<A: Adapter>() {
    let (site, certificate) = Site::open_tls::<A>();
    for (offered, chosen) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let connection = Connection::open_tls(site.addr(), certificate.client(offered)).await;
        assert_eq!(connection.protocol().as_deref(), chosen, "of {offered:?}");
        if chosen != Some("h2") {
            let mut response = connection.send(&Request::get("/stream")).await;
            assert_eq!(response.read_to_end().await, Ending::Whole);
            assert_eq!(data_of(response.messages()), ["Hel", "lo", "[DONE]"]);
        }
    }
}

pub async fn events_arrive_one_by_one_over_http_1_1_and_http_2<A: Adapter>() {
    let (site, certificate) = Site::open_tls::<A>();
    let connection = Connection::open_tls(site.addr(), certificate.client(&["http/1.1"])).await;
    let client = Http2::open_tls(site.addr(), certificate.client(&["h2"])).await;
    let mut one = connection.send(&Request::get("/events?topic=a")).await;
    let mut two = client.get("/events?topic=a").await;
    assert_eq!(status_of(&one.next_message().await)["status"], "fresh");
    assert_eq!(status_of(&two.next_message().await)["status"], "fresh");
    for n in 0..20 {
        let id = site.publish("a", &n.to_string());
        let (one, two) = (one.next_message().await, two.next_message().await);
        assert_eq!((one.data(), one.last_event_id()), (n.to_string().as_str(), &*id));
        assert_eq!((two.data(), two.last_event_id()), (n.to_string().as_str(), &*id));
    }
    // The end of the connection and the reset of the stream are both noticed.
    one.reset();
    two.reset();
    eventually("no client is left", || site.hub.clients().count() == 0).await;
}

pub async fn a_client_resumes_over_both_with_the_same_body<A: Adapter>() {
    let (site, certificate) = Site::open_tls::<A>();
    let client = Http2::open_tls(site.addr(), certificate.client(&["h2"])).await;
    let ids: Vec<_> = (0..20).map(|n| site.publish("a", &format!("line {n}\r\nnext"))).collect();
    let mut pairs = Vec::new();
    for target in ["/events?topic=a", "/bare?topic=a"] {
        for (id, missed) in [(ids[10].as_str(), 9), (ids[19].as_str(), 0), ("another-7", 20)] {
            let connection =
                Connection::open_tls(site.addr(), certificate.client(&["http/1.1"])).await;
            let request = Request::get(target).header("last-event-id", id);
            let one = connection.send(&request).await;
            let two = client.send("GET", target, &[("last-event-id", id)]).await;
            pairs.push((one, two, missed));
        }
    }
    // Larger than one record of TLS.
    let large = "x".repeat(100_000);
    site.publish("a", &large);
    site.hub.close();
    for (mut one, mut two, missed) in pairs {
        assert_eq!(one.read_to_end().await, Ending::Whole);
        assert_eq!(two.read_to_end().await, Ending::Whole);
        assert_eq!(without_client(one.text()), without_client(two.text()));
        // A status may come before what was missed, and the large event comes after it.
        let status = one.messages().iter().filter(|m| m.event() == STATUS_EVENT).count();
        assert_eq!(one.messages().len(), status + missed + 1);
        assert!(one.messages().last().is_some_and(|message| message.data() == large));
    }
}
