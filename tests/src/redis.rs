//! Redis servers, each a process with a folder of its own that ends with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tidings_testkit::limit::within;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::requirements::{self, Missing};

/// Runs a program until its standard input ends, which it does at the latest with the process that has
/// the other end: so the program ends even if the test is killed. Says first which process it is.
const GUARD: &str = r#"
  exec 3<&0
  "$@" </dev/null & server=$!
  echo "$server"
  { cat <&3; kill -9 "$server"; } >/dev/null 2>&1 & guard=$!
  wait "$server"
  kill "$guard"
"#;

/// What Redis says when clients may come, and Sentinel when it knows its primary.
const READY: [&str; 2] = ["Ready to accept connections", "+monitor"];

/// A server. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    arguments: Vec<String>,
    port: u16,
    folder: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    guard: Child,
    // Closing it ends the server.
    _stdin: ChildStdin,
    pid: Pid,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts a server that keeps what it was told in an AOF, written each second.
    ///
    /// # Errors
    ///
    /// When Redis is not installed.
    pub async fn start() -> Result<Self, Missing> {
        Self::start_with(&["--appendonly", "yes"]).await
    }

    /// Starts a server with these arguments besides its port and its folder. `{port}` and `{folder}` in
    /// them stand for those.
    ///
    /// # Errors
    ///
    /// When Redis is not installed.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start_with(arguments: &[&str]) -> Result<Self, Missing> {
        const ATTEMPTS: usize = 10;

        requirements::redis_server()?;
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            let mut server = Self::new(arguments);
            // Somebody else may have taken the port meanwhile.
            match server.run().await {
                Ok(()) => return Ok(server),
                Err(log) => said = log,
            }
        }
        panic!("redis-server does not start with {arguments:?}: {said}");
    }

    /// Starts a replica of another server, and waits until it has all that the other has.
    ///
    /// # Errors
    ///
    /// When Redis is not installed.
    pub async fn start_replica(primary: &Self) -> Result<Self, Missing> {
        let of = format!("127.0.0.1 {}", primary.port);
        let replica = Self::start_with(&["--appendonly", "yes", "--replicaof", &of]).await?;
        replica.until(&["INFO", "replication"], "master_link_status:up").await;
        Ok(replica)
    }

    /// Starts a Sentinel that fails over by itself when it has not heard for half a second from a primary,
    /// which it calls `main`.
    ///
    /// # Errors
    ///
    /// When Redis is not installed.
    pub async fn start_sentinel(primary: &Self) -> Result<Self, Missing> {
        let config = primary.folder.with_extension("sentinel");
        let text = format!(
            "sentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 3000\n",
            primary.port,
        );
        std::fs::write(&config, text).expect("a file for the configuration");
        let config = config.to_str().expect("a path in UTF-8");
        Self::start_with(&[config, "--sentinel"]).await
    }

    fn new(arguments: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidings-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        let port = free_port();
        let filled = |argument: &&str| {
            let folder = folder.to_str().expect("a path in UTF-8");
            argument.replace("{port}", &port.to_string()).replace("{folder}", folder)
        };
        Self { arguments: arguments.iter().map(filled).collect(), port, folder, running: None }
    }

    /// Starts it; what it said if it ends instead.
    async fn run(&mut self) -> Result<(), String> {
        let server = requirements::redis_server().expect("it was there before");
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(server);
        // A configuration file comes before all options.
        let is_file = |argument: &&String| !argument.starts_with("--");
        let (file, options) = match self.arguments.first().filter(is_file) {
            Some(_) => self.arguments.split_at(1),
            None => (&[][..], &self.arguments[..]),
        };
        command.args(file).arg("--port").arg(self.port.to_string()).arg("--dir").arg(&self.folder);
        command.args(["--bind", "127.0.0.1", "--save", ""]).args(options);
        command.kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = command.spawn().expect("a shell starts");
        let stdin = guard.stdin.take().expect("it is piped");
        let mut lines = BufReader::new(guard.stdout.take().expect("it is piped")).lines();
        let line = within("the guard's first line", lines.next_line()).await;
        let pid = line.expect("a line of text").and_then(|line| Pid::from_raw(line.parse().ok()?));
        let log = Arc::default();
        within("a server that is ready", ready(&mut lines, &log)).await?;
        let collected = log.clone();
        tokio::spawn(async move { while read_line(&mut lines, &collected).await.is_some() {} });
        let pid = pid.expect("the guard names a process");
        self.running = Some(Running { guard, _stdin: stdin, pid, log });
        Ok(())
    }

    /// `redis://127.0.0.1:<port>/`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has said since its last start.
    pub fn log(&self) -> String {
        let Some(running) = &self.running else { return String::new() };
        running.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills it, as a power cut would (but for what the system still writes to its disk).
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Starts it again on the same port, with what is in its folder.
    ///
    /// # Panics
    ///
    /// When it runs already, or does not start.
    pub async fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs");
        self.run().await.unwrap_or_else(|log| panic!("redis-server does not start again: {log}"));
    }

    /// Empties the folder of a server that was killed.
    pub fn wipe(&self) {
        assert!(self.running.is_none(), "it runs");
        std::fs::remove_dir_all(&self.folder).expect("it is ours");
        std::fs::create_dir(&self.folder).expect("it is ours");
    }

    /// Stops it without an end: it holds its connections and answers nobody.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it runs");
        kill_process(running.pid, signal).expect("it is ours");
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it runs");
        let ended = within("the end of a server", running.guard.wait()).await;
        ended.expect("it is our child")
    }

    /// Asks until the answer has this in it.
    ///
    /// # Panics
    ///
    /// When it never has.
    pub async fn until(&self, question: &[&str], wanted: &str) {
        let answered = async {
            let mut ask = tokio::time::interval(Duration::from_millis(20));
            while !self.cli(question).await.contains(wanted) {
                ask.tick().await;
            }
        };
        within(&format!("{wanted} in the answer to {question:?}"), answered).await;
    }

    /// Asks it something by `redis-cli`, and returns its answer.
    ///
    /// # Panics
    ///
    /// When it is not answered, or with an error.
    pub async fn cli(&self, arguments: &[&str]) -> String {
        cli(self.port, arguments).await
    }
}

