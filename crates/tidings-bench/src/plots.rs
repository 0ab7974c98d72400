//! The results as pictures: SVG with a background, for light and dark pages.

use std::fs;
use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::Error;
use crate::loads::Load;
use crate::results::{Figures, Results};
use crate::servers::Server;
use crate::table::figure;

const WIDTH: u32 = 920;
const BACKGROUND: RGBColor = RGBColor(252, 252, 250);
const INK: RGBColor = RGBColor(40, 44, 52);
const FAINT: RGBColor = RGBColor(216, 218, 222);
const OURS: RGBColor = RGBColor(0, 110, 180);
const OTHERS: RGBColor = RGBColor(150, 156, 166);
const FLOOR: RGBColor = RGBColor(60, 64, 72);
const FONT: &str = "system-ui, sans-serif";

/// Writes a picture of all results that exist.
pub(crate) fn write(folder: &Path, results: &Results) -> Result<(), Error> {
    fs::create_dir_all(folder)?;
    let bars = |load: Load| -> Vec<_> {
        let servers = Server::all().iter();
        servers.filter_map(|server| Some((*server, results.instructions(*server, load)?))).collect()
    };
    for (name, load, title) in [
        ("one-event", Load::One, "One event to 1,000 clients"),
        ("burst", Load::Burst100, "Burst of 100 events to 1,000 clients"),
    ] {
        let title = format!("{title}: user instructions per delivery (logarithmic)");
        draw(&folder.join(format!("{name}.svg")), |path| bar_chart(path, &title, &bars(load)))?;
    }
    let scaling = lines(results, |figures| {
        figures.scaling.iter().map(|(clients, cost)| (*clients as f64, *cost)).collect()
    });
    let title = "One event: user instructions per delivery (logarithmic), by number of clients";
    draw(&folder.join("clients.svg"), |path| {
        line_chart(path, title, ("clients", "user instructions per delivery"), &scaling, Scale::Log)
    })?;
    let steadiness = lines(results, |figures| {
        figures.steadiness.iter().map(|(events, kib)| (*events as f64, *kib)).collect()
    });
    let title = "Process memory over published events, 100 clients connected";
    draw(&folder.join("memory.svg"), |path| {
        line_chart(path, title, ("events published", "KB"), &steadiness, Scale::Linear)
    })
}

type Line = (Server, Vec<(f64, f64)>);
type Drawing = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Log,
}

/// The lines of all servers with more than one point.
fn lines(results: &Results, points: impl Fn(&Figures) -> Vec<(f64, f64)>) -> Vec<Line> {
    let lines = results.servers.iter().map(|(server, figures)| (*server, points(figures)));
    lines.filter(|(_, points)| points.len() > 1).collect()
}

fn draw(path: &Path, draw: impl FnOnce(&Path) -> Drawing) -> Result<(), Error> {
    draw(path).map_err(|error| Error::new(error.to_string()).within(path.display()))
}

/// A server's name without the marks of Markdown.
fn label(server: Server) -> String {
    server.description().replace(['*', '`'], "")
}

fn color(server: Server) -> RGBColor {
    match server {
        Server::RawEpoll => FLOOR,
        _ if server.is_ours() => OURS,
        _ => OTHERS,
    }
}

/// The color and width of a server's line. Of two that often coincide, the upper one is thin, so that
/// both are visible.
fn stroke(server: Server) -> (RGBColor, u32) {
    match server {
        Server::TidingsAxumDirect => (RGBColor(86, 180, 233), 6),
        Server::TidingsWarpDirect => (RGBColor(0, 80, 150), 2),
        Server::TidingsAxumBody => (RGBColor(130, 205, 120), 6),
        Server::TidingsWarpBody => (RGBColor(0, 110, 70), 2),
        Server::TidingsActixWeb => (RGBColor(204, 121, 167), 3),
        Server::AxumSse => (RGBColor(213, 94, 0), 3),
        _ => (FLOOR, 3),
    }
}

