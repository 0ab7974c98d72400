//! A hub's metrics for OpenTelemetry: instruments that are read when the application's exporter collects.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use tidings::{Hub, Metrics};

/// Observes a hub with a meter of the application, as long as the meter's provider lives.
pub fn observe(hub: &Hub, meter: &Meter) {
    let gauge = |name: &'static str, of: fn(&Metrics) -> u64| {
        let hub = hub.clone();
        let gauge = meter.u64_observable_gauge(name);
        gauge.with_callback(move |observer| observer.observe(of(&hub.metrics()), &[])).build();
    };
    gauge("tidings.clients", |metrics| metrics.clients as u64);
    gauge("tidings.topics", |metrics| metrics.topics as u64);
    gauge("tidings.retained", |metrics| metrics.retained_bytes as u64);
    gauge("tidings.ready", |metrics| metrics.health.is_ready().into());

    let counter =
        |name: &'static str, key: &'static str, of: fn(&Metrics) -> Vec<(&'static str, u64)>| {
            let hub = hub.clone();
            let counter = meter.u64_observable_counter(name);
            let counter = counter.with_callback(move |observer| {
                for (value, count) in of(&hub.metrics()) {
                    observer.observe(count, &[KeyValue::new(key, value)]);
                }
            });
            counter.build();
        };
    counter("tidings.publications", "outcome", |metrics| {
        vec![("ok", metrics.published), ("error", metrics.refused)]
    });
    counter("tidings.streams", "status", |metrics| {
        let resets = metrics.resets_expired + metrics.resets_trimmed + metrics.resets_unknown;
        vec![("fresh", metrics.fresh), ("resumed", metrics.resumed), ("reset", resets)]
    });
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};
    use tidings::Event;

    use super::*;

    #[test]
    fn a_collection_has_the_figures_of_the_hub() {
        let exporter = InMemoryMetricExporter::default();
        let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter.clone()).build();
        let hub = Hub::new();
        observe(&hub, &provider.meter("tidings"));
        let _stream = hub.subscribe("news").open().expect("a topic");
        hub.publish("news", Event::new("hello")).wait().expect("the hub is open");
        provider.force_flush().expect("a collection");
        let collected = format!("{:?}", exporter.get_finished_metrics().expect("metrics"));
        for name in ["clients", "topics", "retained", "ready", "publications", "streams"] {
            assert!(collected.contains(&format!("\"tidings.{name}\"")), "{name}: {collected}");
        }
    }
}
