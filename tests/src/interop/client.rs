//! The clients, their deviations from the standard, and their drivers as processes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process_group};
use tidings::STATUS_EVENT;
use tidings_testkit::limit::within;
use tidings_testkit::program;
use tidings_testkit::watch::Watch;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::script::{Happening, NAMES, Seen};
use crate::datastar;
use crate::requirements::{self, Missing};

/// Where the drivers are.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop");

/// A client library, or program.
#[derive(Debug)]
pub struct Client {
    /// Its name in its registry.
    pub name: &'static str,
    /// Its origin.
    pub source: Source,
    /// Its driver in [`FOLDER`], or in `interop/rust`.
    driver: &'static str,
    /// How it deviates from the standard.
    pub deviations: &'static [Deviation],
}

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Installed on the machine, and driven by a script.
    Chromium,
    /// The same.
    Firefox,
    /// npm.
    Npm,
    /// PyPI.
    PyPi,
    /// Cargo.
    CratesIo,
    /// Installed on the machine.
    Shell,
}

impl Source {
    /// The registry; `None` for programs of the machine.
    pub fn registry(self) -> Option<&'static str> {
        match self {
            Self::Chromium | Self::Firefox | Self::Shell => None,
            Self::Npm => Some("npm"),
            Self::PyPi => Some("PyPI"),
            Self::CratesIo => Some("Cargo"),
        }
    }
}

/// A deviation from the standard. Every run must show it: when a client no longer deviates, its deviation is deleted.
pub struct Deviation {
    /// A sentence for docs/COMPARISON.md.
    pub what: &'static str,
    /// Changes what a client receives of a happening, given what it received before.
    alter: fn(&Happening, &[Seen], &mut Vec<Seen>),
}

impl fmt::Debug for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deviation").field("what", &self.what).finish_non_exhaustive()
    }
}

/// All clients.
pub const CLIENTS: [Client; 10] = [
    Client { name: "Chromium", source: Source::Chromium, driver: "browser.mjs", deviations: &[] },
    Client {
        name: "Firefox",
        source: Source::Firefox,
        driver: "browser.mjs",
        deviations: &[NO_NUL],
    },
    Client { name: "eventsource", source: Source::Npm, driver: "eventsource.mjs", deviations: &[] },
    Client {
        name: "@microsoft/fetch-event-source",
        source: Source::Npm,
        driver: "fetch_event_source.mjs",
        deviations: &[HEARTBEATS, FIRST_EMPTY_LINES, MARKS],
    },
    Client {
        name: "event-source-plus",
        source: Source::Npm,
        driver: "event_source_plus.mjs",
        deviations: &[LAST_LINE, TRIMMED],
    },
    Client {
        name: "httpx-sse",
        source: Source::PyPi,
        driver: "httpx_sse_client.py",
        deviations: &[HEARTBEATS_WITH_ID],
    },
    Client {
        name: "sseclient-py",
        source: Source::PyPi,
        driver: "sseclient_py_client.py",
        deviations: &[HALF_EVENTS],
    },
    Client {
        name: "eventsource-client",
        source: Source::CratesIo,
        driver: "eventsource_client",
        deviations: &[],
    },
    Client { name: "sse-stream", source: Source::CratesIo, driver: "sse_stream", deviations: &[] },
    Client {
        name: "curl",
        source: Source::Shell,
        driver: "curl.sh",
        deviations: &[NO_NUL_IN_SHELL],
    },
];

/// The empty message that a client makes of a heartbeat.
fn blank(id: &str) -> Seen {
    Seen { event: "message".to_owned(), data: String::new(), id: id.to_owned() }
}

/// Changes the data of each event.
fn each_data(seen: &mut [Seen], change: impl Fn(&str) -> String) {
    for seen in seen {
        seen.data = change(&seen.data);
    }
}

const HEARTBEATS: Deviation = Deviation {
    what: "Treats every blank line as an event: a heartbeat is an event without name, data and \
           id. Ignore events without an id.",
    alter: |happening, _, seen| {
        if matches!(happening, Happening::Heartbeat) {
            seen.push(blank(""));
        }
    },
};

const HEARTBEATS_WITH_ID: Deviation = Deviation {
    what: "Treats a blank line as an event: a heartbeat is an event without name and data, with the \
           id of the previous event. Ignore events with the id of the previous event.",
    alter: |happening, before, seen| {
        if matches!(happening, Happening::Heartbeat) {
            seen.push(blank(before.last().map_or("", |seen| &seen.id)));
        }
    },
};

const FIRST_EMPTY_LINES: Deviation = Deviation {
    what: "Loses a first line of data that is empty.",
    alter: |_, _, seen| each_data(seen, |data| data.trim_start_matches('\n').to_owned()),
};

const MARKS: Deviation = Deviation {
    what: "Loses a byte order mark at the beginning of each line of data.",
    alter: |_, _, seen| {
        each_data(seen, |data| {
            let lines = data.split('\n').map(|line| line.strip_prefix('\u{feff}').unwrap_or(line));
            lines.collect::<Vec<_>>().join("\n")
        });
    },
};

