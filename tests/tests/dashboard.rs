//! docs/grafana-dashboard.json shows what there is: every metric that it names exists, and every metric is shown, or left
//! out for a reason.

use std::collections::BTreeSet;

use serde_json::Value;
use tidings::Hub;
use tidings_redb::RedbLog;

/// Metrics that it does not show, and why.
const LEFT_OUT: [(&str, &str); 0] = [];

/// The names of all metrics. A hub on a log has the most.
fn metrics() -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a folder of the test's own");
    let log = RedbLog::open(folder.path().join("events.redb")).expect("a new file");
    let hub = Hub::builder().build_on(log);
    let caught_up = std::iter::repeat_with(|| hub.metrics()).find(|it| it.health.lag.is_some());
    let text = caught_up.expect("it is new").to_prometheus();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().expect("a name").to_owned()).collect()
}

/// The metrics that a value names, at any depth.
fn named(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(expression)) = fields.get("expr") {
                for (at, _) in expression.match_indices("tidings_") {
                    let rest = expression[at..].chars();
                    let name = rest.take_while(|c| c.is_ascii_alphanumeric() || *c == '_');
                    names.insert(name.collect());
                }
            }
            fields.values().for_each(|value| named(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| named(value, names)),
        _ => {}
    }
}

fn dashboard() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana-dashboard.json");
    let text = std::fs::read_to_string(path).expect("the dashboard");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let mut shown = BTreeSet::new();
    named(&dashboard(), &mut shown);
    let metrics = metrics();
    let unknown: Vec<_> = shown.difference(&metrics).collect();
    assert!(unknown.is_empty(), "these metrics do not exist: {unknown:?}");
    let left_out: BTreeSet<_> = LEFT_OUT.map(|(name, _)| name.to_owned()).into();
    let hidden: BTreeSet<_> = metrics.difference(&shown).cloned().collect();
    assert_eq!(hidden, left_out, "metrics that are not shown, and those that need not be");
}

#[test]
fn panels_are_where_grafana_expects_them() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() > 5);
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{panel}");
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{panel}");
        let place = |field: &str| panel["gridPos"][field].as_u64().expect("a place");
        assert!(place("x") + place("w") <= 24, "{panel}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(cells.insert((x, y)), "{panel} is above another one");
            }
        }
    }
}
