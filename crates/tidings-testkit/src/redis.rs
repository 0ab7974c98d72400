//! Redis servers, each a process with a folder of its own that ends with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::limit::within;
use rustix::process::Signal;
use tokio::process::Command;

use crate::guarded::Guarded;
use crate::requirements::{self, Missing};

/// A server. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    arguments: Vec<String>,
    port: u16,
    folder: PathBuf,
    running: Option<Guarded>,
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
        // A configuration file comes before all options.
        let is_file = |argument: &&String| !argument.starts_with("--");
        let files = self.arguments.iter().take_while(is_file).count();
        let (file, options) = self.arguments.split_at(files);
        let (port, folder) = (self.port.to_string(), self.folder.to_string_lossy());
        let own = ["--port", &port, "--dir", &folder, "--bind", "127.0.0.1", "--save", ""];
        let arguments = file.iter().map(String::as_str).chain(own);
        let arguments = arguments.chain(options.iter().map(String::as_str));
        let mut running = Guarded::start(&server, arguments).await;
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
        self.running.as_ref().map_or_else(String::new, Guarded::said)
    }

    /// Kills it, as a power cut would (but for what the system still writes to its disk).
    pub async fn kill(&mut self) {
        self.running.take().expect("it runs").kill().await;
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
        self.running.as_ref().expect("it runs").signal(signal);
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
        // First: it would still write there.
        drop(self.running.take());
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_file(self.folder.with_extension("sentinel"));
    }
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
