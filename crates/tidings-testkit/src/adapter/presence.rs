//! Who is on a topic, by who is connected.

use std::time::Duration;

use tidings::Hub;
use tidings::presence::{JOIN_EVENT, LEAVE_EVENT, Presence};

use super::Adapter;
use super::site::Site;
use crate::limit::eventually;
use crate::wire::Http2;

/// With short heartbeats, so that every platform notices in time who has left.
const ROOM: &str = "/beating?topic=room&principal=";

fn site<A: Adapter>() -> Site {
    let presence = Presence::default().grace(Duration::from_millis(50));
    Site::with_h2c::<A>(Hub::builder().presence("room", presence).expect("a pattern"))
}

async fn are_present(site: &Site, expected: &[&str]) {
    eventually("those are present", || {
        let present = site.hub.presence("room").wait().expect("a hub in memory knows");
        let mut names: Vec<_> = present.into_iter().map(|present| present.principal).collect();
        names.sort();
        names == expected
    })
    .await;
}

pub async fn those_who_connect_are_present_until_they_leave<A: Adapter>() {
    let site = site::<A>();
    let mut watcher = site.follow("/events?topic=presence/room").await;
    let ada = site.follow(&format!("{ROOM}ada")).await;
    let again = site.follow(&format!("{ROOM}ada")).await;
    assert_eq!(watcher.next_message().await.event(), JOIN_EVENT);
    let client = Http2::open(site.addr()).await;
    let mut grace = client.get(&format!("{ROOM}grace")).await;
    grace.next_message().await;
    are_present(&site, &["ada", "grace"]).await;
    assert_eq!(watcher.next_message().await.event(), JOIN_EVENT);
    ada.reset();
    grace.reset();
    assert_eq!(watcher.next_message().await.event(), LEAVE_EVENT);
    are_present(&site, &["ada"]).await;
    again.close().await;
    assert_eq!(watcher.next_message().await.event(), LEAVE_EVENT);
    are_present(&site, &[]).await;
}
