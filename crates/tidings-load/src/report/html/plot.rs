//! Plots as SVG. Their colours are classes, so that the page's style decides on them.

use std::fmt::Write;

use crate::report::table::count;

const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 52.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 26.0;

/// The class of a line, and its name.
pub(super) struct Line(pub(super) &'static str, pub(super) &'static str);

/// From values to a part between 0 and 1 of an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    from: f64,
    to: f64,
    is_logarithmic: bool,
}

impl Scale {
    /// Up to a round number that is at least `to`.
    pub(super) fn linear(from: f64, to: f64) -> Self {
        let to = if to > from { to } else { from + 1.0 };
        Self { from, to, is_logarithmic: false }
    }

    /// Both must be more than nothing; what is less than a microsecond, in milliseconds, is that.
    pub(super) fn logarithmic(from: f64, to: f64) -> Self {
        let from = if from.is_finite() { from.max(0.001) } else { 0.001 };
        let to = to.max(from * 2.0);
        Self { from: from / 1.1, to: to * 1.1, is_logarithmic: true }
    }

    fn part(&self, value: f64) -> f64 {
        let part = if self.is_logarithmic {
            (value.max(self.from) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        part.clamp(0.0, 1.0)
    }

    fn value(&self, part: f64) -> f64 {
        if self.is_logarithmic {
            self.from * (self.to / self.from).powf(part)
        } else {
            self.from + (self.to - self.from) * part
        }
    }

    /// Round values on the axis, about `most` of them.
    fn ticks(&self, most: f64) -> Vec<f64> {
        if !self.is_logarithmic {
            let step = round_step((self.to - self.from) / most);
            let first = (self.from / step).ceil() as i64;
            let last = (self.to / step + 1e-9).floor() as i64;
            return (first..=last).map(|tick| tick as f64 * step).collect();
        }
        let decades = first_decade(self.from)..=first_decade(self.to) + 1;
        let within = |mantissas: &'static [f64]| {
            let values = decades
                .clone()
                .flat_map(|decade| mantissas.iter().map(move |m| m * 10_f64.powi(decade)));
            values.filter(|value| (self.from..=self.to).contains(value)).collect::<Vec<_>>()
        };
        // As fine as there is room for.
        let finest =
            [&[1.0, 2.0, 3.0, 4.0, 5.0, 7.0][..], &[1.0, 2.0, 5.0]].into_iter().map(within);
        finest.into_iter().find(|ticks| ticks.len() as f64 <= most).unwrap_or(within(&[1.0]))
    }

    /// Counts the values in `bins` parts of equal width on the axis: from, to, how many.
    pub(super) fn bins(&self, bins: usize, values: &[(f64, u64)]) -> Vec<(f64, f64, u64)> {
        let edge = |at: usize| self.value(at as f64 / bins as f64);
        let mut counted: Vec<_> = (0..bins).map(|at| (edge(at), edge(at + 1), 0)).collect();
        for (value, times) in values {
            let at = (self.part(*value) * bins as f64) as usize;
            if let Some((_, _, all)) = counted.get_mut(at.min(bins - 1)) {
                *all += times;
            }
        }
        counted
    }
}

fn first_decade(value: f64) -> i32 {
    value.log10().floor() as i32
}

/// 1, 2 or 5 times a power of ten, and not less than this.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].into_iter();
    let mut steps = factors.map(|factor| factor * decade);
    steps.find(|step| *step >= least * 0.999).unwrap_or(least)
}

/// One plot. It is written from the back to the front: what is added last is seen.
pub(super) struct Plot {
    x: Scale,
    y: Scale,
    x_unit: &'static str,
    drawn: String,
    marks: Vec<(f64, &'static str)>,
}

impl Plot {
    pub(super) fn new(x: Scale, y: Scale, x_unit: &'static str) -> Self {
        let mut y = y;
        if !y.is_logarithmic {
            // Room above the highest value, up to the next tick.
            let step = round_step((y.to - y.from) / 4.0);
            y.to = (y.to / step).ceil() * step;
        }
        Self { x, y, x_unit, drawn: String::new(), marks: Vec::new() }
    }

    pub(super) fn line(mut self, class: &str, points: &[(f64, f64)]) -> Self {
        let _ = writeln!(self.drawn, "<path class=\"line {class}\" d=\"{}\"/>", self.path(points));
        self
    }

    pub(super) fn area(mut self, class: &str, points: &[(f64, f64)]) -> Self {
        if let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) {
            let (first, last, base) = (self.at_x(*first), self.at_x(*last), self.at_y(self.y.from));
            let path = self.path(points);
            let _ = writeln!(
                self.drawn,
                "<path class=\"fill {class}\" d=\"{path}L{last:.1} {base:.1}L{first:.1} {base:.1}Z\"/>"
            );
        }
        self.line(class, points)
    }

