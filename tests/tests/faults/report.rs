//! The table of faults in docs/GUARANTEES.md: what the runs showed.

use std::fmt::Write;
use std::path::Path;

use tidings_tests::document;

use crate::engine::Engine;
use crate::ledger::Counts;

/// The part of the document that is the table.
const PART: &str = "faults";

/// One row: what happened to which log, and the counts.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) engine: Engine,
    pub(crate) counts: Counts,
}

/// The table as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| what happens | log | acknowledged | refused or unanswered | received | reconnects | resets \
         | lost | twice | out of order | foreign |\n|---|---|--:|--:|--:|--:|---|--:|--:|--:|--:|\n",
    );
    for Row { what, engine, counts } in rows {
        let Counts { acknowledged, failed, received, reconnects, resets } = counts;
        let resets = match resets.is_empty() {
            true => "none".to_owned(),
            false => {
                let resets = resets.iter().map(|(reason, count)| format!("{count} {reason}"));
                resets.collect::<Vec<_>>().join(", ")
            }
        };
        // Anything else than these zeros fails the test before it comes here.
        writeln!(
            text,
            "| {what} | {engine} | {acknowledged} | {failed} | {received} | {reconnects} | {resets} \
             | 0 | 0 | 0 | 0 |"
        )
        .expect("a string takes everything");
    }
    text
}

/// Writes the table into its document if that is requested. If not, asserts that the document has the same rows.
pub(crate) fn check(rows: &[Row]) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/GUARANTEES.md"));
    let document = std::fs::read_to_string(path).expect("docs/GUARANTEES.md");
    let table = table(rows);
    if document::is_written() {
        std::fs::write(path, document::put(&document, PART, &table)).expect("docs/GUARANTEES.md");
        return;
    }
    let written = document::part(&document, PART).unwrap_or_default();
    assert!(
        subjects(written) == subjects(&table),
        "docs/GUARANTEES.md has other rows than what was run; with TIDINGS_WRITE_DOCS=1, this test writes \
         them:\n{table}"
    );
}

/// What happened to which log. The numbers differ from run to run.
fn subjects(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split(" | ").take(2).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_differs_by_its_rows_and_not_by_its_numbers() {
        let row = |what: &str, received| {
            let resets = [("unknown".to_owned(), 3), ("trimmed".to_owned(), 1)].into();
            let counts = Counts { received, resets, ..Counts::default() };
            Row { what: what.to_owned(), engine: Engine::Redis, counts }
        };
        let one = table(&[row("it rains", 17)]);
        let line = "| it rains | Redis | 0 | 0 | 17 | 0 | 1 trimmed, 3 unknown | 0 | 0 | 0 | 0 |";
        assert_eq!(one.lines().nth(2), Some(line));
        assert_eq!(subjects(&one), subjects(&table(&[row("it rains", 18)])));
        assert_ne!(subjects(&one), subjects(&table(&[row("it snows", 17)])));
        assert_ne!(subjects(&one), subjects(&table(&[])));
    }
}
