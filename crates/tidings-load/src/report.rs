mod html;
mod plot;
mod rows;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::counts::{Clients, Connections, Deliveries, Sample, Tally, Verdict};
use crate::latency::Latency;
use crate::{LoadError, LoadErrorKind, Target};

/// What a load has measured.
///
/// Its JSON, as `--json` writes it, has the names of these fields. They are stable: fields may be
/// added, but none changes its meaning. Names with `_ms` are milliseconds.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The URL.
    pub target: String,
    /// The length of the measurement.
    pub seconds: f64,
    /// The number of processes with clients.
    pub processes: usize,
    /// Whether Ctrl-C ended the run early.
    pub interrupted: bool,
    /// The clients.
    pub clients: Clients,
    /// Their connections.
    pub connections: Connections,
    /// From the first packet until the connection is made.
    pub connect_ms: Times,
    /// From the request until the head of the response, with which the stream begins.
    pub first_byte_ms: Times,
    /// The events that were received.
    pub deliveries: Deliveries,
    /// From an event's timestamp until it was read.
    pub latency_ms: Times,
    /// Whether every client received what it should have.
    pub verdict: Verdict,
    /// Reading clients without the last event two seconds after it was published. 0 without
    /// `--publish`.
    pub behind_at_end: u64,
    /// The verdict is clean, no client was behind at the end, and of what `--publish` has published
    /// to clients, at least one client has received something.
    pub clean: bool,
    /// What this load has published, if it was asked to.
    pub published: Option<Published>,
    /// How late the load generator itself was. If this is not far below the latency, the latency is
    /// its own.
    pub generator_lag_ms: Times,
    /// Samples over time.
    pub timeline: Vec<Moment>,
    /// The distribution of `latency_ms`: pairs of milliseconds and the number of deliveries.
    pub latency_distribution: Vec<(f64, u64)>,
}

/// A distribution of times, in milliseconds. All are 0 if `count` is.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct Times {
    /// How many times were recorded.
    pub count: u64,
    /// The average.
    pub mean: f64,
    /// The time that half of them do not exceed.
    pub p50: f64,
    /// The time that 90 % do not exceed.
    pub p90: f64,
    /// The time that 99 % do not exceed.
    pub p99: f64,
    /// The time that 99.9 % do not exceed.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// What was published.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Published {
    /// Events that the server accepted.
    pub events: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// The same, by the reason.
    pub failures: BTreeMap<String, u64>,
    /// Clients that received any of these events, as far as their data tells.
    pub received_by: u64,
    /// The average.
    pub per_second: f64,
    /// From the request until the whole response.
    pub round_trip_ms: Times,
}

/// A sample of the load.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct Moment {
    /// The end of the sample, since the run began.
    pub at_seconds: f64,
    /// Clients that streamed at its end.
    pub connected: u64,
    /// Deliveries a second.
    pub per_second: f64,
    /// The median latency of its deliveries, if it has any.
    pub latency_p50_ms: Option<f64>,
    /// The latency that 99 % did not exceed.
    pub latency_p99_ms: Option<f64>,
    /// The longest latency.
    pub latency_max_ms: Option<f64>,
}

impl Report {
    pub(crate) fn new(target: &Target, took: Duration, tally: Tally) -> Self {
        let seconds = took.as_secs_f64();
        let mut deliveries = tally.deliveries;
        deliveries.per_second = rate(tally.in_time, seconds);
        let distribution = tally.latency.counts();
        Self {
            target: target.to_string(),
            seconds: rounded(seconds),
            processes: 1,
            interrupted: false,
            clients: tally.clients,
            connections: tally.connections,
            connect_ms: Times::of(&tally.connect),
            first_byte_ms: Times::of(&tally.first_byte),
            deliveries,
            latency_ms: Times::of(&tally.latency),
            verdict: tally.verdict,
            behind_at_end: 0,
            clean: tally.verdict.is_clean(),
            published: None,
            generator_lag_ms: Times::of(&tally.lag),
            timeline: Vec::new(),
            latency_distribution: distribution.map(|(at, times)| (millis(at), times)).collect(),
        }
    }

