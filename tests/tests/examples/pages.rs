use std::path::Path;
use std::process::{Command, Stdio};

use tidings_testkit::program;
use tidings_tests::{datastar, requirements};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
/// Has what starts a browser.
const BROWSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");

#[test]
fn pages_and_the_clients_of_others_show_what_is_published() {
    let folder = Path::new(FOLDER);
    let found = requirements::met("the pages of the small examples", || {
        let node = requirements::node()?;
        let chromium = requirements::chromium()?;
        requirements::npm_packages(Path::new(BROWSER))?;
        requirements::npm_packages(folder)?;
        let datastar = datastar::script(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("datastar"))?;
        Ok((node, chromium, datastar))
    });
    let Some((node, chromium, datastar)) = found else { return };

    // Their output goes where ours goes.
    let status = Command::new(node)
        .args(["--test", "--test-reporter=spec", "--test-concurrency=2"])
        .current_dir(folder)
        .env("CHROMIUM", chromium)
        .env("DATASTAR", datastar)
        // The programs are built together, and into one folder.
        .env("TIDINGS_EXAMPLES", program::build("graphql").parent().expect("a folder"))
        .stdin(Stdio::null())
        .status()
        .expect("node runs");
    assert!(status.success(), "tests of pages failed; their output is above");
}
