//! Tidings on axum, through the server of its adapter.

use std::future::IntoFuture;
use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::{get, post};
use tidings::Hub;
use tidings_axum::{Sse, SseRequest, Transport};

use super::query::Query;
use super::{runtime, tidings_hub};

pub(super) fn serve(listener: TcpListener, transport: Transport) -> io::Result<()> {
    let hub = Hub::new();
    let app = Router::new()
        .route("/events", get(events))
        .route("/publish", post(publish))
        .route("/ping", get(async || "pong"))
        .with_state(hub.clone());
    runtime::run(listener, move |listener| {
        tidings_axum::serve(listener, app, &hub).transport(transport).into_future()
    })
}

async fn events(State(hub): State<Hub>, RawQuery(query): RawQuery, request: SseRequest) -> Sse {
    let query = Query::parse(&query.unwrap_or_default());
    tidings_hub::subscribe(&hub, &query).resume(request).into()
}

async fn publish(State(hub): State<Hub>, RawQuery(query): RawQuery, body: String) -> String {
    tidings_hub::publish(&hub, &Query::parse(&query.unwrap_or_default()), &body)
}
