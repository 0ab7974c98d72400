//! What the report says, row by row: the same as text and as HTML.

use crate::{Report, Times};

/// Counts, each with what it counts.
pub(super) type Row = (&'static str, Vec<(u64, &'static str)>);

impl Report {
    /// What the clients did, without rows of zeros.
    pub(super) fn traffic(&self) -> Vec<Row> {
        let (clients, connections) = (&self.clients, &self.connections);
        let deliveries = &self.deliveries;
        let whole = |rate: f64| rate.round() as u64;
        let (streamed, at_end) = (clients.streamed, clients.connected_at_end);
        let gave_up = clients.gave_up.values().sum();
        let (opened, failed) = (connections.opened, connections.failures.values().sum());
        let mut rows = vec![
            ("clients", vec![(streamed, "streamed"), (at_end, "at the end")]),
            (
                "",
                vec![(gave_up, "gave up"), (clients.lost, "lost"), (clients.finished, "finished")],
            ),
            ("stalled", vec![(clients.stalled, "clients"), (clients.stalled_evicted, "evicted")]),
            ("slow", vec![(clients.slow, "clients"), (clients.slow_evicted, "evicted")]),
            ("connections", vec![(opened, "opened"), (failed, "failed or cut")]),
            (
                "closed",
                vec![
                    (connections.closed_as_planned, "as planned"),
                    (connections.closed_by_storm, "by storms"),
                    (connections.ended_by_server, "by the server"),
                ],
            ),
            (
                "deliveries",
                vec![
                    (deliveries.total, "events"),
                    (whole(deliveries.per_second), "a second"),
                    (whole(deliveries.peak_per_second), "at the peak"),
                ],
            ),
            ("", vec![(deliveries.bytes, "bytes")]),
            (
                "not timed",
                vec![
                    (deliveries.replayed, "replayed"),
                    (deliveries.without_timestamp, "no timestamp"),
                    (deliveries.from_the_future, "in future"),
                ],
            ),
        ];
        if let Some(published) = &self.published {
            let (events, per_second) = (published.events, whole(published.per_second));
            let cells = vec![(events, "events"), (per_second, "a second")];
            rows.push(("published", [cells, vec![(published.failed, "failed")]].concat()));
        }
        without_zeros(rows)
    }

    /// What was right and wrong; the faults are always there.
    pub(super) fn judgement(&self) -> Vec<Row> {
        let verdict = &self.verdict;
        let (missed, duplicates) = (verdict.missed, verdict.duplicates);
        let (disordered, foreign) = (verdict.disordered, verdict.foreign);
        let mut rows = vec![
            ("faults", vec![(missed, "missed"), (duplicates, "duplicates")]),
            ("", vec![(disordered, "out of order"), (foreign, "foreign")]),
        ];
        rows.extend(without_zeros(vec![
            ("", vec![(self.behind_at_end, "clients behind at the end")]),
            (
                "resets",
                vec![
                    (verdict.resets, "announced"),
                    (verdict.repeated_after_reset, "repeated"),
                    (verdict.missed_after_reset, "missed"),
                ],
            ),
            (
                "judged",
                vec![
                    (verdict.judged_by_id, "by id"),
                    (verdict.judged_by_number, "by number"),
                    (verdict.compared, "compared"),
                ],
            ),
            ("", vec![(verdict.histories, "further epochs in ids")]),
            ("not judged", vec![(verdict.unjudged, "events")]),
        ]));
        rows
    }

    pub(super) fn times(&self) -> Vec<(&'static str, Times)> {
        let mut rows = vec![
            ("connect", self.connect_ms),
            ("first byte", self.first_byte_ms),
            ("latency", self.latency_ms),
        ];
        let published = self.published.as_ref();
        rows.extend(published.map(|published| ("publish", published.round_trip_ms)));
        rows.push(("own lag", self.generator_lag_ms));
        rows
    }

    /// How long, with how many clients and processes.
    pub(super) fn extent(&self) -> String {
        let early = if self.interrupted { ", ended early" } else { "" };
        let processes = match self.processes {
            1 => String::new(),
            processes => format!(", {processes} processes"),
        };
        let clients = super::count(self.clients.wanted);
        format!("{:.1} s{early}, {clients} clients{processes}", self.seconds)
    }
}

fn without_zeros(mut rows: Vec<Row>) -> Vec<Row> {
    rows.retain(|(_, cells)| cells.iter().any(|(count, _)| *count > 0));
    rows
}
