mod html;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::latency::Latency;
use crate::tally::{Sample, Tally};
use crate::{LoadError, LoadErrorKind, Target, Verdict};

/// What a load has measured.
///
/// Its JSON, as `--json` writes it, has the names of these fields. They are kept: a field may be
/// added, none changes its meaning. Times are milliseconds, if their names say so.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The URL.
    pub target: String,
    /// How long was measured.
    pub seconds: f64,
    /// How many processes made the load.
    pub processes: usize,
    /// Whether Ctrl-C ended it early.
    pub interrupted: bool,
    /// The clients.
    pub clients: Clients,
    /// Their connections.
    pub connections: Connections,
    /// From the first packet of a connection until it is made.
    pub connect_ms: Times,
    /// From the request until the first byte of the stream.
    pub first_byte_ms: Times,
    /// The events that were received.
    pub deliveries: Deliveries,
    /// From the event's timestamp until it was read.
    pub latency_ms: Times,
    /// Whether what was received is right.
    pub verdict: Verdict,
    /// Reading clients that did not have the newest event when it ended, a moment after the last
    /// one was published. 0 without `--publish`.
    pub behind_at_end: u64,
    /// No fault was found: the verdict is clean, and nobody was behind.
    pub clean: bool,
    /// What was published, if it was this load that did.
    pub published: Option<Published>,
    /// How late the load generator itself was when it wanted to do something: if this is not far
    /// below the latency, the latency is its own.
    pub generator_lag_ms: Times,
    /// How it went over time.
    pub timeline: Vec<Moment>,
    /// The distribution of `latency_ms`: pairs of milliseconds and how many deliveries.
    pub latency_distribution: Vec<(f64, u64)>,
}

/// How many clients there were.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Clients {
    /// That were to be there.
    pub wanted: u64,
    /// Whose stream began at least once.
    pub streamed: u64,
    /// Streaming at the end.
    pub connected_at_end: u64,
    /// That were refused, or never got a connection, by the reason.
    pub gave_up: BTreeMap<String, u64>,
    /// That do not read.
    pub stalled: u64,
    /// Of those, whose connection the server has ended.
    pub stalled_let_go: u64,
    /// That read slowly.
    pub slow: u64,
    /// Of those, whose connection the server has ended.
    pub slow_let_go: u64,
}

/// What became of the connections.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Connections {
    /// On which a stream began.
    pub opened: u64,
    /// Closed by their clients, each at its time.
    pub closed_as_planned: u64,
    /// Closed by their clients, all at the same time.
    pub closed_by_storm: u64,
    /// Ended by the server as a response should end.
    pub ended_by_server: u64,
    /// Cut in the middle of a stream.
    pub broken: u64,
    /// Attempts that failed and streams that were cut, by the reason.
    pub failures: BTreeMap<String, u64>,
}

/// What was received.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Deliveries {
    /// Events, over all clients. Status events of the hub do not count.
    pub total: u64,
    /// On average.
    pub per_second: f64,
    /// Of the best sample.
    pub peak_per_second: f64,
    /// With heads and framing.
    pub bytes: u64,
    /// Sent before the client had connected: they have no latency.
    pub replayed: u64,
    /// Without a timestamp.
    pub without_timestamp: u64,
    /// With a timestamp in the future; their latency is 0. The clocks differ.
    pub from_the_future: u64,
}

/// A distribution of times, in milliseconds. All are 0 if `count` is.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct Times {
    /// How many there are.
    pub count: u64,
    /// The average.
    pub mean: f64,
    /// Half of them are not longer.
    pub p50: f64,
    /// 90 % are not longer.
    pub p90: f64,
    /// 99 % are not longer.
    pub p99: f64,
    /// 99.9 % are not longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// What was published.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct Published {
    /// Events that the server took.
    pub events: u64,
    /// Events that it did not take.
    pub failed: u64,
    /// On average.
    pub per_second: f64,
    /// From the request until the whole answer.
    pub round_trip_ms: Times,
}

/// A moment of the load.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct Moment {
    /// Since it began: the end of the time that this is about.
    pub at_seconds: f64,
    /// Clients, at its end.
    pub connected: u64,
    /// Deliveries a second.
    pub per_second: f64,
    /// Of the deliveries in this time; nothing if there are none.
    pub latency_p50_ms: Option<f64>,
    /// As above.
    pub latency_p99_ms: Option<f64>,
    /// As above.
    pub latency_max_ms: Option<f64>,
}

