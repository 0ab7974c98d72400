//! axum with events that are framed by hand, once for all clients.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream::StreamExt;

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

async fn events(State(channels): State<Channels<Bytes>>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(&query.unwrap_or_default());
    let frames = channels.subscribe(&query.topics).map(Ok::<_, Infallible>);
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(frames)).into_response()
}

async fn publish(
    State(channels): State<Channels<Bytes>>,
    RawQuery(query): RawQuery,
    body: String,
) -> String {
    let query = Query::parse(&query.unwrap_or_default());
    timed(|| {
        let frame = Bytes::from(format!("data: {body}\n\n"));
        channels.publish(&query, &frame);
    })
}
