//! The browser client: its types, its units, its size, and that the script which the crate serves is what the sources give. The
//! tests are TypeScript, in `crates/tidings-client/ts/tests`. In a browser it is tested by `tests/browser/client.test.mjs`.

use std::path::Path;
use std::process::{Command, Stdio};

use tidings_tests::requirements;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/tidings-client");

#[test]
fn the_browser_client_does_what_it_says() {
    let folder = Path::new(FOLDER);
    let found = requirements::met("tests of the browser client", || {
        let node = requirements::node()?;
        requirements::npm_packages(folder)?;
        Ok(node)
    });
    let Some(node) = found else { return };

    for arguments in [
        &["build.mjs", "--check"][..],
        &["node_modules/typescript/bin/tsc", "--noEmit"],
        &["node_modules/typescript/bin/tsc", "--project", "ts/tests"],
        &["node_modules/vitest/vitest.mjs", "run"],
    ] {
        // Their output goes where ours goes.
        let status = Command::new(&node)
            .args(arguments)
            .current_dir(folder)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .status()
            .expect("node runs");
        assert!(status.success(), "{arguments:?} failed; its output is above");
    }
}