    pub(crate) fn with_timeline(mut self, samples: &[Sample], every: Duration) -> Self {
        let every = every.as_secs_f64();
        let moment = |sample: &Sample| {
            let timed = |micros| (sample.latency.count() > 0).then(|| millis(micros));
            Moment {
                at_seconds: rounded((sample.number + 1) as f64 * every),
                connected: sample.connected,
                per_second: rate(sample.deliveries, every),
                latency_p50_ms: timed(sample.latency.quantile(0.5)),
                latency_p99_ms: timed(sample.latency.quantile(0.99)),
                latency_max_ms: timed(sample.latency.max()),
            }
        };
        self.timeline = samples.iter().map(moment).collect();
        let rates = self.timeline.iter().map(|moment| moment.per_second);
        self.deliveries.peak_per_second = rates.fold(0.0, f64::max);
        self
    }

    /// The report as one line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // Numbers, strings and lists of them cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether no fault was found, clients had streams, none waited in vain for its own or lost it,
    /// and something was published, if it was asked for, without a failure. That the server evicts
    /// slow clients is no fault.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let is_published = |sent: &Published| sent.failed == 0 && sent.events > 0;
        let published = self.published.as_ref().is_none_or(is_published);
        let Clients { streamed, gave_up, waiting, lost, .. } = &self.clients;
        let clients = *streamed > 0 && gave_up.is_empty() && *waiting == 0 && *lost == 0;
        self.clean && clients && published
    }

    /// What went wrong, in sentences; empty if nothing did.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let Clients { wanted, streamed, gave_up, waiting, lost, unanswered, .. } = &self.clients;
        let of_wanted = |clients: u64| format!("{} of {} clients", count(clients), count(*wanted));
        let mut complaints = Vec::new();
        for (reason, clients) in gave_up {
            complaints.push(format!("{} gave up: {reason}.", of_wanted(*clients)));
        }
        if *streamed == 0 && gave_up.is_empty() && *waiting == 0 {
            complaints.push("No client had a stream.".to_owned());
        }
        let without = [
            (waiting, "had no stream until the end"),
            (lost, "lost their stream"),
            (unanswered, "still waited for their next stream at the end"),
        ];
        for (clients, what) in without.into_iter().filter(|(clients, _)| **clients > 0) {
            complaints.push(format!("{} {what}.", of_wanted(*clients)));
        }
        for (reason, times) in &self.connections.failures {
            if !gave_up.contains_key(reason) {
                let times = count(*times);
                complaints.push(format!("{times} connections failed and were retried: {reason}."));
            }
        }
        let verdict = &self.verdict;
        let faults = [
            (verdict.missed, "events were missed by clients that received later ones"),
            (verdict.duplicates, "events came again"),
            (verdict.disordered, "events came after a later one"),
            (verdict.foreign, "events were foreign"),
            (self.behind_at_end, "clients did not have the last event at the end"),
        ];
        let faults = faults.into_iter().filter(|(times, _)| *times > 0);
        complaints.extend(faults.map(|(times, what)| format!("{} {what}.", count(times))));
        let Some(published) = &self.published else { return complaints };
        for (reason, times) in &published.failures {
            complaints.push(format!("{} attempts to publish failed: {reason}.", count(*times)));
        }
        if published.events == 0 {
            complaints.push("No event was published.".to_owned());
        } else if published.received_by == 0 {
            complaints.push("No client received a published event as it was sent.".to_owned());
        }
        complaints
    }
}

impl Times {
    pub(crate) fn of(latency: &Latency) -> Self {
        Self {
            count: latency.count(),
            mean: rounded(latency.mean() / 1000.0),
            p50: millis(latency.quantile(0.5)),
            p90: millis(latency.quantile(0.9)),
            p99: millis(latency.quantile(0.99)),
            p999: millis(latency.quantile(0.999)),
            max: millis(latency.max()),
        }
    }
}

/// The error of a load in which no client could stream, or in which the publisher, which is then
/// `who`, failed.
pub(crate) fn refusal(target: &Target, who: &str, reason: &str) -> LoadError {
    let is_response = reason.starts_with("the ");
    let kind = if is_response { LoadErrorKind::Refused } else { LoadErrorKind::Unreachable };
    LoadError::new(kind, format!("{target}: {who}{reason}"))
}

pub(crate) fn rate(times: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { rounded(times as f64 / seconds) } else { 0.0 }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// To three decimal places.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// With commas between the thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_thousands() {
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
    }
}
