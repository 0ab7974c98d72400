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
    use futures_util::{FutureExt, StreamExt};
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::data::{
        AggregatedMetrics, MetricData, ResourceMetrics, ScopeMetrics,
    };
    use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};
    use tidings::Event;

    use super::*;

    /// The values of an instrument with their attributes, in the order of these.
    fn values(collected: &[ResourceMetrics], name: &str) -> Vec<(String, u64)> {
        let scopes = collected.iter().flat_map(ResourceMetrics::scope_metrics);
        let metric = scopes.flat_map(ScopeMetrics::metrics).find(|metric| metric.name() == name);
        let AggregatedMetrics::U64(data) = metric.expect(name).data() else { panic!("{name}") };
        let mut values: Vec<_> = match data {
            MetricData::Gauge(gauge) => {
                gauge.data_points().map(|it| (text(it.attributes()), it.value())).collect()
            }
            MetricData::Sum(sum) => {
                sum.data_points().map(|it| (text(it.attributes()), it.value())).collect()
            }
            _ => panic!("{name}"),
        };
        values.sort();
        values
    }

    fn text<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
        attributes.map(|it| format!("{}={}", it.key, it.value)).collect()
    }

    #[test]
    fn a_collection_has_the_figures_of_the_hub() {
        let exporter = InMemoryMetricExporter::default();
        let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter.clone()).build();
        let hub = Hub::new();
        observe(&hub, &provider.meter("tidings"));
        let mut streams = ["news"; 3].map(|topic| hub.subscribe(topic).open().expect("a topic"));
        for stream in &mut streams {
            let status = stream.next().now_or_never();
            assert!(matches!(status, Some(Some(Ok(_)))), "{status:?}");
        }
        hub.publish("news", Event::new("hello")).wait().expect("the hub is open");
        hub.publish("chat", Event::new("hello")).wait().expect("the hub is open");
        for _ in 0..3 {
            hub.publish("*", Event::new("hello")).wait().expect_err("a pattern is no topic");
        }
        provider.force_flush().expect("a collection");
        let collected = exporter.get_finished_metrics().expect("metrics");
        let retained = hub.metrics().retained_bytes as u64;
        for (name, expected) in [
            ("clients", vec![("", 3)]),
            ("topics", vec![("", 2)]),
            ("retained", vec![("", retained)]),
            ("ready", vec![("", 1)]),
            ("publications", vec![("outcome=error", 3), ("outcome=ok", 2)]),
            ("streams", vec![("status=fresh", 3), ("status=reset", 0), ("status=resumed", 0)]),
        ] {
            let values = values(&collected, &format!("tidings.{name}"));
            let values: Vec<_> = values.iter().map(|(key, value)| (&**key, *value)).collect();
            assert_eq!(values, expected, "{name}");
        }
    }
}
