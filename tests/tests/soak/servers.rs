//! The same application on every adapter.

use actix_web::HttpRequest;
use actix_web::web::{self, Data};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use tidings::Hub;
use tidings_axum::Transport;
use tidings_testkit::adapter::Server;
use warp::Filter;

/// Starts a server for a hub.
pub(crate) type Serve = fn(&Hub) -> Server;

/// The topics and patterns in `topics=a,b:*`.
fn topics(query: &str) -> Vec<String> {
    let topics = query.strip_prefix("topics=").unwrap_or_default();
    topics.split(',').map(str::to_owned).collect()
}

pub(crate) fn axum(hub: &Hub, transport: Transport) -> Server {
    use tidings_axum::{Sse, SseRequest};

    async fn events(State(hub): State<Hub>, RawQuery(query): RawQuery, request: SseRequest) -> Sse {
        request.subscribe_matching(&hub, topics(&query.unwrap_or_default())).into()
    }

    let hub = hub.clone();
    Server::start(async move |listener, shutdown| {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let router = Router::new().route("/events", get(events)).with_state(hub.clone());
        tidings_axum::serve(listener, router, &hub)
            .transport(transport)
            .with_graceful_shutdown(shutdown)
            .await
    })
}

pub(crate) fn actix_web(hub: &Hub) -> Server {
    use tidings_actix_web::{Sse, SseRequest};

    async fn events(hub: Data<Hub>, http: HttpRequest, request: SseRequest) -> Sse {
        request.subscribe_matching(&hub, topics(http.query_string())).into()
    }

    let hub = hub.clone();
    Server::start(async move |listener, shutdown| {
        let data = Data::new(hub.clone());
        let app = move || {
            actix_web::App::new().app_data(data.clone()).route("/events", web::get().to(events))
        };
        tidings_actix_web::serve(listener, app, &hub)
            .workers(2)
            .with_graceful_shutdown(shutdown)
            .await
    })
}

pub(crate) fn warp(hub: &Hub, transport: Transport) -> Server {
    use tidings_warp::{Sse, SseRequest};

    let hub = hub.clone();
    Server::start(async move |listener, shutdown| {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let served = hub.clone();
        let routes = warp::path("events").and(warp::query::raw()).and(tidings_warp::request()).map(
            move |query: String, request: SseRequest| {
                Sse::from(request.subscribe_matching(&served, topics(&query)))
            },
        );
        tidings_warp::serve(listener, routes, &hub)
            .transport(transport)
            .with_graceful_shutdown(shutdown)
            .await
    })
}
