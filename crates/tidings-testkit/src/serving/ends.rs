//! The end of a server and of its streams.

use std::time::Instant;

use tidings::STATUS_EVENT;

use super::Serving;
use super::site::{Site, follow};
use crate::adapter::App;
use crate::wire::{Ending, Http2, Request, Response};

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
