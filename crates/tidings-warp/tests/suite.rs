//! The suite that every adapter must pass, on warp.

use std::io;
use std::net::TcpListener;

use tidings_testkit::adapter::{Adapter, Answer, App, Shutdown};
use tidings_warp::{Sse, SseRequest};
use warp::http::StatusCode;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

struct Warp;

impl Adapter for Warp {
    async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        let hub = app.hub().clone();
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let routes = warp::get()
            .or(warp::head())
            .unify()
            .map(move || app.clone())
            .and(warp::path::full())
            .and(query)
            .and(tidings_warp::request())
            .map(answer);
        tidings_warp::serve(tokio::net::TcpListener::from_std(listener)?, routes, &hub)
            .with_graceful_shutdown(shutdown)
            .shutdown_timeout(App::SHUTDOWN_TIMEOUT)
            .await
    }
}

fn answer(app: App, path: FullPath, query: String, request: SseRequest) -> Response {
    match app.answer(path.as_str(), Some(&query), request) {
        Answer::Subscription(subscribe) => Sse::from(subscribe).into_response(),
        Answer::Stream(stream) => Sse::from(stream).into_response(),
        Answer::Dropped(subscribe) => {
            drop(Sse::from(subscribe).into_response());
            StatusCode::NO_CONTENT.into_response()
        }
        Answer::NotFound => StatusCode::NOT_FOUND.into_response(),
    }
}

tidings_testkit::adapter_suite!(Warp);
