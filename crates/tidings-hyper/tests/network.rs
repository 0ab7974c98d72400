//! Clients whose network is gone. They are in a network of their own, which the test can take away.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::time::{Duration, Instant};

use site::Site;
use tidings::Hub;
use tidings_net::Limits;
use tidings_testkit::limit::eventually;
use tidings_testkit::network::{self, set_loopback};
use tidings_testkit::requirements;

#[tokio::test]
async fn a_client_that_has_vanished_is_ended_though_the_kernel_takes_all_events() {
    let name = "a_client_that_has_vanished_is_ended_though_the_kernel_takes_all_events";
    if let Some(mut inside) = network::test_inside(name) {
        if let Some(()) = requirements::met("vanished clients", network::required) {
            assert!(inside.status().unwrap().success(), "see above");
        }
        return;
    }
    let limits = Limits::default().write_timeout(TIMEOUT);
    set_loopback(&["up"]);
    vanish(Site::with(Hub::new(), limits.clone()).await).await;
    set_loopback(&["up"]);
    vanish(Site::with_bodies(limits).await).await;
}

const TIMEOUT: Duration = Duration::from_millis(800);

async fn vanish(site: Site) {
    let mut clients = [site.follow("/events/a").await, site.follow("/events/b").await];
    let first = site.publish("a", "it is there");
    assert_eq!(clients[0].next_message().await.last_event_id(), first);
    set_loopback(&["down"]);
    let began = Instant::now();
    site.publish("a", "a few bytes");
    eventually("only one is left", || site.hub.clients().count() == 1).await;
    assert!(began.elapsed() >= TIMEOUT, "after {:?}", began.elapsed());
    assert_eq!(site.hub.clients().list()[0].topics[0].as_str(), "b", "nothing was sent to it");
    assert_eq!(site.hub.metrics().connections_timed_out, 1);
}
