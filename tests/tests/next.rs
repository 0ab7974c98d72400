//! The browser client in a Next application, and the route handler of its README. The tests are JavaScript, in `tests/next`.

use std::path::Path;
use std::process::{Command, Stdio};

use tidings_testkit::program;
use tidings_tests::requirements;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/next");
/// Has what starts a browser.
const BROWSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");
/// Has the compiler of the client.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/tidings-client");

#[test]
fn next_renders_a_page_and_passes_on_its_stream() {
    let folder = Path::new(FOLDER);
    let found = requirements::met("tests in Next", || {
        let node = requirements::node()?;
        let chromium = requirements::chromium()?;
        for folder in [folder, Path::new(BROWSER), Path::new(CLIENT)] {
            requirements::npm_packages(folder)?;
        }
        Ok((node, chromium))
    });
    let Some((node, chromium)) = found else { return };

    let hub = program::build("hub-axum");
    for arguments in
        [&["build.mjs"][..], &["--test", "--test-reporter=spec", "--test-concurrency=2"]]
    {
        // Their output goes where ours goes.
        let status = Command::new(&node)
            .args(arguments)
            .current_dir(folder)
            .env("CHROMIUM", &chromium)
            .env("TIDINGS_HUB", &hub)
            .stdin(Stdio::null())
            .status()
            .expect("node runs");
        assert!(status.success(), "{arguments:?} failed; its output is above");
    }
}
