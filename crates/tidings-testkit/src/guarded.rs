//! Servers that end with the test, even if it is killed.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limit::within;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

/// Runs a program, prints its process id first, and kills it when standard input ends: at the latest when the test's
/// process has ended. Ends with the program.
const GUARD: &str = r#"
  exec 3<&0
  sh -c 'echo "$$"; exec "$@"' guarded "$@" </dev/null 3<&- & program=$!
  { cat <&3; kill -9 "$program"; } >/dev/null 2>&1 & guard=$!
  wait "$program"
  kill "$guard"
"#;

/// A program that runs until it is [killed](Self::kill) or dropped.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    stdin: Option<ChildStdin>,
    pid: Pid,
    said: Arc<Mutex<String>>,
    lines: watch::Receiver<usize>,
}

impl Guarded {
    /// Starts a program.
    ///
    /// # Panics
    ///
    /// When there is no shell.
    pub async fn start(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(program).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut guard = command.spawn().expect("a shell starts");
        let stdin = guard.stdin.take();
        let mut stdout = BufReader::new(guard.stdout.take().expect("it is piped")).lines();
        let mut stderr = BufReader::new(guard.stderr.take().expect("it is piped")).lines();
        let line = within("the guard's first line", stdout.next_line()).await;
        let pid = line.expect("a line of text").and_then(|line| Pid::from_raw(line.parse().ok()?));
        let (count, lines) = watch::channel(0);
        let said = Arc::new(Mutex::new(String::new()));
        let collected = said.clone();
        tokio::spawn(async move {
            // Reads both, so that neither pipe fills up.
            loop {
                let line = tokio::select! {
                    Ok(Some(line)) = stdout.next_line() => line,
                    Ok(Some(line)) = stderr.next_line() => line,
                    else => return,
                };
                let mut said = collected.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
                drop(said);
                count.send_modify(|count| *count += 1);
            }
        });
        Self { guard, stdin, pid: pid.expect("the guard names a process"), said, lines }
    }

    /// Waits until it has printed a line that contains `what`, and returns the line. `None` if it ends before.
    pub async fn says(&mut self, what: &str) -> Option<String> {
        loop {
            let found = self.said().lines().find(|line| line.contains(what)).map(str::to_owned);
            if found.is_some() {
                return found;
            }
            within(what, self.lines.changed()).await.ok()?;
        }
    }

    /// Everything that it has printed so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it runs");
    }

    /// Kills it, and waits until it has ended.
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        drop(self.stdin.take());
        within("the guard's end", self.guard.wait()).await.expect("it is our child");
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The guard may be killed before it notices that its input has ended.
        let _ = kill_process(self.pid, Signal::KILL);
    }
}
