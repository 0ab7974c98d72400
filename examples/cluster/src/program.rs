//! Programs as processes that end with this one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a program may take to start or to end.
const LIMIT: Duration = Duration::from_secs(10);

/// Builds a package of the workspace as this one was built. Returns where its program is.
///
/// One at a time: for several, Cargo would unite the features, and build their dependencies again.
///
/// # Errors
///
/// When Cargo cannot be run, or does not build it; it says more on standard error.
pub(crate) async fn build(package: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    command.args(["--package", package]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // Cargo's variables for this package would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let is_of_package =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(name);
        }
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.kill_on_drop(true);
    let output = command.output().await.map_err(|error| format!("cargo does not run: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo cannot build {package}"));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let mut messages = said.lines().filter_map(|line| serde_json::from_str(line).ok());
    let program = messages.find_map(|message: serde_json::Value| {
        let is_it = message["target"]["name"] == package;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
    });
    program.ok_or_else(|| format!("{package} has no program of its name"))
}

/// The path of a program that was built before.
pub(crate) fn in_folder(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).with_extension(std::env::consts::EXE_EXTENSION)
}

/// A running program. It is killed when this is dropped, and when this process is killed.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    id: u32,
    #[cfg(unix)]
    _watch: Child,
}

impl Running {
    /// Starts a program. Ctrl-C does not reach it, so that this process decides what ends first.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn start(mut command: Command) -> Result<Self, String> {
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        #[cfg(unix)]
        command.process_group(0);
        command.kill_on_drop(true).stdin(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{name}: does not start: {error}"))?;
        let id = child.id().unwrap_or_default();
        Ok(Self {
            child,
            id,
            #[cfg(unix)]
            _watch: watch(id)?,
        })
    }

    /// Starts a hub, and waits until it prints its address: `http://127.0.0.1:3000`.
    ///
    /// # Errors
    ///
    /// When it does not; its own errors are on standard error.
    pub(crate) async fn start_hub(program: &Path, log: &str) -> Result<(Self, String), String> {
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--demo", "false", "--log", log]);
        // The loads have none.
        command.env_remove("TIDINGS_TOKEN");
        command.stdout(Stdio::piped());
        let mut running = Self::start(command)?;
        let Some(stdout) = running.child.stdout.take() else {
            return Err("hub has no standard output".to_owned());
        };
        let mut greeting = String::new();
        let mut stdout = BufReader::new(stdout);
        let said = timeout(LIMIT, stdout.read_line(&mut greeting)).await;
        let url = greeting.split_whitespace().find(|word| word.starts_with("http://"));
        match (said, url) {
            (Ok(Ok(_)), Some(url)) => Ok((running, url.trim_end_matches('/').to_owned())),
            _ => Err("hub: does not print its address".to_owned()),
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The processor time that it has taken, by Linux's `/proc`; `None` elsewhere.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id)).ok()?;
        // After the name, which may contain anything, come the state and ten more fields.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        // A tick is a hundredth of a second on every Linux.
        Some(Duration::from_millis((ticks()? + ticks()?) * 10))
    }

    /// Its output, when it has ended.
    pub(crate) async fn output(self) -> std::io::Result<std::process::Output> {
        self.child.wait_with_output().await
    }

    /// Asks it to end, and waits until it has, or kills it after a while.
    pub(crate) async fn end(mut self) {
        #[cfg(unix)]
        ask_to_end(self.id);
        #[cfg(not(unix))]
        drop(self.child.start_kill());
        // It is killed when it is dropped.
        let _ = timeout(LIMIT, self.child.wait()).await;
    }
}

/// A shell that kills a process when this one is gone, whatever has ended it: it reads from a pipe that nobody writes to
/// and that ends with this process.
#[cfg(unix)]
fn watch(id: u32) -> Result<Child, String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"read -r _; kill -9 "$1""#, "watch", &id.to_string()]);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.process_group(0).kill_on_drop(true);
    shell.spawn().map_err(|error| format!("sh: does not start: {error}"))
}

/// SIGTERM.
#[cfg(unix)]
fn ask_to_end(id: u32) {
    use rustix::process::{Pid, Signal, kill_process};

    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It may have ended already.
        let _ = kill_process(id, Signal::TERM);
    }
}
