//! A server in its own process, and what the system knows of that.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cores;
use crate::error::Error;
use crate::servers::Server;
use crate::servers::nchan::Nchan;

/// How long a server may take to start, even under callgrind.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    addr: SocketAddr,
    folder: TempDir,
}

/// Processor time in user space and in the kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Process {
    /// Starts a server on a free port.
    pub(crate) fn start(server: Server) -> Result<Self, Error> {
        Self::start_under(server, |_| Vec::new())
    }

    /// As [`start`](Self::start), run by another program. `instrument` returns its command line. The
    /// program may write into the folder.
    pub(crate) fn start_under(
        server: Server,
        instrument: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Self, Error> {
        let folder = TempDir::new()?;
        let mut command = instrument(folder.path());
        let known = if server == Server::Nchan {
            let (nginx, addr) = Nchan::find().map_err(Error::new)?.command(folder.path())?;
            command.extend(nginx);
            Some(addr)
        } else {
            command.push(env::current_exe()?.display().to_string());
            command.extend(["serve".into(), server.name(), "--listen".into()]);
            command.push("127.0.0.1:0".into());
            None
        };
        let (program, arguments) =
            command.split_first().ok_or_else(|| Error::new("the command is missing"))?;
        let spawned = cores::for_server(|| {
            Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(fs::File::create(folder.path().join("stderr"))?)
                .spawn()
        });
        let child = spawned.map_err(|error| Error::from(error).within(program))?;
        // The server prints the real one.
        let addr = known.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut process = Self { child, addr, folder };
        match known {
            None => process.addr = process.greeting()?,
            Some(addr) => process.until_it_listens(addr)?,
        }
        Ok(process)
    }

    fn greeting(&mut self) -> Result<SocketAddr, Error> {
        let stdout =
            self.child.stdout.take().ok_or_else(|| Error::new("standard output is not piped"))?;
        let mut greeting = String::new();
        BufReader::new(stdout).read_line(&mut greeting)?;
        let addr = greeting.split_once("http://").and_then(|(_, url)| url.trim().strip_suffix('/'));
        addr.and_then(|addr| addr.parse().ok()).ok_or_else(|| {
            Error::new(format!("the server does not print its address: {}", self.complaints()))
        })
    }

    fn until_it_listens(&mut self, addr: SocketAddr) -> Result<(), Error> {
        let began = Instant::now();
        while TcpStream::connect(addr).is_err() {
            if self.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                let complaints = self.complaints();
                return Err(Error::new(format!("the server does not listen: {complaints}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it has written to its standard error.
    pub(crate) fn complaints(&self) -> String {
        let complaints = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&complaints).trim().to_owned()
    }

    /// The address on which it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its proportional set size in KiB, without the pages of files. How many of those count depends
    /// on other processes of the same program. It is read from Linux's `/proc`, as are the times.
    pub(crate) fn memory(&self) -> Result<u64, Error> {
        let smaps = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()))?;
        memory(&smaps).ok_or_else(|| Error::new("the memory of the process is unavailable"))
    }

    /// The processor time that it has used, in ticks of 10 ms.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime, Error> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        cpu_time(&stat)
            .ok_or_else(|| Error::new("the processor time of the process is unavailable"))
    }

    /// The processor time of its current threads, user and system, in nanoseconds.
    pub(crate) fn time_on_cpu(&self) -> Result<Duration, Error> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // A thread may have ended just now.
            let schedstat = fs::read_to_string(thread?.path().join("schedstat"));
            let schedstat = schedstat.unwrap_or_default();
            let on_cpu = schedstat.split(' ').next().and_then(|field| field.parse::<u64>().ok());
            nanoseconds += on_cpu.unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // This fails if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Anonymous and shared memory. nginx keeps its messages in the latter.
fn memory(smaps: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let line = smaps.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(kib("Pss_Anon:")? + kib("Pss_Shmem:")?)
}

/// Fields 14 and 15 of `/proc/PID/stat`, of which the second may have spaces in it.
fn cpu_time(stat: &str) -> Option<CpuTime> {
    /// As user space sees them, whatever the kernel's own ticks are.
    const TICKS_PER_SECOND: u64 = 100;

    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || -> Option<Duration> {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    };
    Some(CpuTime { user: ticks()?, system: ticks()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_files_do_not_count_as_memory() {
        let smaps = "Rss: 900 kB\nPss: 700 kB\nPss_Dirty: 1 kB\nPss_Anon:  400 kB\n\
                     Pss_File: 250 kB\nPss_Shmem: 50 kB\n";
        assert_eq!(memory(smaps), Some(450));
        assert_eq!(memory("Rss: 900 kB\n"), None);
    }

    #[test]
    fn processor_time_is_found_after_a_name_with_spaces() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 95 0 0 0 12 345 0 0 20 0 1 0 100 8 9";
        let expected =
            CpuTime { user: Duration::from_millis(120), system: Duration::from_millis(3450) };
        assert_eq!(cpu_time(stat), Some(expected));
    }
}
