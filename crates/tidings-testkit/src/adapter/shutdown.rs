//! The end of a hub, and of its server.

use std::time::{Duration, Instant};

use tidings::{END_EVENT, Hub, STATUS_EVENT};

use super::site::{Site, events_of, status_of};
use super::{Adapter, App};
use crate::limit::{eventually, within};
use crate::wire::{Connection, Ending, Request};

pub async fn a_shutdown_ends_all_streams_and_the_server<A: Adapter>() {
    let site = Site::open::<A>();
    let mut streams = Vec::new();
    for n in 0..20 {
        streams.push(site.follow(&format!("/events?topic=a&topic=t{n}")).await);
    }
    let began = Instant::now();
    let reading = async {
        for mut stream in streams {
            assert_eq!(stream.read_to_end().await, Ending::Whole);
            assert_eq!(events_of(stream.messages()), [STATUS_EVENT, END_EVENT]);
            assert_eq!(stream.messages()[1].data(), r#"{"reason":"drained"}"#);
            stream.close().await;
        }
    };
    tokio::join!(reading, site.server.shutdown());
    assert!(began.elapsed() < App::SHUTDOWN_TIMEOUT, "it waited although all clients had left");
    assert!(site.hub.is_closed());
    eventually("no client is left", || site.hub.clients().count() == 0).await;
}

pub async fn a_hub_that_drains_turns_new_streams_away_and_ends_the_others<A: Adapter>() {
    let site = Site::with::<A>(Hub::builder().heartbeat(None));
    let mut open = Vec::new();
    for n in 0..20 {
        open.push(site.follow(&format!("/events?topic=a&topic=t{n}")).await);
    }
    let drain = site.hub.drain(Duration::from_secs(1));
    let mut new = site.get("/events?topic=a").await;
    assert_eq!(new.status(), 200);
    assert_eq!(new.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(new.read_to_end().await, Ending::Whole);
    assert!(!site.hub.health().is_ready());
    let reading = async {
        for stream in &mut open {
            assert_eq!(stream.read_to_end().await, Ending::Whole);
            assert_eq!(events_of(stream.messages()), [STATUS_EVENT, END_EVENT]);
        }
    };
    tokio::join!(within("the end of the drain", drain), reading);
    assert_eq!(site.hub.clients().count(), 0);
    assert_eq!(events_of(new.messages()), [END_EVENT]);
    assert_eq!(new.messages()[0].data(), r#"{"reason":"drained"}"#);
}

pub async fn a_shutdown_has_a_time_limit<A: Adapter>() {
    let site = Site::open::<A>();
    // A stream without a hub, which does not end at the shutdown.
    let mut endless = site.get("/stream/fed").await;
    endless.read_exactly(1).await;
    // A connection that is kept open for the next request.
    let mut idle = site.get("/stream").await;
    assert_eq!(idle.read_to_end().await, Ending::Whole);
    // A stalled client.
    let stalled = Connection::open_narrow(site.addr(), 4 * 1024).await;
    let stalled = stalled.send(&Request::get("/events?topic=a")).await;
    for _ in 0..16 {
        site.publish("a", &"x".repeat(500_000));
    }
    let left = site.server.shutdown().await;
    assert!(site.hub.is_closed());
    // Nothing goes on, though the server's runtime does.
    let ending = endless.read_to_end().await;
    assert!(matches!(ending, Ending::Cut | Ending::Reset), "{ending:?}");
    idle.into_connection().ended().await;
    eventually("no client is left", || site.hub.clients().count() == 0).await;
    drop((stalled, left));
}

pub async fn a_server_outlives_its_hub<A: Adapter>() {
    let site = Site::open::<A>();
    let mut stream = site.follow("/events?topic=a").await;
    site.hub.close();
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    let mut next = stream.into_connection().send(&Request::get("/stream")).await;
    assert_eq!(next.read_to_end().await, Ending::Whole);
    assert_eq!(next.messages().len(), 3);
}

pub async fn what_was_published_before_the_end_still_arrives<A: Adapter>() {
    let site = Site::open::<A>();
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(site.follow("/events?topic=a").await);
    }
    let large = "x".repeat(200_000);
    site.publish("a", &large);
    site.publish("a", "the end");
    let reading = async {
        for stream in &mut streams {
            assert_eq!(stream.read_to_end().await, Ending::Whole);
            assert_eq!(
                events_of(stream.messages()),
                [STATUS_EVENT, "message", "message", END_EVENT]
            );
            assert_eq!(stream.messages()[2].data(), "the end");
        }
    };
    tokio::join!(reading, site.server.shutdown());
}

pub async fn a_client_that_comes_to_a_closed_hub_gets_what_it_missed<A: Adapter>() {
    let site = Site::open::<A>();
    let one = site.publish("a", "one");
    site.publish("a", "two");
    let connection = Connection::open(site.addr()).await;
    site.hub.close();
    let request = Request::get("/events?topic=a").header("Last-Event-ID", one);
    let mut response = connection.send(&request).await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(status_of(&response.messages()[0])["status"], "resumed");
    assert_eq!(response.messages()[1].data(), "two");
}

pub async fn streams_that_end_by_reset_are_cut_after_everything_that_was_published<A: Adapter>() {
    let site = Site::open::<A>();
    site.hub.end_streams_by_reset(true);
    let mut stream = site.follow("/events?topic=a").await;
    site.publish("a", "the last");
    site.hub.close();
    let ending = stream.read_to_end().await;
    assert!(matches!(ending, Ending::Cut | Ending::Reset), "{ending:?}");
    assert_eq!(stream.messages().last().map(|message| message.data()), Some("the last"));
    assert!(stream.text().ends_with("\n\n"));
}