const LAST_LINE: Deviation = Deviation {
    what: "Of data with several lines, returns only the last. Publish JSON, which is one line.",
    alter: |_, _, seen| {
        each_data(seen, |data| data.rsplit('\n').next().unwrap_or_default().to_owned());
    },
};

const TRIMMED: Deviation = Deviation {
    what: "Trims data: white space, line separators and byte order marks at either end are lost.",
    alter: |_, _, seen| {
        let is_white = |char: char| char.is_whitespace() && char != '\u{85}' || char == '\u{feff}';
        each_data(seen, |data| data.trim_matches(is_white).to_owned());
    },
};

const HALF_EVENTS: Deviation = Deviation {
    what: "When a response ends in an orderly way in the middle of an event, returns its first part \
           without the id; then, resumed, the whole event.",
    alter: |happening, _, seen| {
        if let Happening::Torn { torn, .. } = happening {
            seen.insert(0, Seen { id: String::new(), ..torn.clone() });
        }
    },
};

const NO_NUL: Deviation = Deviation {
    what: "Drops NUL from data.",
    alter: |_, _, seen| each_data(seen, |data| data.replace('\0', "")),
};

const NO_NUL_IN_SHELL: Deviation = Deviation {
    what: "Not curl, but the shell that reads from it: its variables cannot hold a NUL.",
    ..NO_NUL
};

impl Client {
    /// What it should receive, with its deviations.
    pub fn receives(&self, happenings: &[Happening]) -> Vec<Seen> {
        self.receives_but(None, happenings)
    }

    /// The deviations that make no difference: mistakes in this file.
    pub fn idle_deviations(&self, happenings: &[Happening]) -> Vec<&'static str> {
        let all = self.receives(happenings);
        let deviations = self.deviations.iter().enumerate();
        deviations
            .filter(|(number, _)| self.receives_but(Some(*number), happenings) == all)
            .map(|(_, deviation)| deviation.what)
            .collect()
    }

    /// What it should receive without one of its deviations.
    fn receives_but(&self, without: Option<usize>, happenings: &[Happening]) -> Vec<Seen> {
        let mut all = Vec::new();
        for happening in happenings {
            let mut seen: Vec<_> = happening.seen().cloned().into_iter().collect();
            for (number, deviation) in self.deviations.iter().enumerate() {
                if without != Some(number) {
                    (deviation.alter)(happening, &all, &mut seen);
                }
            }
            all.append(&mut seen);
        }
        all
    }

    /// Its name as a topic.
    pub fn slug(&self) -> String {
        self.name.replace(['@', '/'], "_")
    }
}

/// What the drivers run on. Each of these may be missing.
#[derive(Debug)]
pub struct Tools {
    /// With Datastar's script for its pages.
    chromium: Option<(PathBuf, PathBuf)>,
    firefox: Option<PathBuf>,
    node: Option<PathBuf>,
    python: Option<PathBuf>,
    rust: Option<PathBuf>,
    curl: Option<PathBuf>,
}

impl Tools {
    /// Finds everything, and installs the clients' packages: in `folder`, unless they have their own place.
    pub fn find(folder: &Path) -> Self {
        let here = Path::new(FOLDER);
        Self {
            chromium: requirements::met("interop with Chromium", || {
                requirements::node()?;
                requirements::npm_packages(&here.with_file_name("browser"))?;
                Ok((requirements::chromium()?, datastar::script(&folder.join("datastar"))?))
            }),
            firefox: requirements::met("interop with Firefox", || {
                requirements::node()?;
                // The driver of Chromium's.
                requirements::npm_packages(&here.with_file_name("browser"))?;
                requirements::firefox()
            }),
            node: requirements::met("interop with clients from npm", || {
                requirements::npm_packages(here)?;
                requirements::node()
            }),
            python: requirements::met("interop with clients from PyPI", || {
                requirements::python_packages(
                    &here.join("requirements.txt"),
                    &folder.join("python"),
                )
            }),
            rust: requirements::met("interop with clients from Cargo", || {
                rust_clients(&here.join("rust"), &folder.join("rust"))
            }),
            curl: requirements::met("interop with curl", || {
                requirements::program("bash", "bash")?;
                requirements::program("curl", "curl")
            }),
        }
    }

    /// The driver of a client; `None` if something is missing, which was reported.
    pub fn command(&self, client: &Client) -> Option<Command> {
        self.driver(client.source, client.driver)
    }

    /// The same by its source and its script.
    pub fn driver(&self, source: Source, driver: &str) -> Option<Command> {
        let script = Path::new(FOLDER).join(driver);
        Some(match source {
            Source::Chromium => self.chromium_script(driver)?,
            Source::Firefox => self.firefox_script(driver)?,
            Source::Npm => {
                let mut command = Command::new(self.node.as_ref()?);
                command.arg(script);
                command
            }
            Source::PyPi => {
                let mut command = Command::new(self.python.as_ref()?);
                command.arg(script);
                command
            }
            Source::CratesIo => Command::new(self.rust.as_ref()?.join(driver)),
            Source::Shell => {
                self.curl.as_ref()?;
                Command::new(script)
            }
        })
    }

