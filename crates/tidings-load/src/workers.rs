//! Processes that have a share of the clients each.
//!
//! A worker is this program again, with a hidden argument. It reads lines of JSON from its
//! standard input, [`Order`]s, and writes lines of JSON to its standard output, [`Word`]s. When
//! its input ends, so does it: no worker outlives the process that has started it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, Stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::tally::{Sample, Tally};
use crate::{Fleet, LoadError, LoadErrorKind, Plan};

/// The argument that makes the program a worker.
pub const WORKER_ARGUMENT: &str = "--worker";

/// How long a worker's last word may take, beyond what it was allowed to wait for.
const LAST_WORD: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Start { plan: Box<Plan>, server: SocketAddr },
    Finish { settle: Duration },
}

#[derive(Debug, Serialize, Deserialize)]
enum Word {
    Sample(Sample),
    /// Nobody gets a stream, for this reason.
    Failed(String),
    Tally(Box<Tally>),
}

/// The processes of one load.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    words: mpsc::UnboundedReceiver<Word>,
    /// Those that were read while something else was waited for.
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Worker {
    stdin: ChildStdin,
    /// Killed when it is dropped.
    _child: Child,
}

impl Workers {
    pub(crate) async fn start(
        plan: &Plan,
        server: SocketAddr,
        processes: usize,
        program: Option<&Path>,
    ) -> Result<Self, LoadError> {
        let cannot = |error: std::io::Error| {
            let message = format!("cannot start a worker process: {error}");
            LoadError::new(LoadErrorKind::System, message).with_source(error)
        };
        let program: PathBuf = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().map_err(cannot)?,
        };
        let (say, words) = mpsc::unbounded_channel();
        let mut workers = Vec::new();
        for process in 0..processes {
            let mut child = Command::new(&program)
                .arg(WORKER_ARGUMENT)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(cannot)?;
            let none = || cannot(std::io::ErrorKind::BrokenPipe.into());
            let mut stdin = child.stdin.take().ok_or_else(none)?;
            let stdout = child.stdout.take().ok_or_else(none)?;
            let plan = Box::new(plan.share(process, processes));
            give(&mut stdin, &Order::Start { plan, server }).await.map_err(cannot)?;
            tokio::spawn(listen(stdout, say.clone()));
            workers.push(Worker { stdin, _child: child });
        }
        Ok(Self { workers, words, samples: Vec::new() })
    }

    /// The samples that have come.
    pub(crate) fn take_samples(&mut self) -> Vec<Sample> {
        while let Ok(word) = self.words.try_recv() {
            if let Word::Sample(sample) = word {
                self.samples.push(sample);
            }
        }
        std::mem::take(&mut self.samples)
    }

    /// Waits until a worker says that nobody gets a stream, or until one is gone: why.
    pub(crate) async fn failed(&mut self) -> String {
        loop {
            match self.words.recv().await {
                Some(Word::Sample(sample)) => self.samples.push(sample),
                Some(Word::Failed(reason)) => return reason,
                Some(Word::Tally(_)) => {}
                None => return "the worker processes are gone".to_owned(),
            }
        }
    }

    /// Ends the workers; what they have measured.
    pub(crate) async fn finish(&mut self, settle: Duration) -> Result<Tally, LoadError> {
        for worker in &mut self.workers {
            // One that is gone is missed below.
            let _ = give(&mut worker.stdin, &Order::Finish { settle }).await;
        }
        let mut all = Tally::default();
        let mut missing = self.workers.len();
        let listen = async {
            while missing > 0 {
                match self.words.recv().await {
                    Some(Word::Tally(tally)) => {
                        all.add(&tally);
                        missing -= 1;
                    }
                    Some(Word::Sample(sample)) => self.samples.push(sample),
                    Some(Word::Failed(_)) => {}
                    None => return,
                }
            }
        };
        let _ = tokio::time::timeout(settle + LAST_WORD, listen).await;
        match missing {
            0 => Ok(all),
            missing => {
                let message = format!("{missing} worker processes ended without a result");
                Err(LoadError::new(LoadErrorKind::System, message))
            }
        }
    }
}

async fn give(stdin: &mut ChildStdin, order: &Order) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    stdin.write_all(&line).await?;
    stdin.flush().await
}

async fn listen(stdout: ChildStdout, say: mpsc::UnboundedSender<Word>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(word) = serde_json::from_str(&line) else { continue };
        if say.send(word).is_err() {
            return;
        }
    }
}

/// Is a worker: what a program does that was started with [`WORKER_ARGUMENT`], and with nothing
/// else. Returns when the process that has started it wants no more.
///
/// # Errors
///
/// When the clients cannot be started; the first line of input says which.
pub async fn work() -> Result<(), LoadError> {
    // Ctrl-C goes to all processes of a terminal; when to end is the first one's affair.
    tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let Some(Order::Start { plan, server }) = next_order(&mut orders).await else {
        return Ok(());
    };
    crate::files::allow(plan.sockets())?;
    let every = plan.sample_every;
    let fleet = Fleet::start_at(*plan, server)?;
    let mut ticks = tokio::time::interval(every);
    let mut said_failed = false;
    let settle = loop {
        tokio::select! {
            order = next_order(&mut orders) => match order {
                Some(Order::Finish { settle }) => break settle,
                _ => return Ok(()),
            },
            () = fleet.failed(), if !said_failed => {
                said_failed = true;
                say(&Word::Failed(fleet.reason()));
            }
            _ = ticks.tick() => {
                for sample in fleet.take_samples() {
                    say(&Word::Sample(sample));
                }
            }
        }
    };
    fleet.settle(settle).await;
    fleet.thaw().await;
    for sample in fleet.take_samples() {
        say(&Word::Sample(sample));
    }
    say(&Word::Tally(Box::new(fleet.tally())));
    fleet.close().await;
    Ok(())
}

async fn next_order(orders: &mut Lines<BufReader<Stdin>>) -> Option<Order> {
    serde_json::from_str(&orders.next_line().await.ok()??).ok()
}

fn say(word: &Word) {
    if let Ok(line) = serde_json::to_string(word) {
        // Nobody may listen any more; then standard input ends, too.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