/// As [`Server::cli`], of the server on this port of this machine.
pub async fn cli(port: u16, arguments: &[&str]) -> String {
    let program = requirements::program("redis-cli", "redis-server").expect("redis-cli is there");
    let port = port.to_string();
    let output = Command::new(program).args(["-e", "-p", &port]).args(arguments).output();
    let output = within("an answer to redis-cli", output).await.expect("it starts");
    let answer = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "redis-cli {arguments:?}: {answer} {complaint}");
    answer
}

impl Drop for Server {
    fn drop(&mut self) {
        // The guard would do it as well, but the folder is to be left alone first.
        if let Some(running) = &self.running {
            let _ = kill_process(running.pid, Signal::KILL);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_file(self.folder.with_extension("sentinel"));
    }
}

type Lines = tokio::io::Lines<BufReader<ChildStdout>>;

async fn ready(lines: &mut Lines, log: &Mutex<String>) -> Result<(), String> {
    while let Some(line) = read_line(lines, log).await {
        if READY.iter().any(|ready| line.contains(ready)) {
            return Ok(());
        }
    }
    Err(log.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

async fn read_line(lines: &mut Lines, log: &Mutex<String>) -> Option<String> {
    let line = lines.next_line().await.ok().flatten()?;
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.push_str(&line);
    log.push('\n');
    Some(line)
}

/// A port that nobody has now. It leaves room for a cluster's second port, which is 10,000 further on.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        if port < 55_000 {
            return port;
        }
    }
}