    /// A script of [`FOLDER`] that drives Chromium; `None` if something is missing, which was reported.
    pub fn chromium_script(&self, script: &str) -> Option<Command> {
        let (chromium, datastar) = self.chromium.as_ref()?;
        let mut command = browser_script(script, "CHROMIUM", chromium);
        command.env("DATASTAR", datastar);
        Some(command)
    }

    /// The same with Firefox.
    pub fn firefox_script(&self, script: &str) -> Option<Command> {
        Some(browser_script(script, "FIREFOX", self.firefox.as_ref()?))
    }

    /// The version of a client.
    pub fn version(&self, client: &Client) -> Option<String> {
        let here = Path::new(FOLDER);
        let lock = |path: &str| std::fs::read_to_string(here.join(path)).ok();
        match client.source {
            Source::Chromium => requirements::version(&self.chromium.as_ref()?.0, "--version"),
            Source::Firefox => requirements::version(self.firefox.as_ref()?, "--version"),
            Source::Npm => {
                let lock: serde_json::Value =
                    serde_json::from_str(&lock("package-lock.json")?).ok()?;
                let package = &lock["packages"][format!("node_modules/{}", client.name)];
                package["version"].as_str().map(str::to_owned)
            }
            Source::PyPi => {
                let start = format!("{}==", client.name);
                lock("requirements.txt")?
                    .lines()
                    .find_map(|line| line.strip_prefix(&start))
                    .map(str::to_owned)
            }
            Source::CratesIo => {
                let start = format!("name = \"{}\"\nversion = \"", client.name);
                let lock = lock("rust/Cargo.lock")?;
                let (_, version) = lock.split_once(&start)?;
                version.split('"').next().map(str::to_owned)
            }
            Source::Shell => requirements::version(self.curl.as_ref()?, "--version"),
        }
    }
}

/// `variable` names the browser for `interop/launch.mjs`.
fn browser_script(script: &str, variable: &str, browser: &Path) -> Command {
    let mut command = Command::new("node");
    command.env_remove("FIREFOX").env(variable, browser).arg(Path::new(FOLDER).join(script));
    command
}

/// Builds the drivers in Rust. They are a separate workspace, and may need a newer compiler.
fn rust_clients(package: &Path, target: &Path) -> Result<PathBuf, Missing> {
    let built = program::cargo()
        .args(["build", "--quiet", "--locked", "--target-dir"])
        .arg(target)
        .current_dir(package)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Missing::new(format!("cargo does not run: {error}"), "install Rust"))?;
    if built.status.success() {
        return Ok(target.join("debug"));
    }
    let said = String::from_utf8_lossy(&built.stderr);
    let remedy = format!("run `cargo build` in {}. It said: {}", package.display(), said.trim());
    Err(Missing::new("they do not build", remedy))
}

/// A running driver. It is killed when this is dropped, or the test's process ends.
#[derive(Debug)]
pub struct Driver {
    child: Child,
    _watch: Option<Watch>,
    lines: Lines<BufReader<ChildStdout>>,
    complaints: Arc<Mutex<String>>,
    /// Everything that it printed.
    received: Vec<Seen>,
}

impl Driver {
    /// Starts a driver for a stream.
    pub fn start(mut command: Command, url: &str) -> Self {
        let mut child = command
            .arg(url)
            .args(NAMES)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Some drivers start other programs.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let watch = Watch::over_group(&child);
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let complaints = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().expect("it is piped");
        let collected = complaints.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
                let text = String::from_utf8_lossy(&buffer[..length]);
                collected.lock().expect("nothing panics here").push_str(&text);
            }
        });
        Self { child, _watch: watch, lines, complaints, received: Vec::new() }
    }

    /// Everything that its client received so far.
    pub fn received(&self) -> &[Seen] {
        &self.received
    }

    /// The number of these events, without status events.
    pub fn count(&self) -> usize {
        self.received.iter().filter(|seen| seen.event != STATUS_EVENT).count()
    }

    /// The last status event.
    pub fn status(&self) -> Option<&Seen> {
        self.received.iter().rev().find(|seen| seen.event == STATUS_EVENT)
    }

    /// Waits for the next event.
    ///
    /// # Errors
    ///
    /// When the driver ends or prints something else.
    pub async fn advance(&mut self) -> Result<(), String> {
        match self.lines.next_line().await {
            Ok(Some(line)) => {
                self.received.push(Seen::parse(&line)?);
                Ok(())
            }
            Ok(None) => Err("the driver has ended".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Its standard error so far.
    pub fn complaints(&self) -> String {
        self.complaints.lock().expect("nothing panics here").clone()
    }

    /// Asks it to end, and waits for that.
    pub async fn end(mut self) {
        self.signal(Signal::TERM);
        within("the end of a driver", self.child.wait()).await.expect("it is our child");
    }

    /// Signals its process group. The id of the group cannot be reused before its leader was waited for.
    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(id) = id {
            // Fails when it has already ended.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
