//! Clients that vanish leave no task behind.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tidings_axum::tidings::Hub;
use tidings_axum::{Sse, SseRequest, Transport};
use tidings_testkit::tasks;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
    hub.subscribe(["quiet"]).resume(request).into()
}

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
    let app = Router::new().route("/events", get(events)).with_state(hub.clone());
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tidings_axum::serve(listener, app, &hub).transport(transport);
    runtime.spawn(async move { server.await });
    tasks::none_is_left_behind(addr, &hub, &runtime.metrics(), each);
}
