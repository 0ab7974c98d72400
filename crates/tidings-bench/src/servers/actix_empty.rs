//! actix-web with streams on which nothing ever happens: what a connection costs by itself.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use actix_web::rt::System;
use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures_util::stream;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let server = HttpServer::new(|| {
        App::new()
            .route("/events", web::get().to(events))
            .route("/ping", web::get().to(async || "pong"))
    });
    System::new().block_on(server.workers(1).listen(listener)?.run())
}

async fn events() -> HttpResponse {
    let nothing = stream::pending::<Result<Bytes, Infallible>>();
    HttpResponse::Ok().content_type("text/event-stream").streaming(nothing)
}
