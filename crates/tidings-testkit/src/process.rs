//! Programs of the workspace, as processes that end with the test.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, LazyLock, Mutex};

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::limit::within;
use crate::program;
use crate::watch::Watch;

/// An argument: any free port of the loopback interface.
pub const ANY_PORT: &str = "127.0.0.1:0";

/// A server in its own process. It is killed when it is dropped, when the test panics, and when the test is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    child: Child,
    watch: Option<Watch>,
    addr: SocketAddr,
    greeting: String,
    /// Its standard error so far.
    complaints: Arc<Mutex<String>>,
}

impl Process {
    /// [Builds](program::build) a package of the workspace, starts its program on a free port of 127.0.0.1, and
    /// waits until it listens.
    pub async fn start(package: &str) -> Self {
        Self::start_with(package, &["--listen", ANY_PORT]).await
    }

    /// As [`start`](Self::start), with other arguments, among them [`ANY_PORT`].
    pub async fn start_with(package: &str, arguments: &[&str]) -> Self {
        Self::start_in(package, arguments, &[]).await
    }

    /// As [`start_with`](Self::start_with), with additional environment variables.
    pub async fn start_in(package: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        let environment =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Self::spawn(package, built(package).await, arguments, environment).await
    }

    /// As [`start_with`](Self::start_with). The process may open no more than `files` files. On Unix.
    pub async fn start_with_files(package: &str, arguments: &[&str], files: u32) -> Self {
        // The shell becomes the program.
        let shell = ["sh", "-c", r#"ulimit -n "$0" && exec "$@""#, &files.to_string()];
        Self::start_through(&shell, package, arguments).await
    }

    /// As [`start_with`](Self::start_with). The process runs on this core of the machine only. On Linux.
    pub async fn start_on_core(package: &str, arguments: &[&str], core: u32) -> Self {
        Self::start_through(&["taskset", "-c", &core.to_string()], package, arguments).await
    }

    /// A program that becomes the one that it is given.
    async fn start_through(first: &[&str], package: &str, arguments: &[&str]) -> Self {
        let program = built(package).await.into_os_string().into_string().expect("a path of text");
        let arguments = [&first[1..], &[&program], arguments].concat();
        let arguments = arguments.iter().map(|argument| argument.to_string()).collect();
        Self::spawn(package, first[0].into(), arguments, Vec::new()).await
    }

    /// Runs this test binary again, as a server: the tests whose names contain `filter`. The one that finds what it needs
    /// in the environment prints its address and serves.
    pub async fn of_this_test_binary(filter: &str, environment: &[(&str, &str)]) -> Self {
        let program = std::env::current_exe().expect("the path of this binary");
        let arguments = [filter, "--nocapture"].map(str::to_owned).into();
        let environment =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Self::spawn(filter, program, arguments, environment).await
    }

    async fn spawn(
        name: &str,
        program: PathBuf,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Self {
        let mut child = command(&program)
            .args(&arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let watch = Watch::over(&child);
        let complaints = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().expect("standard error is piped"));
        let collected = complaints.clone();
        tokio::spawn(async move {
            let mut line = String::new();
            while stderr.read_line(&mut line).await.is_ok_and(|length| length > 0) {
                collected.lock().expect("nothing panics here").push_str(&line);
                line.clear();
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut greeting = String::new();
        let addr = within("the address in its output", async {
            loop {
                greeting.clear();
                let length = stdout.read_line(&mut greeting).await.expect("a line of text");
                if let Some(addr) = address_in(&greeting) {
                    return addr;
                }
                let complaints = complaints.lock().expect("nothing panics here");
                assert_ne!(length, 0, "{name} does not print its address: {complaints:?}");
            }
        })
        .await;
        // The process would block if nobody read its output.
        tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
        let name = name.to_owned();
        Self { name, program, arguments, environment, child, watch, addr, greeting, complaints }
    }

    /// Runs a program of the workspace to its end.
    pub async fn run(package: &str, arguments: &[&str]) -> Output {
        let output = command(&built(package).await).args(arguments).output();
        within("the end of the program", output).await.expect("the program starts")
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The line of output with its address.
    pub fn greeting(&self) -> &str {
        self.greeting.trim_end()
    }

    /// Its standard error so far.
    pub fn complaints(&self) -> String {
        self.complaints.lock().expect("nothing panics here").clone()
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        within("the end of a killed process", self.child.kill()).await.expect("it is ours to kill");
        self.watch = None;
    }

    /// Kills it, and restarts it on the same port.
    pub async fn kill_and_restart(mut self) -> Self {
        self.kill().await;
        self.restart().await
    }

    /// Restarts it on the same port, after it has ended.
    pub async fn restart(mut self) -> Self {
        let on_its_port = |argument: String| match argument.as_str() {
            ANY_PORT => self.addr.to_string(),
            _ => argument,
        };
        let arguments = std::mem::take(&mut self.arguments).into_iter().map(on_its_port).collect();
        Self::spawn(&self.name, self.program, arguments, self.environment).await
    }

    /// Sends SIGTERM.
    #[cfg(unix)]
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops it until [`resume`](Self::resume): sends SIGSTOP.
    #[cfg(unix)]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues it: sends SIGCONT.
    #[cfg(unix)]
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends any signal.
    #[cfg(unix)]
    pub fn signal(&self, signal: Signal) {
        let id = self.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(id.expect("it has not ended"), signal).expect("it is our child");
    }

    /// Its process id, until it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = within("the end of the process", self.child.wait()).await;
        self.watch = None;
        status.expect("it is our child")
    }

    /// Its own memory in bytes: the proportional set size of anonymous memory, which does not depend on which pages of
    /// the program were read from disk.
    ///
    /// `None` except on Linux, which has `/proc`.
    pub fn memory(&self) -> Option<usize> {
        let smaps = format!("/proc/{}/smaps_rollup", self.child.id()?);
        let smaps = std::fs::read_to_string(smaps).ok()?;
        let line = smaps.lines().find_map(|line| line.strip_prefix("Pss_Anon:"))?;
        let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    }

    /// The first 15 bytes of the names of its threads. `None` except on Linux.
    pub fn threads(&self) -> Option<Vec<String>> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()?)).ok()?;
        let names = tasks.filter_map(|task| {
            let name = std::fs::read_to_string(task.ok()?.path().join("comm")).ok()?;
            Some(name.trim_end().to_owned())
        });
        Some(names.collect())
    }

    /// How many files it has open, connections among them. `None` except on Linux.
    pub fn open_files(&self) -> Option<usize> {
        Some(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()?)).ok()?.count())
    }
}

/// The address in `… http://127.0.0.1:3000/ …`, or with `https`.
fn address_in(greeting: &str) -> Option<SocketAddr> {
    let (_, url) = greeting.split_once("://")?;
    url.split_once('/')?.0.parse().ok()
}

/// The program of a package, built in the profile of the tests.
async fn built(package: &str) -> PathBuf {
    static BUILT: LazyLock<tokio::sync::Mutex<HashMap<String, PathBuf>>> =
        LazyLock::new(Default::default);

    let mut built = BUILT.lock().await;
    match built.get(package) {
        Some(program) => program.clone(),
        None => {
            let name = package.to_owned();
            let building = tokio::task::spawn_blocking(move || program::build(&name));
            let program = building.await.expect("it builds");
            built.insert(package.to_owned(), program.clone());
            program
        }
    }
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_the_greeting() {
        let greeting = "Tidings hub on axum: open http://127.0.0.1:3000/ in a browser\n";
        assert_eq!(address_in(greeting), Some(([127, 0, 0, 1], 3000).into()));
        assert_eq!(address_in("cannot listen"), None);
    }
}
