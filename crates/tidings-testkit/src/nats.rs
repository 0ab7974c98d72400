//! NATS servers: each is a process with a folder, and ends with the test.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::guarded::{Guarded, copy_folder, free_ports};
use crate::requirements::{self, Missing};

/// A server with JetStream. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    // Dropped first: the program writes to the folder.
    running: Option<Guarded>,
    program: PathBuf,
    folder: TempDir,
    port: u16,
    /// More lines of its configuration.
    configuration: String,
}

impl Server {
    /// Starts a server.
    ///
    /// # Errors
    ///
    /// When NATS is not installed.
    pub async fn start() -> Result<Self, Missing> {
        Self::start_with("").await
    }

    /// Starts a server with more lines in its configuration. `{folder}` in them stands for its folder.
    ///
    /// # Errors
    ///
    /// When NATS is not installed.
    pub async fn start_with(configuration: &str) -> Result<Self, Missing> {
        Self::start_named("test", configuration, |_| {}).await
    }

    /// As [`start_with`](Self::start_with); `prepare` puts files into its folder.
    ///
    /// # Errors
    ///
    /// When NATS is not installed.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start_named(
        name: &str,
        configuration: &str,
        prepare: impl FnOnce(&Path),
    ) -> Result<Self, Missing> {
        let program = requirements::nats_server()?;
        let folder = TempDir::new().expect("a folder for temporary files");
        prepare(folder.path());
        let path = folder.path().to_str().expect("a path in UTF-8");
        let mut configuration = configuration.replace("{folder}", path);
        writeln!(configuration, "\nserver_name: {name}").expect("memory");
        let [port] = free_ports();
        let mut server = Self { running: None, program, folder, port, configuration };
        server.restart().await;
        Ok(server)
    }

    /// Three servers of one cluster, each knowing the others.
    ///
    /// # Errors
    ///
    /// When NATS is not installed.
    pub async fn start_cluster() -> Result<[Self; 3], Missing> {
        let ports = free_ports::<3>();
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        let start = |number: usize| {
            let configuration = format!(
                "cluster {{ name: test, listen: 127.0.0.1:{}, routes: [{routes}] }}",
                ports[number]
            );
            async move {
                let name = ["one", "two", "three"][number];
                Self::start_named(name, &configuration, |_| {}).await
            }
        };
        Ok([start(0).await?, start(1).await?, start(2).await?])
    }

    /// `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> PathBuf {
        self.folder().join("store")
    }

    /// What it has printed since its last start.
    pub fn said(&self) -> String {
        self.running.as_ref().map(Guarded::said).unwrap_or_default()
    }

    /// Kills it, as a power cut would (but for what the system still writes to its disk).
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill().await;
        }
    }

    /// Starts it again on the same port, with its stored data.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill().await;
        let mut configuration = self.configuration.clone();
        writeln!(configuration, "jetstream {{ store_dir: {:?} }}", self.store()).expect("memory");
        let file = self.folder().join("nats.conf");
        std::fs::write(&file, configuration).expect("a configuration is written");
        let file = file.to_str().expect("a path in UTF-8");
        let port = self.port.to_string();
        let arguments = ["--config", file, "--addr", "127.0.0.1", "--port", &port];
        let mut running = Guarded::start(&self.program, arguments);
        let ready = running.says("Server is ready").await;
        assert!(ready.is_some(), "nats-server does not start: {}", running.said());
        self.running = Some(running);
    }

    /// Loses all stored data. The server must not be running.
    ///
    /// # Panics
    ///
    /// When it is running.
    pub fn wipe(&mut self) {
        assert!(self.running.is_none(), "the server is running");
        std::fs::remove_dir_all(self.store()).expect("its own folder");
    }

    /// Copies all stored data. The server must not be running.
    ///
    /// # Panics
    ///
    /// When it is running.
    pub fn copy(&self) -> Copy {
        assert!(self.running.is_none(), "the server is running");
        let copy = self.folder().join("copy");
        copy_folder(&self.store(), &copy);
        Copy(copy)
    }

    /// Replaces the stored data by a copy. The server must not be running.
    pub fn put_back(&mut self, copy: Copy) {
        self.wipe();
        std::fs::rename(copy.0, self.store()).expect("its own folders");
    }

    /// Stops it until it is [resumed](Self::resume): SIGSTOP.
    pub fn pause(&self) {
        self.running.as_ref().expect("it is running").pause();
    }

    /// Lets it continue: SIGCONT.
    pub fn resume(&self) {
        self.running.as_ref().expect("it is running").resume();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The server may be what has failed.
            eprintln!("nats-server has printed since its last start:\n{}", self.said());
        }
    }
}

/// What a server had stored at some time.
#[derive(Debug)]
pub struct Copy(PathBuf);
