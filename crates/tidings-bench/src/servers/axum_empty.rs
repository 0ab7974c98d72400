//! axum with streams on which nothing ever happens: what a connection costs by itself.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;

use super::runtime;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let app = Router::new().route("/events", get(events)).route("/ping", get(async || "pong"));
    runtime::run(listener, |listener| async { axum::serve(listener, app).await })
}

async fn events() -> Response {
    let nothing = stream::pending::<Result<Bytes, Infallible>>();
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(nothing)).into_response()
}
