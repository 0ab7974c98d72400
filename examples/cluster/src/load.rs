//! `tidings-load` at every hub, and its reports.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::options::Options;
use crate::program::Running;

/// The part of a report of `tidings-load` that is used here.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    clients: Clients,
    deliveries: Deliveries,
    latency_ms: Times,
    verdict: Verdict,
    clean: bool,
    published: Option<Published>,
    #[serde(skip_serializing)]
    latency_distribution: Vec<(f64, u64)>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
struct Clients {
    wanted: u64,
    connected_at_end: u64,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
struct Deliveries {
    total: u64,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
struct Times {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
struct Verdict {
    missed: u64,
    duplicates: u64,
    disordered: u64,
    resets: u64,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
struct Published {
    events: u64,
    failed: u64,
}

/// One line of the result: a hub, or all of them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) report: Report,
    /// The share of a processor that was used, 1 for a whole one.
    pub(crate) cpu: Option<f64>,
}

/// Starts the load at one hub, with its share of the events.
///
/// # Errors
///
/// When it does not start.
pub(crate) fn start(
    program: &Path,
    url: &str,
    options: &Options,
    publishes: bool,
) -> Result<Running, String> {
    let mut command = Command::new(program);
    command.arg(format!("{url}/events?topic=load"));
    if publishes {
        let rate = options.rate / f64::from(options.publishers());
        command.args(["--publish", &format!("{url}/publish?topic=load")]);
        command.args(["--rate", &rate.to_string()]);
    }
    command.args(["--clients", &options.clients.to_string()]);
    command.args(["--for", &humantime::format_duration(options.run_for).to_string()]);
    command.args(["--json", "--tolerate"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start(command)
}

/// Waits for the end of a load.
///
/// # Errors
///
/// Its own error, when it has no report.
pub(crate) async fn report(load: Running) -> Result<Report, String> {
    let output = load.output().await.map_err(|error| format!("tidings-load: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|_| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

impl Report {
    /// Whether clients received everything that they had to, where all loads together have published so much for all.
    ///
    /// `clean` compares what the clients of one hub have received, so it cannot tell what none of them has. As loads do not
    /// begin and end at one moment, a quarter may be lacking.
    pub(crate) fn is_good(&self, published_for_all: u64) -> bool {
        let Clients { wanted, connected_at_end } = self.clients;
        let failed = self.published.unwrap_or_default().failed;
        let has_enough = self.deliveries.total * 4 >= wanted * published_for_all * 3;
        self.clean && connected_at_end == wanted && failed == 0 && has_enough
    }

    /// How many events this load has published when all clients were there: not its first one.
    pub(crate) fn published_for_all(&self) -> u64 {
        self.published.unwrap_or_default().events.saturating_sub(1)
    }

    /// Whether there were no clients.
    pub(crate) fn is_idle(&self) -> bool {
        self.clients.wanted == 0
    }

    /// All reports as one.
    pub(crate) fn sum<'a>(reports: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self { clean: true, ..Self::default() };
        let mut published = Published::default();
        for one in reports {
            let of_one = one.published.unwrap_or_default();
            published.events += of_one.events;
            published.failed += of_one.failed;
            all.clean &= one.clean;
            all.clients.wanted += one.clients.wanted;
            all.clients.connected_at_end += one.clients.connected_at_end;
            all.deliveries.total += one.deliveries.total;
            all.verdict.missed += one.verdict.missed;
            all.verdict.duplicates += one.verdict.duplicates;
            all.verdict.disordered += one.verdict.disordered;
            all.verdict.resets += one.verdict.resets;
            all.latency_distribution.extend(&one.latency_distribution);
            all.latency_ms.max = all.latency_ms.max.max(one.latency_ms.max);
        }
        all.published = Some(published);
        all.latency_distribution.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        all.latency_ms.p50 = all.quantile(0.5);
        all.latency_ms.p99 = all.quantile(0.99);
        all
    }

    fn quantile(&self, part: f64) -> f64 {
        let count: u64 = self.latency_distribution.iter().map(|(_, count)| count).sum();
        let rank = (count as f64 * part).ceil() as u64;
        let mut seen = 0;
        let mut reached = self.latency_distribution.iter().filter(|(_, count)| {
            seen += count;
            seen >= rank
        });
        reached.next().map_or(0.0, |(latency, _)| *latency)
    }
}

/// The share of a processor that was used within a time.
pub(crate) fn cpu(
    before: Option<Duration>,
    after: Option<Duration>,
    time: Duration,
) -> Option<f64> {
    Some(after?.saturating_sub(before?).as_secs_f64() / time.as_secs_f64())
}

/// All lines as a table.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<8} {:>8} {:>11} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>6}\n",
        "",
        "clients",
        "deliveries",
        "p50 ms",
        "p99 ms",
        "max ms",
        "missed",
        "twice",
        "order",
        "resets",
        "failed",
        "cpu %"
    );
    for Line { name, report, cpu } in lines {
        let Report { clients, deliveries, latency_ms, verdict, published, .. } = report;
        let cpu = cpu.map_or("-".to_owned(), |cpu| format!("{:.1}", cpu * 100.0));
        if report.is_idle() {
            text.push_str(&format!("{name:<8} {cpu:>94}\n"));
            continue;
        }
        text.push_str(&format!(
            "{name:<8} {:>8} {:>11} {:>8.2} {:>8.2} {:>8.2} {:>7} {:>7} {:>7} {:>7} {:>7} {cpu:>6}\n",
            clients.connected_at_end,
            deliveries.total,
            latency_ms.p50,
            latency_ms.p99,
            latency_ms.max,
            verdict.missed,
            verdict.duplicates,
            verdict.disordered,
            verdict.resets,
            published.unwrap_or_default().failed,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_hubs_together() {
        let of = |latency_distribution: &[(f64, u64)]| Report {
            clean: true,
            latency_distribution: latency_distribution.to_vec(),
            ..Report::default()
        };
        let all = Report::sum([&of(&[(1.0, 98), (5.0, 1)]), &of(&[(3.0, 1)])]);
        assert_eq!((all.latency_ms.p50, all.latency_ms.p99), (1.0, 3.0));
        assert!(all.is_good(0));
        assert_eq!(Report::sum([]).latency_ms.p99, 0.0);
    }

    #[test]
    fn a_hub_is_not_good_without_what_another_one_publishes() {
        // Each of three hubs publishes 100 events for all, and has 10 clients.
        let of = |deliveries: u64, failed: u64| {
            let report = serde_json::json!({
                "clients": { "wanted": 10, "connected_at_end": 10 },
                "deliveries": { "total": deliveries },
                "latency_ms": { "p50": 1.0, "p99": 1.0, "max": 1.0 },
                "verdict": { "missed": 0, "duplicates": 0, "disordered": 0, "resets": 0 },
                "clean": true,
                "published": { "events": 101, "failed": failed },
                "latency_distribution": [],
            });
            serde_json::from_value::<Report>(report).unwrap()
        };
        let reports = [of(0, 0), of(0, 0), of(0, 0)];
        let published: u64 = reports.iter().map(Report::published_for_all).sum();
        assert_eq!(published, 300);
        for (deliveries, failed, is_good) in
            [(3030, 0, true), (2800, 0, true), (2020, 0, false), (0, 0, false), (3030, 1, false)]
        {
            assert_eq!(of(deliveries, failed).is_good(published), is_good, "{deliveries} {failed}");
        }
    }
}
