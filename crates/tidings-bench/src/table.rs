//! A table in Markdown.

use std::fmt;

/// A table whose first column is text, and whose others are figures.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Self {
        Self { head: head.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<_> = cells.into_iter().take(self.head.len()).collect();
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Every column is as wide as its widest cell, so that the source is readable.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().map(|row| &row[column]);
                cells.chain([&self.head[column]]).map(|cell| cell.chars().count()).max()
            })
            .map(|width| width.unwrap_or(0).max(3))
            .collect();
        let mut line = |cells: &[String]| {
            f.write_str("|")?;
            for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, " {cell:<width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            f.write_str("\n")
        };
        line(&self.head)?;
        let rule = |(column, width): (usize, &usize)| match column {
            0 => "-".repeat(*width),
            _ => "-".repeat(width - 1) + ":",
        };
        line(&widths.iter().enumerate().map(rule).collect::<Vec<_>>())?;
        self.rows.iter().try_for_each(|row| line(row))
    }
}

/// A figure with three significant digits, or more before the point: `12,345`, `123`, `12.3`, `1.23`.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        0.0..9.95 => format!("{value:.2}"),
        9.95..99.5 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (place, digit) in digits.chars().enumerate() {
                let left = digits.len() - place;
                if place > 0 && left % 3 == 0 && !text.ends_with('-') {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
    }
}

/// A figure, or a dash for none.
pub(crate) fn figure_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), figure)
}

/// How many times one is the other.
pub(crate) fn times(value: Option<f64>, of: Option<f64>) -> String {
    match (value, of) {
        (Some(value), Some(of)) if of > 0.0 => format!("{}×", figure(value / of)),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["server", "µs"]);
        table.row(["axum".to_owned(), "1,234".to_owned()]);
        table.row(["–".to_owned()]);
        let expected = "| server |    µs |\n| ------ | ----: |\n| axum   | 1,234 |\n\
                        | –      |       |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn figures_have_three_significant_digits() {
        let figures = [0.0, 1.234, 9.96, 99.6, 100.0, 999.6, 1234.5, 1_234_567.0, -1234.0];
        let expected =
            ["0.00", "1.23", "10.0", "100", "100", "1,000", "1,234", "1,234,567", "-1,234"];
        assert_eq!(figures.map(figure), expected);
        assert_eq!(times(Some(300.0), Some(100.0)), "3.00×");
        assert_eq!(times(Some(300.0), None), "–");
    }
}
