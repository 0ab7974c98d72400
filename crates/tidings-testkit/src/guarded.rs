//! Servers that end with the test, whatever happens to it.

use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::limit::within;
use crate::watch::Watch;

/// A program that runs until it is [killed](Self::kill) or dropped, or the test's process ends.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    _watch: Option<Watch>,
    said: Arc<Mutex<String>>,
    lines: watch::Receiver<usize>,
}

impl Guarded {
    /// Starts a program.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let watch = Watch::over(&child);
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let (count, lines) = watch::channel(0);
        let said = Arc::new(Mutex::new(String::new()));
        let collected = said.clone();
        tokio::spawn(async move {
            // Both are read, because neither may fill up.
            loop {
                let line = tokio::select! {
                    Ok(Some(line)) = stdout.next_line() => line,
                    Ok(Some(line)) = stderr.next_line() => line,
                    else => return,
                };
                let mut said = collected.lock();
                said.push_str(&line);
                said.push('\n');
                drop(said);
                count.send_modify(|count| *count += 1);
            }
        });
        Self { child, _watch: watch, said, lines }
    }

    /// Waits until it has printed something, and returns the first line with it; `None` if it ends before.
    pub async fn says(&mut self, what: &str) -> Option<String> {
        within(what, async {
            loop {
                match self.line_with(what) {
                    Some(line) => return Some(line),
                    None => self.lines.changed().await.ok()?,
                }
            }
        })
        .await
    }

    fn line_with(&self, what: &str) -> Option<String> {
        self.said.lock().lines().find(|line| line.contains(what)).map(str::to_owned)
    }

    /// Everything that it has printed so far.
    pub fn said(&self) -> String {
        self.said.lock().clone()
    }

    /// Stops it until it is [resumed](Self::resume), while it keeps its connections: SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it continue: SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        kill_process(pid.expect("it is running"), signal).expect("it is ours to signal");
    }

    /// Kills it, and waits until it has ended.
    pub async fn kill(mut self) {
        within("the end of a killed program", self.child.kill()).await.expect("it is ours to kill");
    }
}

/// Free ports, all different.
///
/// None of those that the system assigns: while a server is down, a client that connects to it again and again from
/// such ports may be given the server's port, and is then connected to itself.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let free = || {
        let random = RandomState::new().build_hasher().finish();
        let port = 10_000 + u16::try_from(random % 20_000).expect("a small number");
        TcpListener::bind(("127.0.0.1", port)).ok()
    };
    let listeners =
        [(); N].map(|()| (0..1_000).find_map(|_| free()).expect("one port of a thousand is free"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder for temporary files");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry of a folder");
        let to = to.join(entry.file_name());
        match entry.path() {
            folder if folder.is_dir() => copy_folder(&folder, &to),
            file => drop(std::fs::copy(file, to).expect("a file is copied")),
        }
    }
}
