//! Sensors of many buildings, on axum: each has a topic, and pages follow those that match a pattern.
//!
//! Nobody registers a sensor: it is there as soon as it reports, also for pages that are open.
//!
//! ```sh
//! cargo run -p sensors
//! curl -X POST localhost:3000/sensors/attic/heat -H 'content-type: application/json' -d '{"value":31.5}'
//! curl -N 'localhost:3000/events?pattern=sensors/*/heat'
//! ```

use std::{error::Error, time::Duration};

use axum::Router;
use axum::extract::{Json, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tidings_axum::tidings::Filter;
use tidings_axum::tidings::error::FieldError;
use tidings_axum::{Event, History, Hub, Retention, Sse, SseRequest};
use tokio::time::interval;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Sensor {
    Reading { building: String, sensor: String, value: f64 },
}

#[derive(Deserialize)]
struct Reported {
    value: f64,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default = "all")]
    pattern: String,
    /// Only what is at least as high.
    at_least: Option<i64>,
}

fn all() -> String {
    "sensors/*".to_owned()
}

/// The newest reading of each sensor, for a day.
fn hub() -> Result<Hub, FieldError> {
    let newest = Retention::default().events(1).age(Duration::from_secs(24 * 60 * 60));
    Ok(Hub::builder().retain("sensors/*", newest)?.build())
}

async fn events(
    State(hub): State<Hub>,
    Query(Wanted { pattern, at_least }): Query<Wanted>,
    request: SseRequest,
) -> Result<Sse, tidings_axum::Error> {
    let subscribe = request.subscribe_matching(&hub, pattern).history(History::Last(100));
    Ok(match at_least {
        Some(value) => subscribe.filter(Filter::at_least("value", value)?).into(),
        None => subscribe.into(),
    })
}

async fn report(
    State(hub): State<Hub>,
    Path((building, sensor)): Path<(String, String)>,
    Json(Reported { value }): Json<Reported>,
) -> Result<StatusCode, tidings_axum::Error> {
    publish(&hub, building, sensor, value).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn publish(
    hub: &Hub,
    building: String,
    sensor: String,
    value: f64,
) -> Result<(), tidings_axum::Error> {
    let topic = format!("sensors/{building}/{sensor}");
    let event = Event::typed(&Sensor::Reading { building, sensor, value })?;
    // Filters compare whole numbers.
    hub.publish(topic, event.with_attribute("value", value.floor() as i64)?).await?;
    Ok(())
}

/// Some sensors, of which one reports at a time.
async fn measure(hub: Hub) -> Result<(), tidings_axum::Error> {
    let mut ticks = interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let building = ["hall", "mill", "tower"][fastrand::usize(..3)];
        let (sensor, normal) = [("heat", 21.0), ("humidity", 48.0)][fastrand::usize(..2)];
        let value = normal + 10.0 * (fastrand::f64() - 0.5);
        publish(&hub, building.to_owned(), sensor.to_owned(), value).await?;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = hub()?;
    tokio::spawn(measure(hub.clone()));
    let app = Router::new()
        .route("/", get(Html(include_str!("page.html"))))
        .merge(page_example::axum::files())
        .route("/events", get(events))
        .route("/sensors/{building}/{sensor}", post(report))
        .with_state(hub.clone());

    tidings_axum::serve(page_example::listen().await?, app, &hub).await?;
    Ok(())
}
