//! The examples in Chromium. The tests are JavaScript, in `tests/browser`.

use std::path::Path;
use std::process::{Command, Stdio};

use tidings_testkit::program;
use tidings_tests::requirements;

/// The frameworks, and the test files for each; empty for all files. The page is the same everywhere, so one hub is
/// enough for it.
const FRAMEWORKS: [(&str, &[&str]); 3] = [("axum", &[]), ("actix-web", STREAMS), ("warp", STREAMS)];
const STREAMS: &[&str] =
    &["auth.test.mjs", "event_source.test.mjs", "resume.test.mjs", "network_cut.test.mjs"];

#[test]
fn chromium_gets_every_event_of_the_examples() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/browser"));
    let found = requirements::met("browser tests", || {
        let node = requirements::node()?;
        let chromium = requirements::chromium()?;
        requirements::npm_packages(folder)?;
        Ok((node, chromium))
    });
    let Some((node, chromium)) = found else { return };

    // What is only tested there is the browser client.
    let firefox = requirements::met("the browser client in Firefox", requirements::firefox);

    let failed = FRAMEWORKS.into_iter().filter(|(framework, files)| {
        // Each test has its own time limit, and waits more than it works. Their output goes where ours goes.
        let status = Command::new(&node)
            .args(["--test", "--test-reporter=spec", "--test-concurrency=2"])
            .args(*files)
            .current_dir(folder)
            .env("CHROMIUM", &chromium)
            .envs(firefox.iter().map(|firefox| ("FIREFOX", firefox)))
            .env("TIDINGS_HUB", program::build(&format!("hub-{framework}")))
            .env("TIDINGS_AUTH", program::build(&format!("auth-{framework}")))
            .stdin(Stdio::null())
            .status()
            .expect("node runs");
        !status.success()
    });
    let failed: Vec<_> = failed.map(|(framework, _)| framework).collect();
    assert!(failed.is_empty(), "browser tests failed on {failed:?}; their output is above");
}
