//! docs/SECURITY.md names the tests of these attacks.

use std::collections::BTreeSet;
use std::path::Path;

/// All names in backticks in the last column of the document's tables that look like a test's.
fn named(document: &str) -> BTreeSet<&str> {
    let rows = document.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.filter_map(|row| Some(row.rsplit_once('|')?.1));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.filter(|name| name.matches('_').count() > 1).collect()
}

/// The rows of tables with tests that name none.
fn unnamed(document: &str) -> Vec<&str> {
    let mut has_tests = false;
    let rows = document.lines().filter(|line| {
        if !line.starts_with('|') {
            has_tests = false;
        } else if line.ends_with("| tests |") {
            has_tests = true;
        } else if has_tests && !line.starts_with("|---") {
            let cell = line.trim_end_matches('|').rsplit('|').next();
            return !cell.is_some_and(|cell| cell.contains('`'));
        }
        false
    });
    rows.collect()
}

/// All tests and promises in a folder, which are functions, and what the lists of promises name.
fn collect(folder: &Path, functions: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            collect(&path, functions);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let after_fn = text.split("fn ").skip(1);
            functions.extend(
                after_fn.filter_map(|rest| Some(rest.split_once(['(', '<'])?.0.to_owned())),
            );
        }
    }
}

#[test]
fn every_test_that_the_document_names_exists_and_every_attack_is_in_it() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let document = std::fs::read_to_string(root.join("docs/SECURITY.md")).unwrap();
    let named = named(&document);
    let mut functions = BTreeSet::new();
    for folder in ["crates", "examples", "tests"] {
        collect(&root.join(folder), &mut functions);
    }
    let missing: Vec<_> = named.iter().filter(|name| !functions.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/SECURITY.md names no tests: {missing:?}");
    assert_eq!(unnamed(&document), [""; 0], "docs/SECURITY.md names no test of these attacks");

    let attacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks");
    for entry in std::fs::read_dir(attacks).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let Some((_, list)) = text.split_once("on_every_framework! { \"hub\";\n") else { continue };
        let (list, _) = list.split_once('}').unwrap();
        for promise in list.split_whitespace() {
            assert!(named.contains(promise), "docs/SECURITY.md does not name {promise}");
        }
    }
}
