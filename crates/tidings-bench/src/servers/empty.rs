//! Each framework with idle streams: the cost of a connection itself.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use actix_web::rt::System;
use actix_web::{App, HttpResponse, HttpServer, web};
use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use warp::Filter;

use super::runtime;

fn nothing() -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::pending()
}

pub(super) fn axum(listener: TcpListener) -> io::Result<()> {
    let events = async || ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(nothing()));
    let app = Router::new().route("/events", get(events)).route("/ping", get(async || "pong"));
    runtime::run(listener, |listener| async { axum::serve(listener, app).await })
}

pub(super) fn warp(listener: TcpListener) -> io::Result<()> {
    let events = warp::path("events").and(warp::get()).map(|| {
        let reply = warp::reply::stream(nothing());
        warp::reply::with_header(reply, "content-type", "text/event-stream")
    });
    let routes = events.or(warp::path("ping").map(|| "pong"));
    runtime::run_here(listener, async |listener| {
        warp::serve(routes).incoming(listener).run().await;
        Ok(())
    })
}

pub(super) fn actix(listener: TcpListener) -> io::Result<()> {
    let server = HttpServer::new(|| {
        let events =
            async || HttpResponse::Ok().content_type("text/event-stream").streaming(nothing());
        App::new()
            .route("/events", web::get().to(events))
            .route("/ping", web::get().to(async || "pong"))
    });
    System::new().block_on(server.workers(1).listen(listener)?.run())
}
