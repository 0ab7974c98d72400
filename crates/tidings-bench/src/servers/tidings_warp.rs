//! Tidings on warp, through the server of its adapter.

use std::io;
use std::net::TcpListener;

use bytes::Bytes;
use tidings::Hub;
use tidings_warp::{Sse, SseRequest, Transport};
use warp::Filter;

use super::query::Query;
use super::{runtime, tidings_hub};

pub(super) fn serve(listener: TcpListener, transport: Transport) -> io::Result<()> {
    let hub = Hub::new();
    let topics = hub.clone();
    let events = warp::path("events")
        .and(warp::get())
        .and(warp::query::raw())
        .and(tidings_warp::request())
        .map(move |query: String, request: SseRequest| {
            let query = Query::parse(&query);
            Sse::from(tidings_hub::subscribe(&topics, &query).resume(request))
        });
    let publisher = hub.clone();
    let publish = warp::path("publish")
        .and(warp::post())
        .and(warp::query::raw())
        .and(warp::body::bytes())
        .map(move |query: String, body: Bytes| {
            let body = String::from_utf8_lossy(&body);
            tidings_hub::publish(&publisher, &Query::parse(&query), &body)
        });
    let ping = warp::path("ping").map(|| "pong");
    let routes = events.or(publish).or(ping);
    runtime::run_here(listener, async move |listener| {
        tidings_warp::serve(listener, routes, &hub).transport(transport).await
    })
}
