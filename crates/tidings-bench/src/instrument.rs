//! How the server's instructions are counted: by the processor where it lets us, else by running
//! the server in callgrind's simulation.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::process::Process;
use crate::servers::Server;

/// A way to count instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Instrument {
    /// The processor's own counters, by `perf stat`.
    Perf,
    /// valgrind's callgrind, which executes and counts user instructions one by one.
    Callgrind,
}

/// What was counted, in all.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Counts {
    pub(crate) user: f64,
    pub(crate) kernel: Option<f64>,
    pub(crate) cycles: Option<f64>,
}

/// A server whose instructions can be counted.
#[derive(Debug)]
pub(crate) struct Instrumented {
    pub(crate) process: Process,
    instrument: Instrument,
}

/// A count that is under way.
#[derive(Debug)]
pub(crate) struct Counting(Option<Child>);

/// The events that perf counts.
const EVENTS: &str = "instructions:u,instructions:k,cycles";

/// Keeps glibc from copying with `rep movsb`: to the processor that is one instruction, but
/// callgrind counts one for every byte. With vector instructions they agree within some.
const TUNABLES: &str = "glibc.cpu.hwcaps=-ERMS,-FSRM";

/// The name of callgrind's output; its dumps have numbers behind it.
const OUTPUT: &str = "callgrind.out";

impl Instrument {
    /// The best one that works here.
    ///
    /// # Errors
    ///
    /// When none does: what to install.
    pub(crate) fn find() -> Result<Self, Error> {
        let perf = Command::new("perf")
            .args(["stat", "-x,", "-e", EVENTS, "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output();
        if perf.is_ok_and(|output| parse_perf(&String::from_utf8_lossy(&output.stderr)).is_some()) {
            return Ok(Self::Perf);
        }
        let has = |program: &str| {
            let places = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&places).any(|place| place.join(program).is_file())
        };
        if has("valgrind") && has("vgdb") {
            return Ok(Self::Callgrind);
        }
        Err(Error::new(
            "neither perf nor valgrind can count instructions here; install the package valgrind",
        ))
    }

    /// Starts a server so that this can count.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn start(self, server: Server) -> Result<Instrumented, Error> {
        let process = match self {
            Self::Perf => Process::start(server)?,
            Self::Callgrind => Process::start_under(server, |folder| {
                vec![
                    "env".into(),
                    format!("GLIBC_TUNABLES={TUNABLES}"),
                    "valgrind".into(),
                    "--tool=callgrind".into(),
                    // Fast until it counts.
                    "--instr-atstart=no".into(),
                    // Or a busy thread starves the others: only one runs at a time.
                    "--fair-sched=yes".into(),
                    format!("--callgrind-out-file={}", folder.join(OUTPUT).display()),
                    "--quiet".into(),
                ]
            })?,
        };
        Ok(Instrumented { process, instrument: self })
    }
}

impl Instrumented {
    /// Gets ready to count; what follows may be slow. To be called before a warm-up.
    ///
    /// # Errors
    ///
    /// When the instrument does not answer.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        match self.instrument {
            Instrument::Perf => Ok(()),
            Instrument::Callgrind => self.control("instrumentation on"),
        }
    }

    /// Begins to count.
    ///
    /// # Errors
    ///
    /// When the instrument does not answer.
    pub(crate) fn begin(&self) -> Result<Counting, Error> {
        match self.instrument {
            Instrument::Perf => {
                let perf = Command::new("perf")
                    .args(["stat", "-x,", "-e", EVENTS, "-p"])
                    .arg(self.process.id().to_string())
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()?;
                // It does not say when it is attached.
                thread::sleep(Duration::from_millis(300));
                Ok(Counting(Some(perf)))
            }
            Instrument::Callgrind => {
                self.control("zero")?;
                Ok(Counting(None))
            }
        }
    }

    /// Ends a count.
    ///
    /// # Errors
    ///
    /// When the instrument does not tell.
    pub(crate) fn end(&self, counting: Counting) -> Result<Counts, Error> {
        match counting.0 {
            Some(perf) => {
                interrupt(&perf)?;
                let output = perf.wait_with_output()?;
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                parse_perf(&said).ok_or_else(|| Error::new(format!("perf does not count: {said}")))
            }
            None => {
                let dump = fs::read_to_string(self.dump()?)?;
                let user = parse_callgrind(&dump)
                    .ok_or_else(|| Error::new("callgrind's dump has no totals"))?;
                Ok(Counts { user, kernel: None, cycles: None })
            }
        }
    }

    /// Callgrind's dump of what it has counted.
    ///
    /// # Errors
    ///
    /// When it writes none.
    pub(crate) fn dump(&self) -> Result<PathBuf, Error> {
        self.control("dump")?;
        newest_dump(self.process.folder())?
            .ok_or_else(|| Error::new("callgrind has written no dump"))
    }

    fn control(&self, command: &str) -> Result<(), Error> {
        let output = Command::new("vgdb")
            .arg(format!("--pid={}", self.process.id()))
            .arg("--wait=60")
            .args(command.split(' '))
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::new(format!("vgdb cannot tell callgrind to {command}: {said}")))
    }
}

/// The dump with the highest number.
fn newest_dump(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix(OUTPUT).and_then(|rest| rest.strip_prefix('.'));
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            newest = newest.max(Some((number, path.clone())));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// perf ends, and tells, when it is interrupted.
fn interrupt(perf: &Child) -> Result<(), Error> {
    let status = Command::new("kill").args(["-INT", &perf.id().to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(Error::new("perf cannot be interrupted")) }
}

/// The counts in what `perf stat -x,` writes; `None` where it cannot count.
fn parse_perf(said: &str) -> Option<Counts> {
    let count = |event: &str| -> Option<f64> {
        said.lines().find_map(|line| {
            let mut fields = line.split(',');
            let value = fields.next()?;
            fields.any(|field| field == event).then(|| value.parse().ok())?
        })
    };
    Some(Counts {
        user: count("instructions:u")?,
        kernel: count("instructions:k"),
        cycles: count("cycles"),
    })
}

/// The instructions of all threads in callgrind's output.
fn parse_callgrind(dump: &str) -> Option<f64> {
    let line = dump.lines().rev().find_map(|line| line.strip_prefix("totals:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_totals_of_a_callgrind_dump_are_read() {
        let dump = "events: Ir\nsummary: 3923\n\nfn=(1) main\n16 400\n\ntotals: 3949\n";
        assert_eq!(parse_callgrind(dump), Some(3949.0));
        assert_eq!(parse_callgrind("events: Ir\n"), None);
    }

    #[test]
    fn perf_counts_only_what_the_processor_lets_it() {
        let said = "148000,,instructions:u,1000,100.00,,\n10035000,,instructions:k,1000,100.00,,\n\
                    <not supported>,,cycles,0,100.00,,\n";
        let expected = Counts { user: 148_000.0, kernel: Some(10_035_000.0), cycles: None };
        assert_eq!(parse_perf(said), Some(expected));
        assert_eq!(parse_perf("<not supported>,,instructions:u,0,100.00,,\n"), None);
    }

    #[test]
    fn the_newest_dump_is_the_one_with_the_highest_number() {
        let folder = env::temp_dir().join(format!("tidings-bench-dumps-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        for name in ["callgrind.out", "callgrind.out.9", "callgrind.out.10", "stderr"] {
            fs::write(folder.join(name), "").expect("a file can be written");
        }
        let newest = newest_dump(&folder).expect("the folder can be read");
        fs::remove_dir_all(&folder).expect("it is ours to remove");
        assert_eq!(newest, Some(folder.join("callgrind.out.10")));
    }
}
