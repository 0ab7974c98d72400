//! `GET /healthz` and `GET /metrics`.

use tidings::{Hub, Link};

/// The `Content-Type` of [`metrics`].
pub const METRICS_TYPE: &str = tidings::Metrics::PROMETHEUS_CONTENT_TYPE;

/// Whether new clients should connect here, as the status and body of the response. It does not say why the log has failed:
/// that may name files and addresses of the server.
pub fn check(hub: &Hub) -> (u16, String) {
    let health = hub.health();
    match &health.link {
        _ if health.is_ready() => (200, "ok\n".to_owned()),
        Link::Down { since, .. } if !health.is_closed => {
            (503, format!("log link is down for {:.1} s\n", since.as_secs_f64()))
        }
        _ => (503, format!("{health}\n")),
    }
}

/// The hub's metrics, in the format of Prometheus.
pub fn metrics(hub: &Hub) -> String {
    hub.metrics().to_prometheus()
}
