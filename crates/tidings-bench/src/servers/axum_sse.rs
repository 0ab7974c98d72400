//! The usual code with axum: its `Sse` over a broadcast channel of strings.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::{get, post};
use futures_util::stream::{Stream, StreamExt};

use super::broadcast::Channels;
use super::query::{Query, timed};
use super::runtime;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let app = Router::new()
        .route("/events", get(events))
        .route("/publish", post(publish))
        .route("/ping", get(async || "pong"))
        .with_state(Channels::new());
    runtime::run(listener, |listener| async { axum::serve(listener, app).await })
}

async fn events(
    State(channels): State<Channels<String>>,
    RawQuery(query): RawQuery,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let query = Query::parse(&query.unwrap_or_default());
    let events =
        channels.subscribe(&query.topics).map(|message| Ok(Event::default().data(message)));
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn publish(
    State(channels): State<Channels<String>>,
    RawQuery(query): RawQuery,
    body: String,
) -> String {
    let query = Query::parse(&query.unwrap_or_default());
    timed(|| channels.publish(&query, &body))
}
