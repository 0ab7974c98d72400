//! The example llm-answer, read by the clients of others. The tests are JavaScript, in `tests/llm`.

use std::path::Path;
use std::process::{Command, Stdio};

use tidings_testkit::program;
use tidings_tests::requirements;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/llm");
/// Has what starts a browser.
const BROWSER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser");

#[test]
fn the_clients_of_others_read_its_answers() {
    let folder = Path::new(FOLDER);
    let found = requirements::met("the clients of language models", || {
        let node = requirements::node()?;
        let chromium = requirements::chromium()?;
        requirements::npm_packages(Path::new(BROWSER))?;
        requirements::npm_packages(folder)?;
        let python = requirements::python_packages(
            &folder.join("requirements.txt"),
            &Path::new(env!("CARGO_TARGET_TMPDIR")).join("llm/python"),
        )?;
        Ok((node, chromium, python))
    });
    let Some((node, chromium, python)) = found else { return };

    // Their output goes where ours goes.
    let status = Command::new(node)
        .args(["--test", "--test-reporter=spec", "--test-concurrency=2"])
        .current_dir(folder)
        .env("CHROMIUM", chromium)
        .env("PYTHON", python)
        .env("TIDINGS_LLM_ANSWER", program::build("llm-answer"))
        .stdin(Stdio::null())
        .status()
        .expect("node runs");
    assert!(status.success(), "tests of clients failed; their output is above");
}
