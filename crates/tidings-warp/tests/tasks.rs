//! Clients that vanish leave no task behind.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use tidings_testkit::tasks;
use tidings_warp::tidings::Hub;
use tidings_warp::{Sse, SseRequest, Transport};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use warp::Filter;

#[test]
fn clients_that_vanish_leave_no_task() {
    vanish(Transport::Body, 1);
}

#[test]
fn a_stream_of_the_direct_transport_is_no_task() {
    vanish(Transport::Auto, 0);
}

fn vanish(transport: Transport, each: usize) {
    let runtime = Runtime::new().unwrap();
    let hub = Hub::new();
    let subscribed = hub.clone();
    let events = warp::path("events")
        .and(tidings_warp::request())
        .map(move |request: SseRequest| Sse::from(subscribed.subscribe(["quiet"]).resume(request)));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tidings_warp::serve(listener, events, &hub).transport(transport);
    runtime.spawn(async move { server.await });
    tasks::none_is_left_behind(addr, &hub, &runtime.metrics(), each);
}
