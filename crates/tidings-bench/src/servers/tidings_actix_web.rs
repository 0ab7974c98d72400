//! Tidings on actix-web, through the server of its adapter.

use std::io;
use std::net::TcpListener;

use actix_web::rt::System;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest};
use tidings::Hub;
use tidings_actix_web::{Sse, SseRequest};

use super::query::Query;
use super::tidings_hub;

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let hub = Hub::new();
    let data = Data::new(hub.clone());
    let app = move || {
        App::new()
            .app_data(data.clone())
            .route("/events", web::get().to(events))
            .route("/publish", web::post().to(publish))
            .route("/ping", web::get().to(async || "pong"))
    };
    System::new().block_on(async { tidings_actix_web::serve(listener, app, &hub).workers(1).await })
}

async fn events(hub: Data<Hub>, request: HttpRequest, client: SseRequest) -> Sse {
    let query = Query::parse(request.query_string());
    tidings_hub::subscribe(&hub, &query).resume(client).into()
}

async fn publish(hub: Data<Hub>, request: HttpRequest, body: String) -> String {
    tidings_hub::publish(&hub, &Query::parse(request.query_string()), &body)
}