    pub(super) fn bars(mut self, class: &str, bars: &[(f64, f64, f64)]) -> Self {
        for (from, to, height) in bars.iter().filter(|(_, _, height)| *height > 0.0) {
            let (left, right) = (self.at_x(*from), self.at_x(*to));
            let (top, base) = (self.at_y(*height), self.at_y(self.y.from));
            // What is there at all can be seen.
            let top = top.min(base - 1.0);
            let _ = writeln!(
                self.drawn,
                "<rect class=\"bar {class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" \
                 height=\"{:.1}\"/>",
                (right - left - 1.0).max(0.5),
                base - top,
            );
        }
        self
    }

    /// A vertical line with a name.
    pub(super) fn mark(mut self, x: f64, name: &'static str) -> Self {
        self.marks.push((x, name));
        self
    }

    /// Writes it with its heading.
    pub(super) fn section(self, page: &mut String, heading: &str, legend: &[Line]) {
        page.push_str("<section>");
        if !legend.is_empty() {
            page.push_str("<span class=\"legend\">");
            for Line(class, name) in legend {
                let _ = write!(page, "<i class=\"{class}\"></i>{name}");
            }
            page.push_str("</span>");
        }
        let _ = writeln!(
            page,
            "<h2>{heading}</h2>\n<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{heading}\">"
        );
        self.axes(page);
        page.push_str(&self.drawn);
        self.write_marks(page);
        page.push_str("</svg></div></section>\n");
    }

    fn axes(&self, page: &mut String) {
        let (left, right, base) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
        let most = if self.y.is_logarithmic { 7.0 } else { 5.0 };
        for tick in self.y.ticks(most) {
            let y = self.at_y(tick);
            let _ = writeln!(
                page,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 8.0,
                y + 4.0,
                number(tick),
            );
        }
        let _ = writeln!(page, "<path class=\"grid\" d=\"M{left} {base}H{right}\"/>");
        for tick in self.x.ticks(10.0) {
            let _ = writeln!(
                page,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{} {}</text>",
                self.at_x(tick),
                base + 18.0,
                number(tick),
                self.x_unit,
            );
        }
    }

    fn write_marks(&self, page: &mut String) {
        // Where two names would touch, the later one goes to the other side of its line, or is
        // left out: its line is there.
        let mut taken = f64::NEG_INFINITY;
        for (value, name) in &self.marks {
            let x = self.at_x(*value);
            let width = 6.8 * name.len() as f64 + 6.0;
            let _ = writeln!(
                page,
                "<path class=\"mark\" d=\"M{x:.1} {}V{}\"/>",
                TOP - 6.0,
                HEIGHT - BOTTOM
            );
            let (anchor, at, to) = if x - width > taken {
                ("end", x - 4.0, x)
            } else if x > taken && x + width < WIDTH {
                ("start", x + 4.0, x + width)
            } else {
                continue;
            };
            taken = to;
            let y = TOP - 8.0;
            let _ = writeln!(
                page,
                "<text x=\"{at:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{name}</text>"
            );
        }
    }

    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (x, y) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", self.at_x(*x), self.at_y(*y));
        }
        path
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.part(value) * (WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.part(value) * (HEIGHT - BOTTOM - TOP)
    }
}

/// As short as it can be.
fn number(value: f64) -> String {
    if value >= 1000.0 {
        return count(value.round() as u64);
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Scale::linear(0.0, 10.0).ticks(5.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Scale::linear(0.0, 4700.0).ticks(5.0), [0.0, 1000.0, 2000.0, 3000.0, 4000.0]);
        let wide = Scale::logarithmic(0.01, 9000.0).ticks(10.0);
        assert_eq!(wide, [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]);
        let narrow = Scale::logarithmic(3.0, 8.0).ticks(10.0);
        assert_eq!(narrow, [3.0, 4.0, 5.0, 7.0]);
    }

    #[test]
    fn every_value_is_in_a_bin() {
        let values: Vec<_> = (1..1000).map(|at| (at as f64 / 10.0, 2)).collect();
        let bins = Scale::logarithmic(0.1, 99.9).bins(40, &values);
        assert_eq!(bins.iter().map(|(_, _, times)| times).sum::<u64>(), 2 * 999);
    }

    #[test]
    fn nothing_at_all_can_be_plotted() {
        let mut page = String::new();
        let plot = Plot::new(Scale::linear(0.0, 0.0), Scale::logarithmic(f64::INFINITY, 0.0), "s");
        plot.area("one", &[]).line("two", &[]).section(&mut page, "x", &[]);
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
