//! Processes that each have a share of the clients.
//!
//! A worker is this program with a hidden argument. It reads [`Command`]s as lines of JSON from its
//! standard input, and writes [`Report`]s as lines of JSON to its standard output. It ends when its
//! input ends, so no worker outlives the process that has started it.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::counts::{Sample, Tally};
use crate::fleet::SETTLE;
use crate::publisher::LastEvent;
use crate::report::refusal;
use crate::{Fleet, LoadError, LoadErrorKind, Plan, Target};

/// The argument that makes the program a worker.
pub const WORKER_ARGUMENT: &str = "--worker";
/// Set for a worker, which may not start others: a program that does not call [`work`] would start
/// itself without end.
const WORKER_VARIABLE: &str = "TIDINGS_LOAD_WORKER";

/// How long a worker may take to report, in addition to the time that it waits for deliveries.
const REPORT_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Start { plan: Box<Plan>, server: SocketAddr },
    Finish { last: Option<LastEvent> },
}

#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Sample(Sample),
    /// No client gets a stream, for this reason.
    Failed(String),
    Tally(Box<Tally>),
    /// The worker with this number has ended. No worker says so, but the end of its output.
    #[serde(skip)]
    Ended(usize),
}

/// The processes of one load.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    reports: mpsc::UnboundedReceiver<Report>,
    /// Samples that nobody has taken yet.
    samples: Vec<Sample>,
    /// Why workers have failed, one reason for each.
    failures: Vec<String>,
    /// A worker that has ended.
    ended: Option<usize>,
}

#[derive(Debug)]
struct Worker {
    stdin: ChildStdin,
    /// Killed when it is dropped.
    child: Child,
}

impl Workers {
    pub(crate) async fn start(
        plan: &Plan,
        server: SocketAddr,
        processes: usize,
        program: Option<&Path>,
    ) -> Result<Self, LoadError> {
        let cannot = |error: io::Error| {
            let message = format!("cannot start a worker process: {error}");
            LoadError::new(LoadErrorKind::System, message).with_source(error)
        };
        let program: PathBuf = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().map_err(cannot)?,
        };
        let (sender, reports) = mpsc::unbounded_channel();
        let mut workers = Vec::new();
        for process in 0..processes {
            let mut child = command(&program).spawn().map_err(cannot)?;
            let no_pipe = || cannot(ErrorKind::BrokenPipe.into());
            let mut stdin = child.stdin.take().ok_or_else(no_pipe)?;
            let stdout = child.stdout.take().ok_or_else(no_pipe)?;
            let plan = Box::new(plan.share(process, processes));
            send(&mut stdin, &Command::Start { plan, server }).await.map_err(cannot)?;
            tokio::spawn(read_reports(process, stdout, sender.clone()));
            workers.push(Worker { stdin, child });
        }
        Ok(Self { workers, reports, samples: Vec::new(), failures: Vec::new(), ended: None })
    }

    /// Takes the samples since the last call.
    pub(crate) fn take_samples(&mut self) -> Vec<Sample> {
        while let Ok(report) = self.reports.try_recv() {
            let _ = self.note(report);
        }
        std::mem::take(&mut self.samples)
    }

    /// Waits until every worker has reported that none of its clients gets a stream, or until one
    /// has ended.
    pub(crate) async fn failed(&mut self, target: &Target) -> LoadError {
        loop {
            if let Some(process) = self.ended {
                return self.end_of(process).await;
            }
            if self.failures.len() >= self.workers.len() {
                let reason = self.failures.first().map_or("", String::as_str);
                return refusal(target, "", reason);
            }
            match self.reports.recv().await {
                Some(report) => drop(self.note(report)),
                None => {
                    let message = "the worker processes have ended";
                    return LoadError::new(LoadErrorKind::System, message);
                }
            }
        }
    }

    /// The error of a worker that has ended before its time.
    async fn end_of(&mut self, process: usize) -> LoadError {
        let mut message = "a worker process has ended".to_owned();
        if let Some(worker) = self.workers.get_mut(process)
            && let Ok(Ok(status)) = timeout(REPORT_LIMIT, worker.child.wait()).await
        {
            message.push_str(&format!(": {status}"));
        }
        LoadError::new(LoadErrorKind::System, message)
    }

    /// Keeps what a worker has reported, except its result, which it returns.
    fn note(&mut self, report: Report) -> Option<Box<Tally>> {
        match report {
            Report::Sample(sample) => self.samples.push(sample),
            Report::Failed(reason) => self.failures.push(reason),
            Report::Tally(tally) => return Some(tally),
            Report::Ended(process) => self.ended = Some(process),
        }
        None
    }

    /// Ends the workers, and returns what they have measured.
    pub(crate) async fn finish(&mut self, last: Option<LastEvent>) -> Result<Tally, LoadError> {
        for worker in &mut self.workers {
            // A worker that has ended does not report below.
            let _ = send(&mut worker.stdin, &Command::Finish { last }).await;
        }
        let mut all = Tally::default();
        let mut missing = self.workers.len();
        let collect = async {
            while missing > 0 {
                let Some(report) = self.reports.recv().await else { return };
                if let Some(tally) = self.note(report) {
                    all.add(&tally);
                    missing -= 1;
                }
            }
        };
        let _ = timeout(SETTLE + REPORT_LIMIT, collect).await;
        match missing {
            0 => Ok(all),
            missing => {
                let message = format!("{missing} worker processes ended without a result");
                Err(LoadError::new(LoadErrorKind::System, message))
            }
        }
    }
}

