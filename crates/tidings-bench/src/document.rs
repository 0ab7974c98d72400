//! `docs/BENCHMARKS.md`: a part that is measured, between two marks, and all the rest, which is
//! written by hand and kept.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::Error;

const BEGIN: &str = "<!-- What follows is written by tidings-bench. -->";
const END: &str = "<!-- What was written by tidings-bench ends here. -->";

/// Writes the measured part into a document, which is made if it is not there.
///
/// # Errors
///
/// When the document cannot be read or written, or has lost a mark.
pub(crate) fn write(path: &Path, measured: &str) -> Result<(), Error> {
    let document = match fs::read_to_string(path) {
        Ok(document) => document,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("# Benchmarks\n\n{BEGIN}\n{END}\n")
        }
        Err(error) => return Err(error.into()),
    };
    let document = replace(&document, measured)
        .ok_or_else(|| Error::new("the marks around the measured part are gone"))
        .map_err(|error| error.within(path.display()))?;
    Ok(fs::write(path, document)?)
}

/// The document with another measured part; `None` if it does not say where that is.
fn replace(document: &str, measured: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", measured.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_is_kept() {
        let document = format!("# Title\n\nby hand\n\n{BEGIN}\nold\n{END}\n\n## Why\n\nby hand\n");
        let written = replace(&document, "new\n").expect("the marks are there");
        let expected =
            format!("# Title\n\nby hand\n\n{BEGIN}\n\nnew\n\n{END}\n\n## Why\n\nby hand\n");
        assert_eq!(written, expected);
        assert_eq!(replace(&written, "new").as_ref(), Some(&written));
    }

    #[test]
    fn a_document_without_marks_is_not_touched() {
        assert_eq!(replace("# Title\n", "new"), None);
    }
}
