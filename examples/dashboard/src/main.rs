//! A dashboard of live counters, on axum: the server counts its own requests, and who watches.
//!
//! Once a second there is a sample of all counters. A page that is opened gets the last minute, and draws it.

use std::{error::Error, sync::Arc, time::Duration};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{Html, Response};
use axum::routing::get;
use parking_lot::Mutex;
use serde::Serialize;
use tidings_axum::{Event, History, Hub, Retention, Sse, SseRequest};
use tokio::time::interval;

const SAMPLES: &str = "samples";
const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
struct App {
    hub: Hub,
    counters: Arc<Mutex<Counters>>,
}

/// Since the last sample.
#[derive(Default)]
struct Counters {
    requests: u32,
    failed: u32,
    slowest: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Dashboard {
    Sample { requests: u32, failed: u32, slowest_ms: f64, watching: usize },
}

/// Counts what passes.
async fn count(State(app): State<App>, request: Request, next: Next) -> Response {
    let began = std::time::Instant::now();
    let response = next.run(request).await;
    let mut counters = app.counters.lock();
    counters.requests += 1;
    counters.failed += u32::from(response.status().is_server_error());
    counters.slowest = counters.slowest.max(began.elapsed());
    response
}

async fn sample(App { hub, counters }: App) -> Result<(), tidings_axum::Error> {
    let mut seconds = interval(SECOND);
    loop {
        seconds.tick().await;
        let Counters { requests, failed, slowest } = std::mem::take(&mut *counters.lock());
        let slowest_ms = slowest.as_secs_f64() * 1000.0;
        let watching = hub.clients().count();
        let sample = Dashboard::Sample { requests, failed, slowest_ms, watching };
        hub.publish(SAMPLES, Event::typed(&sample)?).await?;
    }
}

async fn events(State(app): State<App>, request: SseRequest) -> Sse {
    request.subscribe(&app.hub, SAMPLES).history(History::All).into()
}

/// What the page asks for, to have something to count.
async fn work() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn fail() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let minute = Retention::default().events(60).age(60 * SECOND);
    let hub = Hub::builder().retain(SAMPLES, minute)?.build();
    let state = App { hub: hub.clone(), counters: Arc::default() };
    tokio::spawn(sample(state.clone()));
    let app = Router::new()
        .route("/work", get(work))
        .route("/fail", get(fail))
        .route_layer(middleware::from_fn_with_state(state.clone(), count))
        .route("/", get(Html(include_str!("page.html"))))
        .merge(page_example::axum::files())
        .route("/events", get(events))
        .with_state(state);

    tidings_axum::serve(page_example::listen().await?, app, &hub).await?;
    Ok(())
}
