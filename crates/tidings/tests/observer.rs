//! Streams of whoever operates a hub, of which users notice nothing.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::Reader;
use tidings::clock::ManualClock;
use tidings::error::SubscribeErrorKind;
use tidings::presence::Presence;
use tidings::{History, Hub, OverLimit, Subscribe};

#[track_caller]
fn assert_too_many(subscribe: Subscribe) {
    assert_eq!(subscribe.open().unwrap_err().kind(), SubscribeErrorKind::TooManyStreams);
}

#[test]
fn an_observer_is_listed_and_nobody_is_present_by_it() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(&clock).heartbeat(None).retry(None);
    let hub = hub.presence("room/*", Presence::default()).unwrap().build();
    let comings = hub.subscribe(["presence/room/1", "presence/room/2"]).history(History::All);
    let mut watcher = Reader::open_with_status(comings).0;
    let observer = hub.subscribe("room/1").principal("console").observer().open().unwrap();
    let id = observer.client_id();
    assert!(hub.client(id).subscribe("room/2").unwrap());
    clock.advance(Duration::from_secs(60));
    assert!(watcher.messages().is_empty());
    assert_eq!((hub.metrics().events, hub.metrics().present), (0, 0));
    assert!(hub.presence("room/1").wait().unwrap().is_empty());
    let listed = hub.clients().of_principal("console");
    assert_eq!(listed.iter().map(|client| client.id).collect::<Vec<_>>(), [id]);
    assert_eq!(hub.clients().count_of_principal("console"), 1);

    // The same user may be present by another stream.
    let user = hub.subscribe("room/1").principal("console").open().unwrap();
    clock.advance(Duration::from_millis(1));
    assert_eq!(watcher.messages().len(), 1);
    drop(observer);
    clock.advance(Duration::from_secs(60));
    assert!(watcher.messages().is_empty());
    assert_eq!((hub.metrics().present, hub.clients().count_of_principal("console")), (1, 1));
    drop(user);
    assert_eq!(hub.clients().count_of_principal("console"), 0);
}

#[test]
fn an_observer_can_be_closed_by_its_principal() {
    let hub = Hub::new();
    let observer = hub.subscribe("a").principal("console").observer();
    let mut observer = Reader::open_with_status(observer).0;
    assert_eq!(hub.clients().close_principal("console"), 1);
    observer.bytes();
    assert!(observer.ended);
}

#[test]
fn an_observer_takes_no_place_of_a_principal_or_a_client_key() {
    let limited = || Hub::builder().over_limit(OverLimit::Status);
    let of_principals = limited().streams_per_principal(1).build();
    let of_keys = limited().streams_per_client_key(1).build();
    for hub in [of_principals, of_keys] {
        let ada = || hub.subscribe("a").principal("ada").client_key("phone");
        let observers = [(); 2].map(|()| ada().observer().open().unwrap());
        let user = ada().open().unwrap();
        assert_too_many(ada());
        let late = ada().observer().open().unwrap();
        drop(user);
        let _user = ada().open().unwrap();
        drop((observers, late));
        assert_too_many(ada());
    }
}

#[test]
fn an_observer_takes_no_place_of_a_topic() {
    let hub = Hub::builder().streams_per_topic(1).over_limit(OverLimit::Status).build();
    let both = || hub.subscribe("a").matching("b*");
    let observers = [(); 2].map(|()| both().observer().open().unwrap());
    let user = both().open().unwrap();
    assert_too_many(hub.subscribe("a"));
    assert_too_many(hub.subscribe_matching("b*"));
    let late = both().observer().open().unwrap();
    drop(user);
    let _user = both().open().unwrap();
    drop((observers, late));
    assert_too_many(hub.subscribe("a"));
    assert_too_many(hub.subscribe_matching("b*"));
}

#[test]
fn an_observer_neither_supersedes_nor_is_superseded() {
    let hub = Hub::builder().streams_per_principal(1).over_limit(OverLimit::Supersede).build();
    let ada = || hub.subscribe("a").principal("ada");
    let open = |subscribe| Reader::open_with_status(subscribe).0;
    let [mut observer, mut first] = [ada().observer(), ada()].map(open);
    let mut late = open(ada().observer());
    first.bytes();
    assert!(!first.ended);
    let mut second = open(ada());
    for reader in [&mut observer, &mut first, &mut late, &mut second] {
        reader.bytes();
    }
    assert!(first.ended && !observer.ended && !late.ended && !second.ended);
}
