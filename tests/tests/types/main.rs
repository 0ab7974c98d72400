//! The types of events, end to end: what `tidings::ts` and `tidings::openapi` say about enums is what clients get, and what other
//! people's tools read: tsc, the JSON Schema of OpenAPI 3.2, openapi-typescript. The programs that are compiled are in
//! `tests/types`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod events;
mod example;
mod openapi;
mod typescript;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use futures_util::{FutureExt, StreamExt};
use tidings::{Decoder, Event, History, Hub, Message, Retention};
use tidings_tests::requirements;

/// The programs, and the packages that read them.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/types");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/tidings-client");

/// A folder beside `FOLDER`'s files, from which their modules are found.
struct Workshop {
    node: PathBuf,
    folder: tempfile::TempDir,
}

impl Workshop {
    fn open() -> Option<Self> {
        // One test installs what all need.
        static NODE: OnceLock<Option<PathBuf>> = OnceLock::new();
        let node = NODE.get_or_init(|| {
            requirements::met("tests of the types of events", || {
                let node = requirements::node()?;
                requirements::npm_packages(Path::new(FOLDER))?;
                requirements::npm_packages(Path::new(CLIENT))?;
                Ok(node)
            })
        });
        let node = node.clone()?;
        let folder = tempfile::Builder::new()
            .prefix(".types-")
            .tempdir_in(format!("{FOLDER}/node_modules"))
            .unwrap();
        let workshop = Self { node, folder };
        workshop.write(
            "tsconfig.json",
            r#"{
                "extends": "../../tsconfig.json",
                "compilerOptions": { "noUnusedLocals": false },
                "include": ["./*.ts"]
            }"#,
        );
        Some(workshop)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Runs a program of JavaScript. Returns whether it succeeds, and what it prints.
    fn run(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(&self.node)
            .arg(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .expect("node runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// What tsc says about the files that are there.
    fn tsc(&self) -> String {
        let (succeeds, said) =
            self.run(&format!("{CLIENT}/node_modules/typescript/bin/tsc"), &["--project", "."]);
        assert_eq!(succeeds, said.is_empty(), "{said}");
        said
    }
}

/// What a client is sent of these events: one that comes when they are all there, with history.
fn received(topic: &str, events: Vec<Event>) -> Vec<Message> {
    let retention = match topic {
        "prices" => Retention::latest_per_key(),
        _ => Retention::default().events(100),
    };
    let hub = Hub::builder().retain(topic, retention).unwrap().build();
    for event in events {
        hub.publish(topic, event).wait().unwrap();
    }
    let mut stream = hub.subscribe(topic).history(History::All).open().unwrap();
    let mut decoder = Decoder::new();
    while let Some(Some(bytes)) = stream.next().now_or_never() {
        decoder.feed(&bytes.unwrap()).unwrap();
    }
    std::iter::from_fn(|| decoder.next_message()).collect()
}
