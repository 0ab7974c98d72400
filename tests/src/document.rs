//! Parts of documents that tests write. Each part is between two marks.

/// Puts `text` into the part with this name, which is added at the end if it is missing.
pub fn put(document: &str, part: &str, text: &str) -> String {
    let [begin, end] = marks(part);
    let around = document.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = around.unwrap_or((document, ""));
    format!("{before}{begin}{text}{end}{after}")
}

/// The text of the part with this name.
pub fn part<'a>(document: &'a str, part: &str) -> Option<&'a str> {
    let [begin, end] = marks(part);
    let (_, rest) = document.split_once(&begin)?;
    Some(rest.split_once(&end)?.0)
}

/// Whether tests should write documents: `TIDINGS_WRITE_DOCS=1`.
pub fn is_written() -> bool {
    std::env::var_os("TIDINGS_WRITE_DOCS").is_some_and(|value| value == "1")
}

fn marks(part: &str) -> [String; 2] {
    ["begin", "end"].map(|which| format!("<!-- {part}: {which} -->\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_replaces_the_old_one() {
        let new = put("# Title\n\n", "x", "one\n");
        assert_eq!(new, "# Title\n\n<!-- x: begin -->\none\n<!-- x: end -->\n");
        let text = put(&format!("{new}after\n"), "x", "two\n");
        assert_eq!(text, "# Title\n\n<!-- x: begin -->\ntwo\n<!-- x: end -->\nafter\n");
        assert_eq!((part(&text, "x"), part(&text, "y")), (Some("two\n"), None));
    }
}
