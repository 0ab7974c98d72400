//! actix-web with events that are framed by hand, once for all clients.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;

use actix_web::rt::System;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use bytes::Bytes;
use futures_util::stream::StreamExt;

use super::broadcast::Channels;
use super::query::{Query, timed};

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let channels = Data::new(Channels::<Bytes>::new());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(channels.clone())
            .route("/events", web::get().to(events))
            .route("/publish", web::post().to(publish))
            .route("/ping", web::get().to(async || "pong"))
    });
    System::new().block_on(server.workers(1).listen(listener)?.run())
}

async fn events(channels: Data<Channels<Bytes>>, request: HttpRequest) -> HttpResponse {
    let query = Query::parse(request.query_string());
    let frames = channels.subscribe(&query.topics).map(Ok::<_, Infallible>);
    HttpResponse::Ok().content_type("text/event-stream").streaming(frames)
}

async fn publish(channels: Data<Channels<Bytes>>, request: HttpRequest, body: String) -> String {
    let query = Query::parse(request.query_string());
    timed(|| {
        let frame = Bytes::from(format!("data: {body}\n\n"));
        channels.publish(&query, &frame);
    })
}
