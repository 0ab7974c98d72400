//! A server as a process of its own, and what the system tells of it.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cores;
use crate::error::Error;
use crate::servers::Server;
use crate::servers::nchan::Nchan;

/// How long a server may take to start, under an instrument.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    addr: SocketAddr,
    folder: Folder,
}

/// Processor time, by where it was spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Process {
    /// Starts a server on a port of its own.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn start(server: Server) -> Result<Self, Error> {
        Self::start_under(server, |_| Vec::new())
    }

    /// As [`start`](Self::start), run by another program: `instrument` is its command line, which
    /// may write into the folder.
    pub(crate) fn start_under(
        server: Server,
        instrument: impl FnOnce(&Path) -> Vec<String>,
    ) -> Result<Self, Error> {
        let folder = Folder::new()?;
        let mut command = instrument(&folder.0);
        let known = if server == Server::Nchan {
            let (nginx, addr) = Nchan::find().map_err(Error::new)?.command(&folder.0)?;
            command.extend(nginx);
            Some(addr)
        } else {
            command.push(env::current_exe()?.display().to_string());
            command.extend(["serve".into(), server.name(), "--listen".into()]);
            command.push("127.0.0.1:0".into());
            None
        };
        let (program, arguments) =
            command.split_first().ok_or_else(|| Error::new("there is nothing to start"))?;
        let spawned = cores::for_server(|| {
            Command::new(program)
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(fs::File::create(folder.0.join("stderr"))?)
                .spawn()
        });
        let child = spawned.map_err(|error| Error::from(error).within(program))?;
        // Any address, until it tells.
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
            Error::new(format!("the server does not say where it listens: {}", self.complaints()))
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
        let complaints = fs::read(self.folder.0.join("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&complaints).trim().to_owned()
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder.0
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its proportional set size in KiB, without the pages of files: how many of those count
    /// depends on who else runs the same program.
    ///
    /// # Errors
    ///
    /// When the system does not tell: this is Linux's `/proc`.
    pub(crate) fn memory(&self) -> Result<u64, Error> {
        let smaps = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()))?;
        memory(&smaps).ok_or_else(|| Error::new("the system does not tell a process's memory"))
    }

    /// The processor time that it has used.
    ///
    /// # Errors
    ///
    /// When the system does not tell: this is Linux's `/proc`.
    pub(crate) fn cpu_time(&self) -> Result<CpuTime, Error> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        cpu_time(&stat).ok_or_else(|| Error::new("the system does not tell processor time"))
    }

    /// The processor time of the threads that it has now, to the nanosecond, wherever it was spent.
    ///
    /// # Errors
    ///
    /// When the system does not tell: this is Linux's `/proc`.
    pub(crate) fn time_on_cpu(&self) -> Result<Duration, Error> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // A thread that has just ended has nothing to tell.
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
        // It fails when the process has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is anonymous, and what is shared memory: nginx keeps its messages there.
fn memory(smaps: &str) -> Option<u64> {
    let kib = |name: &str| -> Option<u64> {
        let line = smaps.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(kib("Pss_Anon:")? + kib("Pss_Shmem:")?)
}

/// Fields 14 and 15 of `/proc/PID/stat`, of which the second may have spaces in it.
fn cpu_time(stat: &str) -> Option<CpuTime> {
    /// What user space is told, whatever the kernel's own ticks are.
    const TICKS_PER_SECOND: u64 = 100;

    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || -> Option<Duration> {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    };
    Some(CpuTime { user: ticks()?, system: ticks()? })
}

/// A folder for temporary files, which is removed when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Error> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidings-bench-{}-{number}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The system clears its temporary files, too.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_is_not_from_files() {
        let smaps = "Rss: 900 kB\nPss: 700 kB\nPss_Dirty: 1 kB\nPss_Anon:  400 kB\n\
                     Pss_File: 250 kB\nPss_Shmem: 50 kB\n";
        assert_eq!(memory(smaps), Some(450));
        assert_eq!(memory("Rss: 900 kB\n"), None);
    }

    #[test]
    fn processor_time_is_found_behind_a_name_with_spaces() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 95 0 0 0 12 345 0 0 20 0 1 0 100 8 9";
        let expected =
            CpuTime { user: Duration::from_millis(120), system: Duration::from_millis(3450) };
        assert_eq!(cpu_time(stat), Some(expected));
    }
}
