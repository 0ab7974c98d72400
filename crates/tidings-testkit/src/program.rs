//! The programs of the workspace: the examples, and the load generator.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Which packages have them.
const PACKAGES: [&str; 5] = ["hub-*", "auth-*", "minimal-*", "cluster-example", "tidings-load"];

/// Builds them, in the profile of the tests, and returns where the program of a package is.
///
/// Cargo builds binaries only for tests of the same package, so this asks it to. For all of them at once: each
/// alone would have features of its own, and most of what it depends on would be built once more for it. It
/// has no time limit, as there may be much to build.
///
/// # Panics
///
/// When one does not build; the compiler's messages are on standard error.
#[track_caller]
pub fn build(package: &str) -> PathBuf {
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    cargo.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let cargo = cargo.current_dir(workspace).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().expect("Cargo, which has built this test, runs");
    assert!(output.status.success(), "Cargo cannot build the programs of the workspace");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| panic!("{package} has no program of its name"))
}

/// The Cargo that has built the tests, as it would be called from outside of them.
///
/// To a test, Cargo says of what package it is, by variables. Build scripts look at the same variables; with
/// others than at their last run they would run anew, and all that stands on theirs be built anew.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let is_of_package =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}