/// An error in a process that was started as a worker.
pub(crate) fn refuse_in_worker() -> Result<(), LoadError> {
    if std::env::var_os(WORKER_VARIABLE).is_none() {
        return Ok(());
    }
    let message = format!(
        "this process is a worker: its program must call tidings_load::work if its only argument \
         is {WORKER_ARGUMENT}"
    );
    Err(LoadError::new(LoadErrorKind::System, message))
}

fn command(program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command.arg(WORKER_ARGUMENT).env(WORKER_VARIABLE, "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn send(stdin: &mut ChildStdin, command: &Command) -> io::Result<()> {
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    stdin.write_all(&line).await?;
    stdin.flush().await
}

async fn read_reports(process: usize, stdout: ChildStdout, reports: mpsc::UnboundedSender<Report>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(report) = serde_json::from_str(&line) else { continue };
        if reports.send(report).is_err() {
            return;
        }
    }
    let _ = reports.send(Report::Ended(process));
}

/// Runs a worker. A program must call it if [`WORKER_ARGUMENT`] is its only argument. It returns
/// when the process that has started it asks for the result, or has ended.
///
/// # Errors
///
/// If the clients cannot be started.
pub async fn work() -> Result<(), LoadError> {
    // Ctrl-C reaches all processes of a terminal. The one that started the workers decides.
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    let Some(Command::Start { plan, server }) = next_command(&mut commands).await else {
        return Ok(());
    };
    crate::files::allow(plan.sockets())?;
    let every = plan.sample_every;
    let fleet = Fleet::start_at(*plan, server)?;
    let report_samples = || fleet.take_samples().into_iter().map(Report::Sample).for_each(report);
    let mut ticks = tokio::time::interval(every);
    let mut has_failed = false;
    let last = loop {
        tokio::select! {
            command = next_command(&mut commands) => match command {
                Some(Command::Finish { last }) => break last,
                _ => return Ok(()),
            },
            () = fleet.failed(), if !has_failed => {
                has_failed = true;
                report(Report::Failed(fleet.reason()));
            }
            _ = ticks.tick() => report_samples(),
        }
    };
    let tally = fleet.finish(last).await;
    report_samples();
    report(Report::Tally(Box::new(tally)));
    fleet.close().await;
    Ok(())
}

async fn next_command(commands: &mut Lines<BufReader<Stdin>>) -> Option<Command> {
    serde_json::from_str(&commands.next_line().await.ok()??).ok()
}

fn report(report: Report) {
    if let Ok(line) = serde_json::to_string(&report) {
        // If the reader has ended, so does standard input.
        let _ = writeln!(io::stdout(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_told_that_it_is_one() {
        let command = command(Path::new("x"));
        let mut told = command.as_std().get_envs();
        assert!(told.any(|(name, value)| name == WORKER_VARIABLE && value.is_some()));
    }
}
