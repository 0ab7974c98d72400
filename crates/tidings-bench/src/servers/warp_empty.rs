//! warp with streams on which nothing ever happens: what a connection costs by itself.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use bytes::Bytes;
use futures_util::stream;
use warp::Filter;

use super::runtime;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let events = warp::path("events").and(warp::get()).map(|| {
        let nothing = warp::reply::stream(stream::pending::<Result<Bytes, Infallible>>());
        warp::reply::with_header(nothing, "content-type", "text/event-stream")
    });
    let ping = warp::path("ping").map(|| "pong");
    let routes = events.or(ping);
    runtime::run_here(listener, async |listener| {
        warp::serve(routes).incoming(listener).run().await;
        Ok(())
    })
}
