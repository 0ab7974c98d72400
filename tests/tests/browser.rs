//! The example hub in a real Chromium. The tests themselves are JavaScript, in `tests/browser`.

use std::path::Path;
use std::process::{Command, Stdio};

use tidings_tests::{examples, requirements};

#[test]
fn chromium_gets_every_event_of_the_example_hub() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/browser"));
    let found = requirements::met("browser tests", || {
        let node = requirements::node()?;
        let chromium = requirements::chromium()?;
        requirements::npm_packages(folder)?;
        Ok((node, chromium))
    });
    let Some((node, chromium)) = found else { return };

    // Each of its tests has a time limit of its own, and waits more than it works. What they say
    // goes where ours goes.
    let status = Command::new(node)
        .args(["--test", "--test-reporter=spec", "--test-concurrency=2"])
        .current_dir(folder)
        .env("CHROMIUM", chromium)
        .env("TIDINGS_HUB", examples::build("hub-axum"))
        .stdin(Stdio::null())
        .status()
        .expect("node runs");
    assert!(status.success(), "browser tests failed: {status}; what they said is above");
}
