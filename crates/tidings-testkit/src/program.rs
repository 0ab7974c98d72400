//! The programs of the workspace: the examples, and the load generator.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The packages that have programs.
const PACKAGES: [&str; 16] = [
    "hub-*",
    "auth-*",
    "minimal-*",
    "cluster-example",
    "collaboration",
    "dashboard",
    "datastar",
    "file-import",
    "graphql",
    "htmx",
    "llm-answer",
    "news",
    "notifications",
    "sensors",
    "ticker",
    "tidings-load",
];

/// Builds all programs in the profile of the tests, and returns the path of a package's program.
///
/// Cargo builds binaries only for tests of the same package, so this runs Cargo, once for each process that tests. It builds all
/// programs together: each alone would have other features, and most dependencies would be built again for it. There is no time
/// limit.
///
/// # Panics
///
/// When one does not build. The compiler's messages are on standard error.
#[track_caller]
pub fn build(package: &str) -> PathBuf {
    static PROGRAMS: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let program = PROGRAMS.get_or_init(build_all).get(package);
    program.unwrap_or_else(|| panic!("{package} has no program of its name")).clone()
}

/// All programs, by their names.
fn build_all() -> HashMap<String, PathBuf> {
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
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = |message: Value| {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some((text(&message["target"]["name"])?, text(&message["executable"])?.into()))
    };
    messages.filter_map(program).collect()
}

/// The Cargo that built the tests, with the environment of a shell.
///
/// Cargo gives a test variables that describe its package. Build scripts depend on the same variables: if these
/// differ from the last build, build scripts run again, and everything that depends on them is built again.
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
