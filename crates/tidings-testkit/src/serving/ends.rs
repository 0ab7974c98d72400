//! The end of a server and of its streams.

use std::time::{Duration, Instant};

use tidings::{END_EVENT, STATUS_EVENT};
use tidings_net::Limits;

use super::Serving;
use super::site::{Site, follow};
use crate::adapter::App;
use crate::limit::eventually;
use crate::wire::{Connection, Ending, Http2, Request, Response};

pub async fn a_response_may_take_longer_than_a_connection_may_be_idle<A: Serving>() {
    // More than the system takes up.
    const BYTES: usize = 16 << 20;
    let time = Duration::from_millis(300);
    let limits = Limits::default().idle_timeout(time);
    let site = Site::open::<A>(move |_, serve| serve.limits(limits));
    let mut connection = Connection::open_narrow(site.addr(), 64 * 1024).await;
    let text = "x".repeat(1024);
    let target = format!("/plain?text={text}&times={}", BYTES / text.len());
    connection.write(&Request::get(&target).bytes()).await;
    connection.answered().await;
    tokio::time::sleep(3 * time).await;
    let mut response = connection.response().await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.body().len(), BYTES);
}

pub async fn a_shutdown_ends_the_streams_of_all_hubs<A: Serving>() {
    let site = Site::open::<A>(|app, serve| serve.hub(app.other_hub()));
    let mut one = follow(site.addr(), "/events?topic=a").await;
    let mut other = follow(site.addr(), "/other?topic=a").await;
    let began = Instant::now();
    let reading = async {
        assert_eq!(one.read_to_end().await, Ending::Whole);
        assert_eq!(other.read_to_end().await, Ending::Whole);
        tokio::join!(one.close(), other.close());
    };
    tokio::join!(reading, site.server.shutdown());
    assert!(began.elapsed() < App::SHUTDOWN_TIMEOUT, "it waited although all streams had ended");
}

pub async fn a_shutdown_drains_the_hubs_and_answers_meanwhile<A: Serving>() {
    let site = Site::open::<A>(|app, serve| {
        serve.hub(app.other_hub()).drain_over(App::SHUTDOWN_TIMEOUT / 2)
    });
    let mut streams = Vec::new();
    for path in ["/events?topic=a", "/other?topic=a"] {
        for _ in 0..4 {
            streams.push(follow(site.addr(), path).await);
        }
    }
    let (addr, hub) = (site.addr(), site.app.hub().clone());
    let meanwhile = async {
        eventually("it drains", || hub.is_draining()).await;
        let mut turned_away = Response::to(addr, Request::get("/events?topic=a")).await;
        assert_eq!(turned_away.read_to_end().await, Ending::Whole);
        assert_eq!(turned_away.messages()[0].event(), END_EVENT);
        let mut other = Response::to(addr, Request::get("/stream")).await;
        assert_eq!(other.read_to_end().await, Ending::Whole);
        assert!(!hub.is_closed(), "it drains still");
        for stream in &mut streams {
            assert_eq!(stream.read_to_end().await, Ending::Whole);
            let end = stream.messages().last().expect("an end");
            assert_eq!(end.data(), r#"{"reason":"drained"}"#);
        }
    };
    tokio::join!(meanwhile, site.server.shutdown());
    assert!(hub.is_closed());
}

pub async fn streams_end_by_reset_where_the_application_wants_it<A: Serving>() {
    let site = Site::open::<A>(|_, serve| serve.end_streams_by_reset(true));
    let mut one = follow(site.addr(), "/events?topic=a").await;
    let client = Http2::open(site.addr()).await;
    let mut two = client.get("/events?topic=a").await;
    assert_eq!(two.next_message().await.event(), STATUS_EVENT);
    site.publish("a", "the last").await;
    let reading = async {
        assert_eq!(one.next_message().await.data(), "the last");
        assert_eq!(one.read_to_end().await, Ending::Cut);
        // The reset may overtake what was sent.
        assert_eq!(two.read_to_end().await, Ending::Reset);
        drop(client);
    };
    tokio::join!(reading, site.server.shutdown());
}

pub async fn a_server_says_where_it_listens<A: Serving>() {
    let site = Site::open::<A>(|app, serve| {
        app.feed(&serve.local_addr().expect("its address").to_string());
        serve
    });
    let mut said = Response::to(site.addr(), Request::get("/stream/fed")).await;
    assert_eq!(said.next_message().await.data(), site.addr().to_string());
}
