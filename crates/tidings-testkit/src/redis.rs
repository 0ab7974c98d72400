//! Redis servers: each is a process with a folder, and ends with the test.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::guarded::{Guarded, free_ports};
use crate::limit::within;
use crate::requirements::{self, Missing};

/// A server. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    // Dropped first: the program writes to the folder.
    running: Option<Guarded>,
    arguments: Vec<String>,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts a server with an AOF that is synced every second.
    ///
    /// # Errors
    ///
    /// When Redis is not installed.
    pub async fn start() -> Result<Self, Missing> {
        Self::start_with(&["--appendonly", "yes"]).await
    }

    /// Starts a server with these arguments, and its port and folder. `{port}` and `{folder}` in the arguments stand for
    /// these.
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
            // Another process may have taken the port meanwhile.
            match server.run().await {
                Ok(()) => return Ok(server),
                Err(log) => said = log,
            }
        }
        panic!("redis-server does not start with {arguments:?}: {said}");
    }

    /// Starts a replica of another server, and waits until it has the same data.
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

    /// Starts a Sentinel that fails over when the primary, by the name `main`, has not answered for half a second.
    ///
    /// # Errors
    ///
    /// When Redis is not installed.
    pub async fn start_sentinel(primary: &Self) -> Result<Self, Missing> {
        let config = primary.folder.path().join("sentinel.conf");
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
        let folder = TempDir::new().expect("a folder for temporary files");
        let [port] = free_ports();
        let filled = |argument: &&str| {
            let folder = folder.path().to_str().expect("a path in UTF-8");
            argument.replace("{port}", &port.to_string()).replace("{folder}", folder)
        };
        Self { running: None, arguments: arguments.iter().map(filled).collect(), port, folder }
    }

    /// Starts it. The error is what it has printed, if it ends instead.
    async fn run(&mut self) -> Result<(), String> {
        let server = requirements::redis_server().expect("Redis is installed");
        // A configuration file comes before all options.
        let is_file = |argument: &&String| !argument.starts_with("--");
        let files = self.arguments.iter().take_while(is_file).count();
        let (file, options) = self.arguments.split_at(files);
        let (port, folder) = (self.port.to_string(), self.folder().to_string_lossy());
        let own = ["--port", &port, "--dir", &folder, "--bind", "127.0.0.1", "--save", ""];
        let arguments = file.iter().map(String::as_str).chain(own);
        let arguments = arguments.chain(options.iter().map(String::as_str));
        let mut running = Guarded::start(&server, arguments);
        let is_sentinel = options.iter().any(|option| option == "--sentinel");
        let ready = if is_sentinel { "+monitor" } else { "Ready to accept connections" };
        match running.says(ready).await {
            Some(_) => self.running = Some(running),
            None => return Err(running.said()),
        }
        Ok(())
    }

    /// `redis://127.0.0.1:<port>/`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with its data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has printed since its last start.
    pub fn log(&self) -> String {
        self.running.as_ref().map_or_else(String::new, Guarded::said)
    }

    /// Kills it, as a power cut would (but for what the system still writes to its disk).
    pub async fn kill(&mut self) {
        self.running.take().expect("it is running").kill().await;
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
        std::fs::remove_dir_all(self.folder()).expect("it is ours");
        std::fs::create_dir(self.folder()).expect("it is ours");
    }

    /// Stops it until it is [resumed](Self::resume): SIGSTOP.
    pub fn pause(&self) {
        self.running.as_ref().expect("it is running").pause();
    }

    /// Lets it continue: SIGCONT.
    pub fn resume(&self) {
        self.running.as_ref().expect("it is running").resume();
    }

    /// Asks until the answer contains a text.
    ///
    /// # Panics
    ///
    /// When it does not in time.
    pub async fn until(&self, question: &[&str], expected: &str) {
        let answered = async {
            let mut ask = tokio::time::interval(Duration::from_millis(20));
            while !self.cli(question).await.contains(expected) {
                ask.tick().await;
            }
        };
        within(&format!("{expected} in the answer to {question:?}"), answered).await;
    }

    /// Runs a command by `redis-cli`, and returns the answer.
    ///
    /// # Panics
    ///
    /// When there is no answer, or the answer is an error.
    pub async fn cli(&self, arguments: &[&str]) -> String {
        cli(self.port, arguments).await
    }
}

/// As [`Server::cli`], of the server on this port of this machine.
pub async fn cli(port: u16, arguments: &[&str]) -> String {
    let program =
        requirements::program("redis-cli", "redis-server").expect("redis-cli is installed");
    let port = port.to_string();
    let output = Command::new(program).args(["-e", "-p", &port]).args(arguments).output();
    let output = within("an answer to redis-cli", output).await.expect("it starts");
    let answer = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "redis-cli {arguments:?}: {answer} {complaint}");
    answer
}