impl Report {
    pub(crate) fn new(target: &Target, clients: usize, took: Duration, tally: &Tally) -> Self {
        let seconds = took.as_secs_f64();
        Self {
            target: target.to_string(),
            seconds: rounded(seconds),
            processes: 1,
            interrupted: false,
            clients: Clients {
                wanted: clients as u64,
                streamed: tally.streamed,
                connected_at_end: tally.connected,
                gave_up: tally.gave_up.clone(),
                stalled: tally.stalled,
                stalled_let_go: tally.stalled_let_go,
                slow: tally.slow,
                slow_let_go: tally.slow_let_go,
            },
            connections: Connections {
                opened: tally.opened,
                closed_as_planned: tally.planned,
                closed_by_storm: tally.stormed,
                ended_by_server: tally.ended_by_server,
                broken: tally.broken,
                failures: tally.failures.clone(),
            },
            connect_ms: Times::of(&tally.connect),
            first_byte_ms: Times::of(&tally.first_byte),
            deliveries: Deliveries {
                total: tally.deliveries,
                per_second: rate(tally.deliveries, seconds),
                peak_per_second: 0.0,
                bytes: tally.bytes,
                replayed: tally.replayed,
                without_timestamp: tally.untimed,
                from_the_future: tally.early,
            },
            latency_ms: Times::of(&tally.latency),
            verdict: tally.verdict,
            behind_at_end: 0,
            clean: tally.verdict.is_clean(),
            published: None,
            generator_lag_ms: Times::of(&tally.lag),
            timeline: Vec::new(),
            latency_distribution: tally
                .latency
                .counts()
                .map(|(micros, times)| (millis(micros), times))
                .collect(),
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
        // Numbers, strings and lists of them: it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// No fault was found, every client had its stream, and all that was to be published was.
    /// That slow readers were let go is no fault.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let published = self.published.is_none_or(|published| published.failed == 0);
        self.clean && self.clients.streamed >= self.clients.wanted && published
    }

    /// Where clients were not served as they should have been, in sentences; empty if they were.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        use table::count;

        let mut said = Vec::new();
        for (reason, clients) in &self.clients.gave_up {
            let (clients, of) = (count(*clients), count(self.clients.wanted));
            said.push(format!("{clients} of {of} clients gave up: {reason}."));
        }
        let without = self.clients.wanted
            - self.clients.streamed.min(self.clients.wanted)
            - self.clients.gave_up.values().sum::<u64>().min(self.clients.wanted);
        if without > 0 && self.clients.streamed < self.clients.wanted {
            let (without, of) = (count(without), count(self.clients.wanted));
            said.push(format!("{without} of {of} clients had not got a stream when it ended."));
        }
        for (reason, times) in &self.connections.failures {
            if !self.clients.gave_up.contains_key(reason) {
                said.push(format!(
                    "{} connections failed and were tried again: {reason}.",
                    count(*times)
                ));
            }
        }
        let verdict = &self.verdict;
        let faults = [
            (verdict.missed, "events were missed by clients that received later ones"),
            (verdict.duplicates, "events came again"),
            (verdict.disordered, "events came after a later one"),
            (verdict.foreign, "events were not what was expected"),
            (self.behind_at_end, "clients did not have the newest event at the end"),
        ];
        for (times, what) in faults {
            if times > 0 {
                said.push(format!("{} {what}.", count(times)));
            }
        }
        if let Some(failed) = self.published.map(|published| published.failed).filter(|n| *n > 0) {
            said.push(format!("{} events could not be published.", count(failed)));
        }
        said
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

/// Why nobody could stream.
pub(crate) fn refusal(target: &Target, reason: &str) -> LoadError {
    let is_answer = reason.starts_with("the ");
    let kind = if is_answer { LoadErrorKind::Refused } else { LoadErrorKind::Unreachable };
    LoadError::new(kind, format!("{target}: {reason}"))
}

pub(crate) fn rate(times: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { rounded(times as f64 / seconds) } else { 0.0 }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// To three digits behind the point.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
