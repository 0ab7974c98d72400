//! `GET /healthz` and `GET /metrics`.

use tidings::Hub;

/// The `Content-Type` of [`metrics`].
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether new clients should connect here, as the status and body of the response.
pub fn check(hub: &Hub) -> (u16, String) {
    let health = hub.health();
    match health.is_ready() {
        true => (200, "ok\n".to_owned()),
        false => (503, format!("{health}\n")),
    }
}

/// The hub's metrics, in the format of Prometheus.
pub fn metrics(hub: &Hub) -> String {
    hub.metrics().to_string()
}
