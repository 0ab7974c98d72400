//! The usual code with warp: its `sse` over a broadcast channel of strings.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use bytes::Bytes;
use futures_util::stream::StreamExt;
use warp::Filter;
use warp::sse::Event;

use super::broadcast::Channels;
use super::query::{Query, timed};
use super::runtime;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let channels = Channels::<String>::new();
    let topics = channels.clone();
    let events =
        warp::path("events").and(warp::get()).and(warp::query::raw()).map(move |query: String| {
            let events = topics
                .subscribe(&Query::parse(&query).topics)
                .map(|message| Ok::<_, Infallible>(Event::default().data(message)));
            warp::sse::reply(warp::sse::keep_alive().stream(events))
        });
    let publish = warp::path("publish")
        .and(warp::post())
        .and(warp::query::raw())
        .and(warp::body::bytes())
        .map(move |query: String, body: Bytes| {
            let query = Query::parse(&query);
            let message = String::from_utf8_lossy(&body).into_owned();
            timed(|| channels.publish(&query, &message))
        });
    let ping = warp::path("ping").map(|| "pong");
    let routes = events.or(publish).or(ping);
    runtime::run_here(listener, async |listener| {
        warp::serve(routes).incoming(listener).run().await;
        Ok(())
    })
}
