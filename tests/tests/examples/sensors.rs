use tidings_testkit::process::Process;
use tidings_testkit::wire::Request;
use tidings_tests::example::{ask, follow};

use super::{next_json, start};

async fn report(server: &Process, sensor: &str, value: f64) {
    let report = Request::post(&format!("/sensors/{sensor}"), format!("{{\"value\":{value}}}"));
    let report = report.header("content-type", "application/json");
    assert_eq!(ask(server, report).await.status(), 204);
}

#[tokio::test]
async fn a_pattern_has_new_sensors_too_and_a_filter_only_what_is_high() {
    let server = start("sensors").await;
    let (mut attic, _) = follow(&server, Request::get("/events?pattern=sensors/attic/*")).await;
    let heat = Request::get("/events?pattern=sensors/attic/h*&at_least=30");
    let (mut heat, _) = follow(&server, heat).await;
    report(&server, "attic/light", 300.0).await;
    report(&server, "attic/heat", 29.9).await;
    report(&server, "attic/heat", 31.5).await;
    for (sensor, value) in [("light", 300.0), ("heat", 29.9), ("heat", 31.5)] {
        let reading = next_json(&mut attic, "reading").await;
        assert_eq!(
            (reading["sensor"].as_str(), reading["value"].as_f64()),
            (Some(sensor), Some(value))
        );
    }
    assert_eq!(next_json(&mut heat, "reading").await["value"], 31.5);

    // A page that is opened gets the newest of each.
    let (mut late, _) = follow(&server, Request::get("/events?pattern=sensors/attic/*")).await;
    assert_eq!(next_json(&mut late, "reading").await["sensor"], "light");
    assert_eq!(next_json(&mut late, "reading").await["value"], 31.5);
}

#[tokio::test]
async fn a_bad_pattern_is_refused() {
    let server = start("sensors").await;
    assert_eq!(ask(&server, Request::get("/events?pattern=two%20words")).await.status(), 400);
}