/// Horizontal bars on a logarithmic scale, each with its figure.
fn bar_chart(path: &Path, title: &str, bars: &[(Server, f64)]) -> Drawing {
    const NAMES: i32 = 330;
    const TOP: i32 = 56;
    const ROW: i32 = 30;
    const FIGURES: i32 = 80;

    if bars.is_empty() {
        return Ok(());
    }
    let height = TOP + ROW * i32::try_from(bars.len())? + 34;
    let root = SVGBackend::new(path, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    root.fill(&BACKGROUND)?;
    let text = |size: i32| (FONT, size).into_font().color(&INK);
    root.draw(&Text::new(title, (20, 18), text(18)))?;
    let most = bars.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let room = f64::from(i32::try_from(WIDTH)? - NAMES - FIGURES);
    // The scale begins at 1; a smaller figure has no bar.
    let length = |value: f64| (value.max(1.0).log10() / most.log10().max(1.0) * room) as i32;
    let bottom = TOP + ROW * i32::try_from(bars.len())?;
    let mut power = 1.0;
    while power <= most {
        let x = NAMES + length(power);
        root.draw(&PathElement::new([(x, TOP - 4), (x, bottom)], FAINT))?;
        let style = text(12).pos(Pos::new(HPos::Center, VPos::Top));
        root.draw(&Text::new(
            figure(power).replace(".00", "").replace(".0", ""),
            (x, bottom + 6),
            style,
        ))?;
        power *= 10.0;
    }
    for (row, (server, value)) in bars.iter().enumerate() {
        let y = TOP + ROW * i32::try_from(row)?;
        let style = text(14).pos(Pos::new(HPos::Right, VPos::Center));
        root.draw(&Text::new(label(*server), (NAMES - 10, y + 13), style))?;
        let end = NAMES + length(*value).max(2);
        let bar = Rectangle::new([(NAMES, y + 4), (end, y + 22)], color(*server).filled());
        root.draw(&bar)?;
        let style = text(13).pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(figure(*value), (end + 6, y + 13), style))?;
    }
    root.present()?;
    Ok(())
}

/// Lines, with a legend at the right.
fn line_chart(
    path: &Path,
    title: &str,
    (x_name, y_name): (&str, &str),
    lines: &[Line],
    scale: Scale,
) -> Drawing {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let x_most = points().map(|(x, _)| *x).fold(0.0, f64::max);
    let y_most = points().map(|(_, y)| *y).fold(0.0, f64::max);
    if x_most <= 0.0 || y_most <= 0.0 {
        return Ok(());
    }
    match scale {
        Scale::Linear => {
            lines_on(path, title, (x_name, y_name), lines, 0.0..x_most, 0.0..y_most * 1.15)
        }
        Scale::Log => {
            let y = (10.0..y_most * 2.0).log_scale();
            lines_on(path, title, (x_name, y_name), lines, 0.0..x_most, y)
        }
    }
}

fn lines_on<Y>(
    path: &Path,
    title: &str,
    (x_name, y_name): (&str, &str),
    lines: &[Line],
    x: std::ops::Range<f64>,
    y: Y,
) -> Drawing
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    const LEGEND: i32 = 270;

    let root = SVGBackend::new(path, (WIDTH, 440)).into_drawing_area();
    root.fill(&BACKGROUND)?;
    let text = |size: i32| (FONT, size).into_font().color(&INK);
    root.draw(&Text::new(title, (20, 18), text(18)))?;
    let (left, right) = root.split_horizontally(i32::try_from(WIDTH)? - LEGEND);
    let mut chart = ChartBuilder::on(&left)
        .margin_top(56)
        .margin_right(26)
        .margin_bottom(12)
        .margin_left(12)
        .x_label_area_size(46)
        .y_label_area_size(68)
        .build_cartesian_2d(x, y)?;
    let whole = |value: &f64| figure(value.round()).replace(".00", "").replace(".0", "");
    chart
        .configure_mesh()
        .x_desc(x_name)
        .y_desc(y_name)
        .x_labels(6)
        .y_labels(8)
        .x_label_formatter(&whole)
        .y_label_formatter(&whole)
        .label_style(text(12))
        .axis_desc_style(text(13))
        .axis_style(INK)
        .bold_line_style(FAINT)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (index, (server, points)) in lines.iter().enumerate() {
        let (color, width) = stroke(*server);
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(width)))?;
        if points.len() < 20 {
            let size = width + 1;
            let dots = points.iter().map(|point| Circle::new(*point, size, color.filled()));
            chart.draw_series(dots)?;
        }
        let y = 70 + 26 * i32::try_from(index)?;
        right.draw(&PathElement::new([(0, y), (22, y)], color.stroke_width(width)))?;
        let style = text(13).pos(Pos::new(HPos::Left, VPos::Center));
        right.draw(&Text::new(label(*server), (30, y), style))?;
    }
    root.present()?;
    Ok(())
}
