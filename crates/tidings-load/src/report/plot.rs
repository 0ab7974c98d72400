//! Plots as SVG inside a page. plotters writes fixed colors; the page's style replaces each by one
//! for light or dark screens.

use std::ops::Range;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::count;

const SIZE: (u32, u32) = (840, 240);
const TEXT: RGBColor = RGBColor(1, 1, 1);
const RULE: RGBColor = RGBColor(2, 2, 2);
pub(super) const ONE: RGBColor = RGBColor(11, 11, 11);
pub(super) const TWO: RGBColor = RGBColor(12, 12, 12);
pub(super) const THREE: RGBColor = RGBColor(13, 13, 13);

pub(super) type Points = Vec<(f64, f64)>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// One filled line over time, in seconds.
pub(super) fn area(end: f64, top: f64, points: &Points) -> String {
    let base = |at: Option<&(f64, f64)>| at.map(|(x, _)| (*x, 0.0));
    let ends = [base(points.last()), base(points.first())];
    let outline: Points = points.iter().copied().chain(ends.into_iter().flatten()).collect();
    svg(|root| {
        let mut chart = chart(root, 0.0..end, 0.0..top.max(1.0) * 1.1, "s")?;
        chart.draw_series([Polygon::new(outline, ONE.mix(0.18).filled())])?;
        chart.draw_series(LineSeries::new(points.iter().copied(), ONE.stroke_width(2)))?;
        Ok(())
    })
}

/// Lines over time, in seconds, on a logarithmic scale of milliseconds. The last one is on top.
pub(super) fn lines(end: f64, range: Range<f64>, lines: &[(RGBColor, Points)]) -> String {
    svg(|root| {
        let mut chart = chart(root, 0.0..end, logarithmic(range).log_scale(), "s")?;
        for (color, points) in lines {
            chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// How many of these times there are, in per cent, on a logarithmic scale of milliseconds. Each of
/// the marks is a vertical line with a name.
pub(super) fn distribution(times: &[(f64, u64)], marks: &[(f64, &str)]) -> String {
    let first = times.first().map_or(0.0, |(at, _)| *at);
    let last = times.last().map_or(0.0, |(at, _)| *at);
    let range = logarithmic(first..last);
    let bins = bins(&range, times);
    let top = bins.iter().map(|(_, percent)| *percent).fold(1.0, f64::max);
    svg(|root| {
        let mut chart = chart(root, range.log_scale(), 0.0..top * 1.1, "ms")?;
        let bars = bins.iter().filter(|(_, percent)| *percent > 0.0);
        chart.draw_series(bars.map(|(bin, percent)| {
            let mut bar = Rectangle::new([(bin.start, 0.0), (bin.end, *percent)], ONE.filled());
            bar.set_margin(0, 0, 0, 1);
            bar
        }))?;
        for (row, (at, name)) in marks.iter().enumerate() {
            let line = PathElement::new([(*at, 0.0), (*at, top * 1.1)], TEXT.stroke_width(1));
            chart.draw_series([line])?;
            // Each a line lower, so that no two can touch.
            let text = Text::new(name.to_string(), (5, 14 * i32::try_from(row)?), font());
            chart.draw_series([EmptyElement::at((*at, top * 1.1)) + text])?;
        }
        Ok(())
    })
}

/// Both ends greater than nothing and apart, with some room.
fn logarithmic(range: Range<f64>) -> Range<f64> {
    let from = if range.start.is_finite() { range.start.max(0.001) } else { 0.001 };
    from / 1.1..range.end.max(from * 2.0) * 1.1
}

/// The times in bins of equal width on a logarithmic scale, in per cent.
fn bins(range: &Range<f64>, times: &[(f64, u64)]) -> Vec<(Range<f64>, f64)> {
    const BINS: usize = 56;

    let width = (range.end / range.start).powf(1.0 / BINS as f64);
    let edge = |bin: usize| range.start * width.powi(i32::try_from(bin).unwrap_or(0));
    let all: u64 = times.iter().map(|(_, times)| times).sum();
    let mut bins: Vec<_> = (0..BINS).map(|bin| (edge(bin)..edge(bin + 1), 0.0)).collect();
    for (time, times) in times {
        let bin = ((time / range.start).ln() / width.ln()) as usize;
        if let Some((_, percent)) = bins.get_mut(bin.min(BINS - 1)) {
            *percent += 100.0 * *times as f64 / all as f64;
        }
    }
    bins
}

fn font() -> TextStyle<'static> {
    ("system-ui, sans-serif", 15).into_font().color(&TEXT)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, X, Y> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;

fn chart<'a, X, Y>(
    root: &Area<'a>,
    x: X,
    y: Y,
    x_unit: &str,
) -> Result<Chart<'a, X, Y>, Box<dyn std::error::Error>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(root)
        .margin_top(8)
        .margin_right(56)
        .x_label_area_size(28)
        .y_label_area_size(62)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_labels(10)
        .y_labels(5)
        .x_label_formatter(&|value| format!("{} {x_unit}", number(*value)))
        .y_label_formatter(&|value| number(*value))
        .label_style(font())
        .axis_style(RULE)
        .bold_line_style(RULE)
        .light_line_style(TRANSPARENT)
        .disable_x_mesh()
        .draw()?;
    Ok(chart)
}

/// The SVG of a drawing, without the namespace that only a separate file needs.
fn svg(draw: impl FnOnce(&Area<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        // Drawing into a string cannot fail.
        let _ = draw(&root);
        let _ = root.present();
    }
    svg.replace(" xmlns=\"http://www.w3.org/2000/svg\"", "")
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
    fn every_time_is_in_a_bin() {
        let times: Vec<_> = (1..1000).map(|at| (at as f64 / 10.0, 2)).collect();
        let percent: f64 = bins(&logarithmic(0.1..99.9), &times).iter().map(|(_, bin)| bin).sum();
        assert!((percent - 100.0).abs() < 1e-6, "{percent}");
    }

    #[test]
    fn a_plot_without_data_is_drawn() {
        let plots = [
            area(0.0, 0.0, &Vec::new()),
            lines(0.0, f64::INFINITY..0.0, &[(ONE, Vec::new())]),
            distribution(&[], &[(0.0, "median")]),
        ];
        for plot in plots {
            assert!(plot.ends_with("</svg>\n"), "{plot}");
            assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
        }
    }
}
