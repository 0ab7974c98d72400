//! The report as one page that refers to nothing outside: style and plots are in it.

use std::fmt::Write;

use super::count;
use super::plot::{self, ONE, Points, THREE, TWO};
use super::rows::Row;
use crate::{Moment, Report, Times};

const STYLE: &str = include_str!("style.css");

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
            self.extent(),
        );
        self.write_complaints(&mut page);
        self.write_figures(&mut page);
        self.write_plots(&mut page);
        self.write_times(&mut page);
        write_rows(&mut page, "Traffic", &self.traffic());
        write_rows(&mut page, "Verdict", &self.judgement());
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }

    fn write_complaints(&self, page: &mut String) {
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

    fn write_figures(&self, page: &mut String) {
        let time = |times: &Times, value| match times.count {
            0 => "–".to_owned(),
            _ => millis(value),
        };
        let figures = [
            (count(self.clients.streamed), "clients streamed"),
            (count(self.deliveries.total), "deliveries"),
            (count(self.deliveries.per_second.round() as u64), "deliveries a second"),
            (time(&self.latency_ms, self.latency_ms.p50), "latency, median"),
            (time(&self.latency_ms, self.latency_ms.p99), "latency, 99 %"),
            (time(&self.first_byte_ms, self.first_byte_ms.p99), "first byte, 99 %"),
        ];
        page.push_str("<section class=\"figures\">\n");
        for (value, name) in figures {
            let _ = writeln!(page, "<div><b>{value}</b><span>{name}</span></div>");
        }
        page.push_str("</section>\n");
    }

    fn write_plots(&self, page: &mut String) {
        let end = self.timeline.last().map_or(0.0, |moment| moment.at_seconds).max(self.seconds);
        let over_time = |read: fn(&Moment) -> Option<f64>| -> Points {
            let moments = self.timeline.iter();
            moments.filter_map(|moment| Some((moment.at_seconds, read(moment)?))).collect()
        };
        let most = |points: &Points| points.iter().map(|(_, y)| *y).fold(0.0, f64::max);

        let connected = over_time(|moment| Some(moment.connected as f64));
        let top = most(&connected).max(self.clients.wanted as f64);
        write_plot(page, "Connected clients", "", &plot::area(end, top, &connected));
        let deliveries = over_time(|moment| Some(moment.per_second));
        let plot = plot::area(end, most(&deliveries), &deliveries);
        write_plot(page, "Deliveries a second", "", &plot);

        let latency = &self.latency_ms;
        if latency.count == 0 {
            let nothing = "<p class=\"sub\">No event had a usable timestamp.</p>";
            return write_plot(page, "Latency", "", nothing);
        }
        let [p50, p99, max] = [
            over_time(|moment| moment.latency_p50_ms),
            over_time(|moment| moment.latency_p99_ms),
            over_time(|moment| moment.latency_max_ms),
        ];
        let least = p50.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        let range = least..most(&max);
        let plot = plot::lines(end, range, &[(THREE, max), (TWO, p99), (ONE, p50)]);
        let legend = "<span class=\"legend\"><i class=\"three\"></i>longest<i class=\"two\"></i>\
                      99 %<i class=\"one\"></i>median</span>";
        write_plot(page, "Latency in milliseconds", legend, &plot);

        let marks = [(latency.p50, "median"), (latency.p99, "99 %"), (latency.p999, "99.9 %")];
        let plot = plot::distribution(&self.latency_distribution, &marks);
        write_plot(page, "Distribution of the latency: per cent of the deliveries", "", &plot);
    }

    fn write_times(&self, page: &mut String) {
        page.push_str(
            "<section><h2>Times in milliseconds</h2>\n<div class=\"wide\"><table>\n<tr><th></th>\
             <th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>longest</th>\
             <th>count</th></tr>\n",
        );
        for (name, times) in self.times().into_iter().filter(|(_, times)| times.count > 0) {
            let _ = write!(page, "<tr><th>{name}</th>");
            for time in [times.mean, times.p50, times.p90, times.p99, times.p999, times.max] {
                let _ = write!(page, "<td>{time:.2}</td>");
            }
            let _ = writeln!(page, "<td>{}</td></tr>", count(times.count));
        }
        page.push_str("</table></div></section>\n");
    }
}

fn write_rows(page: &mut String, heading: &str, rows: &[Row]) {
    let _ = writeln!(page, "<section><h2>{heading}</h2>\n<div class=\"wide\"><table>");
    for (name, cells) in rows {
        let _ = write!(page, "<tr><th>{name}</th>");
        for (number, what) in cells {
            let _ = write!(page, "<td>{}</td><td class=\"what\">{what}</td>", count(*number));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div></section>\n");
}

fn write_plot(page: &mut String, heading: &str, legend: &str, plot: &str) {
    let plot = plot.replace("<svg ", &format!("<svg role=\"img\" aria-label=\"{heading}\" "));
    let _ = writeln!(
        page,
        "<section>{legend}<h2>{heading}</h2>\n<div class=\"wide\">{plot}</div></section>"
    );
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
