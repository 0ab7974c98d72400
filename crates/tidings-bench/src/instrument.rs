//! Counts the server's instructions: by the processor's counters if they are available, or else in
//! callgrind.

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

/// What counts instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Instrument {
    /// The processor's counters, by `perf stat`.
    Perf,
    /// callgrind of valgrind, which executes and counts user instructions one by one.
    Callgrind,
}

/// Totals.
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

/// A count in progress.
#[derive(Debug)]
pub(crate) struct Counting(Option<Child>);

/// The events that perf counts.
const EVENTS: &str = "instructions:u,instructions:k,cycles";

/// Keeps glibc from copying with `rep movsb`: one instruction for the processor, but for callgrind one
/// for every byte. With vector instructions the two agree.
const TUNABLES: &str = "glibc.cpu.hwcaps=-ERMS,-FSRM";

/// The name of callgrind's output, to which it adds the number of a dump.
const OUTPUT: &str = "callgrind.out";

impl Instrument {
    /// The best instrument that works on this machine.
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
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        if has("valgrind") && has("vgdb") {
            return Ok(Self::Callgrind);
        }
        Err(Error::new(
            "neither perf nor valgrind can count instructions; install the package valgrind",
        ))
    }

    /// Starts a server under this instrument.
    pub(crate) fn start(self, server: Server) -> Result<Instrumented, Error> {
        let process = match self {
            Self::Perf => Process::start(server)?,
            Self::Callgrind => Process::start_under(server, |folder| {
                vec![
                    "env".into(),
                    format!("GLIBC_TUNABLES={TUNABLES}"),
                    "valgrind".into(),
                    "--tool=callgrind".into(),
                    // Runs fast until it counts.
                    "--instr-atstart=no".into(),
                    // Only one thread runs at a time, and a busy one would starve the others.
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
    /// Prepares to count, before a warm-up. The server may be slow from now on.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        match self.instrument {
            Instrument::Perf => Ok(()),
            Instrument::Callgrind => self.control("instrumentation on"),
        }
    }

    /// Begins to count.
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
                // It does not report when it is attached.
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
    pub(crate) fn end(&self, counting: Counting) -> Result<Counts, Error> {
        match counting.0 {
            Some(perf) => {
                interrupt(&perf)?;
                let output = perf.wait_with_output()?;
                let printed = String::from_utf8_lossy(&output.stderr).into_owned();
                parse_perf(&printed)
                    .ok_or_else(|| Error::new(format!("perf does not count: {printed}")))
            }
            None => {
                let dump = fs::read_to_string(self.dump()?)?;
                let user = parse_callgrind(&dump)
                    .ok_or_else(|| Error::new("callgrind's dump has no totals"))?;
                Ok(Counts { user, kernel: None, cycles: None })
            }
        }
    }

    /// The file with callgrind's counts.
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
        let cause = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::new(format!("vgdb cannot send {command:?} to callgrind: {cause}")))
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

/// perf ends and prints its counts when it is interrupted.
fn interrupt(perf: &Child) -> Result<(), Error> {
    let status = Command::new("kill").args(["-INT", &perf.id().to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(Error::new("perf cannot be interrupted")) }
}

/// The counts in the output of `perf stat -x,`; `None` if it cannot count.
fn parse_perf(output: &str) -> Option<Counts> {
    let count = |event: &str| -> Option<f64> {
        output.lines().find_map(|line| {
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
    fn counters_that_the_processor_lacks_are_none() {
        let output = "148000,,instructions:u,1000,100.00,,\n10035000,,instructions:k,1000,100.00,,\n\
                    <not supported>,,cycles,0,100.00,,\n";
        let expected = Counts { user: 148_000.0, kernel: Some(10_035_000.0), cycles: None };
        assert_eq!(parse_perf(output), Some(expected));
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
