//! The report for people.

use std::fmt::Write;

use crate::{Report, Times};

impl Report {
    /// An aligned table, in lines of at most a hundred columns.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::default();
        let clients = &self.clients;
        let early = if self.interrupted { ", ended early" } else { "" };
        let processes = match self.processes {
            1 => String::new(),
            processes => format!(", {processes} processes"),
        };
        table.line(format_args!(
            "{}\n{:.1} s{early}, {} clients{processes}\n",
            self.target,
            self.seconds,
            count(clients.wanted)
        ));

        table.row(
            "clients",
            &[(clients.streamed, "streamed"), (clients.connected_at_end, "at the end")],
        );
        let gave_up = clients.gave_up.values().sum();
        table.row_if("", &[(gave_up, "gave up")]);
        table
            .row_if("stalled", &[(clients.stalled, "clients"), (clients.stalled_let_go, "let go")]);
        table.row_if("slow", &[(clients.slow, "clients"), (clients.slow_let_go, "let go")]);
        let connections = &self.connections;
        let failed = connections.failures.values().sum();
        table.row("connections", &[(connections.opened, "opened"), (failed, "failed or cut")]);
        table.row_if(
            "closed",
            &[
                (connections.closed_as_planned, "as planned"),
                (connections.closed_by_storm, "by storms"),
                (connections.ended_by_server, "by the server"),
            ],
        );
        let deliveries = &self.deliveries;
        table.row(
            "deliveries",
            &[
                (deliveries.total, "events"),
                (deliveries.per_second.round() as u64, "a second"),
                (deliveries.peak_per_second.round() as u64, "at the peak"),
            ],
        );
        table.row("", &[(deliveries.bytes, "bytes")]);
        table.row_if(
            "not timed",
            &[
                (deliveries.replayed, "replayed"),
                (deliveries.without_timestamp, "no timestamp"),
                (deliveries.from_the_future, "in future"),
            ],
        );
        if let Some(published) = &self.published {
            table.row(
                "published",
                &[
                    (published.events, "events"),
                    (published.per_second.round() as u64, "a second"),
                    (published.failed, "failed"),
                ],
            );
        }

        table.line(format_args!(
            "\n{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "p50", "p90", "p99", "p99.9", "max", "count"
        ));
        table.times("connect", &self.connect_ms);
        table.times("first byte", &self.first_byte_ms);
        table.times("latency", &self.latency_ms);
        if let Some(published) = &self.published {
            table.times("publish", &published.round_trip_ms);
        }
        table.times("own lag", &self.generator_lag_ms);

        let verdict = &self.verdict;
        table.line(format_args!(""));
        table.row("faults", &[(verdict.missed, "missed"), (verdict.duplicates, "duplicates")]);
        table.row("", &[(verdict.disordered, "out of order"), (verdict.foreign, "foreign")]);
        table.row_if("", &[(self.behind_at_end, "clients behind at the end")]);
        table.row_if(
            "resets",
            &[
                (verdict.resets, "announced"),
                (verdict.repeated_after_reset, "repeated"),
                (verdict.missed_after_reset, "missed"),
            ],
        );
        table.row_if(
            "judged",
            &[
                (verdict.judged_by_id, "by id"),
                (verdict.judged_by_number, "by number"),
                (verdict.compared, "compared"),
            ],
        );
        table.row_if("not judged", &[(verdict.unjudged, "events without id and number")]);
        table.text
    }
}

#[derive(Default)]
struct Table {
    text: String,
}

impl Table {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn row(&mut self, name: &str, cells: &[(u64, &str)]) {
        let _ = write!(self.text, "{name:<12}");
        for (last, (number, what)) in cells.iter().enumerate() {
            let what =
                if last + 1 == cells.len() { what.to_string() } else { format!("{what:<14}") };
            let _ = write!(self.text, "{:>14} {what}", count(*number));
        }
        self.text.push('\n');
    }

    /// Only if one of them is not 0.
    fn row_if(&mut self, name: &str, cells: &[(u64, &str)]) {
        if cells.iter().any(|(number, _)| *number > 0) {
            self.row(name, cells);
        }
    }

    fn times(&mut self, name: &str, times: &Times) {
        if times.count == 0 {
            return self.line(format_args!("{name:<14}{:>10}", "–"));
        }
        let Times { p50, p90, p99, p999, max, .. } = times;
        self.line(format_args!(
            "{name:<14}{p50:>10.2}{p90:>10.2}{p99:>10.2}{p999:>10.2}{max:>10.2}{:>15}",
            count(times.count)
        ));
    }
}

/// With commas between the thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
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
    fn a_line_of_every_row_is_at_most_a_hundred_columns_long() {
        let tally = crate::tally::Tally {
            planned: 1,
            stalled: 1,
            slow: 1,
            replayed: 1,
            verdict: crate::Verdict { resets: 1, compared: 1, unjudged: 1, ..Default::default() },
            ..Default::default()
        };
        let target = crate::Target::parse("http://a/").unwrap();
        let mut report = Report::new(&target, 1, std::time::Duration::from_secs(1), &tally);
        report.published = Some(crate::Published::default());
        report.behind_at_end = 1;
        let table = report.table();
        for row in ["stalled", "slow", "closed", "not timed", "published", "resets", "not judged"] {
            assert!(table.lines().any(|line| line.starts_with(row)), "{row}: {table}");
        }
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    }

    #[test]
    fn thousands_are_parted() {
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
    }
}
