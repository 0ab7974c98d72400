//! The report as one page: style and plots are in it, and it refers to nothing outside.

mod plot;

use std::fmt::Write;

use crate::report::Times;
use crate::report::table::count;
use crate::{Moment, Report};

use plot::{Line, Plot, Scale};

const STYLE: &str = include_str!("html/style.css");

impl Report {
    /// The report as one HTML file with its plots, for light and dark screens. It needs no
    /// network and no scripts.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>Load of {0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>Load of <code>{0}</code></h1>\n<p class=\"sub\">{1}</p>\n",
            escaped(&self.target),
            self.subtitle(),
        );
        self.verdict_line(&mut page);
        self.figures(&mut page);
        self.plots(&mut page);
        self.tables(&mut page);
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }

    fn subtitle(&self) -> String {
        let early = if self.interrupted { ", ended early" } else { "" };
        let processes = match self.processes {
            1 => "1 process".to_owned(),
            many => format!("{many} processes"),
        };
        let clients = count(self.clients.wanted);
        format!("{clients} clients, {:.1} seconds{early}, {processes}", self.seconds)
    }

    fn verdict_line(&self, page: &mut String) {
        let complaints = self.complaints();
        if complaints.is_empty() {
            page.push_str("<p class=\"verdict good\">No fault was found.</p>\n");
            return;
        }
        let class = if self.is_good() { "good" } else { "bad" };
        let _ = write!(page, "<ul class=\"verdict {class}\">");
        for complaint in complaints {
            let _ = write!(page, "<li>{}</li>", escaped(&complaint));
        }
        page.push_str("</ul>\n");
    }

    fn figures(&self, page: &mut String) {
        let times = |name: &str, times: &Times, value: f64| {
            let value = if times.count > 0 { millis(value) } else { "–".to_owned() };
            (value, name.to_owned())
        };
        let figures = [
            (count(self.clients.streamed), "clients streamed".to_owned()),
            (count(self.deliveries.total), "deliveries".to_owned()),
            (count(self.deliveries.per_second.round() as u64), "deliveries a second".to_owned()),
            times("latency, median", &self.latency_ms, self.latency_ms.p50),
            times("latency, 99 %", &self.latency_ms, self.latency_ms.p99),
            times("first byte, 99 %", &self.first_byte_ms, self.first_byte_ms.p99),
        ];
        page.push_str("<section class=\"figures\">\n");
        for (value, name) in figures {
            let _ = writeln!(page, "<div><b>{value}</b><span>{name}</span></div>");
        }
        page.push_str("</section>\n");
    }

    fn plots(&self, page: &mut String) {
        let end = self.timeline.last().map_or(0.0, |moment| moment.at_seconds).max(self.seconds);
        let over_time = |read: fn(&Moment) -> Option<f64>| -> Vec<(f64, f64)> {
            let points = self.timeline.iter();
            points.filter_map(|moment| Some((moment.at_seconds, read(moment)?))).collect()
        };
        let seconds = || Scale::linear(0.0, end);

        let connected = over_time(|moment| Some(moment.connected as f64));
        let top = most(&connected).max(self.clients.wanted as f64);
        Plot::new(seconds(), Scale::linear(0.0, top), "s").area("one", &connected).section(
            page,
            "Connected clients",
            &[],
        );

        let deliveries = over_time(|moment| Some(moment.per_second));
        Plot::new(seconds(), Scale::linear(0.0, most(&deliveries)), "s")
            .area("one", &deliveries)
            .section(page, "Deliveries a second", &[]);

        if self.latency_ms.count == 0 {
            page.push_str(
                "<section><h2>Latency</h2><p class=\"sub\">No event had a timestamp that could be \
                 used.</p></section>\n",
            );
            return;
        }
        let p50 = over_time(|moment| moment.latency_p50_ms);
        let p99 = over_time(|moment| moment.latency_p99_ms);
        let max = over_time(|moment| moment.latency_max_ms);
        let least = p50.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        let lines = [Line("three", "longest"), Line("two", "99 %"), Line("one", "median")];
        Plot::new(seconds(), Scale::logarithmic(least, most(&max)), "s")
            .line("three", &max)
            .line("two", &p99)
            .line("one", &p50)
            .section(page, "Latency in milliseconds", &lines);

        self.distribution(page);
    }

    fn distribution(&self, page: &mut String) {
        let distribution = &self.latency_distribution;
        let (Some((least, _)), Some((longest, _))) = (distribution.first(), distribution.last())
        else {
            return;
        };
        let scale = Scale::logarithmic(*least, *longest);
        let bars = scale.bins(56, distribution);
        let total: u64 = distribution.iter().map(|(_, times)| times).sum();
        let percent = |times: u64| 100.0 * times as f64 / total.max(1) as f64;
        let bars: Vec<_> = bars.into_iter().map(|(a, b, n)| (a, b, percent(n))).collect();
        let top = bars.iter().map(|(_, _, percent)| *percent).fold(0.0, f64::max);
        let latency = &self.latency_ms;
        Plot::new(scale, Scale::linear(0.0, top), "ms")
            .bars("one", &bars)
            .mark(latency.p50, "median")
            .mark(latency.p99, "99 %")
            .mark(latency.p999, "99.9 %")
            .section(page, "Distribution of the latency: per cent of the deliveries", &[]);
    }

    fn tables(&self, page: &mut String) {
        page.push_str(
            "<section><h2>Times in milliseconds</h2>\n<div class=\"wide\"><table>\n<tr><th></th>\
             <th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>longest</th>\
             <th>count</th></tr>\n",
        );
        let published = self.published.map(|published| published.round_trip_ms);
        let rows = [
            ("connect", Some(self.connect_ms)),
            ("first byte", Some(self.first_byte_ms)),
            ("latency", Some(self.latency_ms)),
            ("publish", published),
            ("load generator's own lag", Some(self.generator_lag_ms)),
        ];
        for (name, times) in rows {
            let Some(times) = times.filter(|times| times.count > 0) else { continue };
            let _ = write!(page, "<tr><th>{name}</th>");
            for time in [times.mean, times.p50, times.p90, times.p99, times.p999, times.max] {
                let _ = write!(page, "<td>{time:.2}</td>");
            }
            let _ = writeln!(page, "<td>{}</td></tr>", count(times.count));
        }
        page.push_str("</table></div></section>\n<section><h2>Counts</h2>\n<dl>\n");
        for (name, number) in self.counts() {
            let _ = writeln!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", count(number));
        }
        page.push_str("</dl></section>\n");
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let (clients, verdict) = (&self.clients, &self.verdict);
        let (connections, deliveries) = (&self.connections, &self.deliveries);
        let mut counts = vec![
            ("missed", verdict.missed),
            ("duplicates", verdict.duplicates),
            ("out of order", verdict.disordered),
            ("foreign", verdict.foreign),
            ("behind at the end", self.behind_at_end),
            ("judged by id", verdict.judged_by_id),
            ("judged by number", verdict.judged_by_number),
            ("compared with others", verdict.compared),
            ("not judged", verdict.unjudged),
            ("resets", verdict.resets),
            ("repeated after a reset", verdict.repeated_after_reset),
            ("missed after a reset", verdict.missed_after_reset),
            ("connections opened", connections.opened),
            ("failed or cut", connections.failures.values().sum()),
            ("closed as planned", connections.closed_as_planned),
            ("closed by storms", connections.closed_by_storm),
            ("ended by the server", connections.ended_by_server),
            ("stalled clients", clients.stalled),
            ("of these let go", clients.stalled_let_go),
            ("slow clients", clients.slow),
            ("of these let go", clients.slow_let_go),
            ("bytes received", deliveries.bytes),
            ("replayed", deliveries.replayed),
            ("without a timestamp", deliveries.without_timestamp),
        ];
        if let Some(published) = &self.published {
            counts.push(("events published", published.events));
            counts.push(("failed to publish", published.failed));
        }
        counts
    }
}

fn most(points: &[(f64, f64)]) -> f64 {
    points.iter().map(|(_, y)| *y).fold(0.0, f64::max)
}

fn millis(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2} ms"),
        10.0..100.0 => format!("{value:.1} ms"),
        _ => format!("{} ms", count(value.round() as u64)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
