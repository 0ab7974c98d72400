//! The suite that every adapter must pass, on axum.

use std::io;
use std::net::TcpListener;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tidings_axum::{Sse, SseRequest};
use tidings_testkit::adapter::{Adapter, Answer, App, Shutdown};

struct Axum;

impl Adapter for Axum {
    async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        let router = Router::new().route("/{*path}", get(answer)).with_state(app.clone());
        tidings_axum::serve(tokio::net::TcpListener::from_std(listener)?, router, app.hub())
            .with_graceful_shutdown(shutdown)
            .shutdown_timeout(App::SHUTDOWN_TIMEOUT)
            .await
    }
}

async fn answer(State(app): State<App>, uri: Uri, request: SseRequest) -> Response {
    match app.answer(uri.path(), uri.query(), request) {
        Answer::Subscription(subscribe) => Sse::from(subscribe).into_response(),
        Answer::Stream(stream) => Sse::from(stream).into_response(),
        Answer::Dropped(subscribe) => {
            drop(Sse::from(subscribe).into_response());
            StatusCode::NO_CONTENT.into_response()
        }
        Answer::NotFound => StatusCode::NOT_FOUND.into_response(),
    }
}

tidings_testkit::adapter_suite!(Axum);
