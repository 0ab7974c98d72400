//! `docs/BENCHMARKS.md`: the measured part is between two marks; the rest is written by hand and does
//! not change.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::Error;

const BEGIN: &str = "<!-- What follows is written by tidings-bench. -->";
const END: &str = "<!-- What was written by tidings-bench ends here. -->";

/// Writes the measured part into a document, which it creates if necessary.
pub(crate) fn write(path: &Path, measured: &str) -> Result<(), Error> {
    let document = match fs::read_to_string(path) {
        Ok(document) => document,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("# Benchmarks\n\n{BEGIN}\n{END}\n")
        }
        Err(error) => return Err(error.into()),
    };
    let document = replace(&document, measured)
        .ok_or_else(|| Error::new("the marks around the measured part are missing"))
        .map_err(|error| error.within(path.display()))?;
    Ok(fs::write(path, document)?)
}

/// The document with another measured part; `None` if a mark is missing.
fn replace(document: &str, measured: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", measured.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_written_by_hand_does_not_change() {
        let document = format!("# Title\n\nby hand\n\n{BEGIN}\nold\n{END}\n\n## Why\n\nby hand\n");
        let written = replace(&document, "new\n").expect("the marks are present");
        let expected =
            format!("# Title\n\nby hand\n\n{BEGIN}\n\nnew\n\n{END}\n\n## Why\n\nby hand\n");
        assert_eq!(written, expected);
        assert_eq!(replace(&written, "new").as_ref(), Some(&written));
    }

    #[test]
    fn a_document_without_marks_is_refused() {
        assert_eq!(replace("# Title\n", "new"), None);
    }
}
