//! The report as text.

use std::fmt::Write;

use super::count;
use super::rows::Row;
use crate::{Report, Times};

impl Report {
    /// An aligned table, in lines of at most a hundred columns.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = format!("{}\n{}\n\n", self.target, self.extent());
        write_rows(&mut table, &self.traffic());
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            table,
            "\n{:<14}{:>10}{:>10}{:>10}{:>10}{:>10}{:>15}",
            "ms", "p50", "p90", "p99", "p99.9", "max", "count"
        );
        for (name, times) in self.times() {
            let Times { count: times_count, p50, p90, p99, p999, max, .. } = times;
            let _ = match times_count {
                0 => writeln!(table, "{name:<14}{:>10}", "–"),
                _ => writeln!(
                    table,
                    "{name:<14}{p50:>10.2}{p90:>10.2}{p99:>10.2}{p999:>10.2}{max:>10.2}{:>15}",
                    count(times_count)
                ),
            };
        }
        table.push('\n');
        write_rows(&mut table, &self.judgement());
        table
    }
}

fn write_rows(table: &mut String, rows: &[Row]) {
    for (name, cells) in rows {
        let mut line = format!("{name:<12}");
        for (number, what) in cells {
            let _ = write!(line, "{:>14} {what:<14}", count(*number));
        }
        let _ = writeln!(table, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    #[test]
    fn a_line_of_every_row_is_at_most_a_hundred_columns_long() {
        let mut tally = crate::counts::Tally::default();
        (tally.clients.stalled, tally.clients.slow) = (1, 1);
        tally.connections.closed_as_planned = 1;
        tally.deliveries.replayed = 1;
        tally.verdict = Verdict { resets: 1, compared: 1, unjudged: 1, ..Verdict::default() };
        let target = crate::Target::parse("http://a/").unwrap();
        let mut report = Report::new(&target, std::time::Duration::from_secs(1), tally);
        let published = crate::Published { events: 1, ..crate::Published::default() };
        report.published = Some(published);
        report.behind_at_end = 1;
        let table = report.table();
        for row in ["stalled", "slow", "closed", "not timed", "published", "resets", "not judged"] {
            assert!(table.lines().any(|line| line.starts_with(row)), "{row}: {table}");
        }
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    }
}
