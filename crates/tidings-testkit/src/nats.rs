//! NATS servers, each a process with a folder of its own that ends with the test.

use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::guarded::Guarded;
use crate::requirements::{self, Missing};

/// A server with JetStream. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    /// More of its configuration.
    configuration: String,
    running: Option<Guarded>,
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
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let program = requirements::nats_server()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = format!("tidings-nats-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        prepare(&folder);
        let path = folder.to_str().expect("a path in UTF-8");
        let mut configuration = configuration.replace("{folder}", path);
        writeln!(configuration, "\nserver_name: {name}").expect("memory");
        let [port] = free_ports();
        let mut server = Self { program, folder, port, configuration, running: None };
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

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has said since its last start.
    pub fn said(&self) -> String {
        self.running.as_ref().map(Guarded::said).unwrap_or_default()
    }

    /// Kills it, as a power cut would (but for what the system still writes to its disk).
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill().await;
        }
    }

    /// Starts it again where it was, with what it has on its disk.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill().await;
        let store = self.folder.join("store");
        let mut configuration = self.configuration.clone();
        writeln!(configuration, "jetstream {{ store_dir: {store:?} }}").expect("memory");
        let file = self.folder.join("nats.conf");
        std::fs::write(&file, configuration).expect("a configuration is written");
        let file = file.to_str().expect("a path in UTF-8");
        let port = self.port.to_string();
        let arguments = ["--config", file, "--addr", "127.0.0.1", "--port", &port];
        let mut running = Guarded::start(&self.program, arguments).await;
        let ready = running.says("Server is ready").await;
        assert!(ready.is_some(), "nats-server does not start: {}", running.said());
        self.running = Some(running);
    }

    /// Loses all that was stored. The server must not be running.
    ///
    /// # Panics
    ///
    /// When that cannot be.
    pub fn wipe(&mut self) {
        assert!(self.running.is_none(), "the server is running");
        std::fs::remove_dir_all(self.folder.join("store")).expect("its own folder");
    }

    /// Copies all that is stored. The server must not be running.
    ///
    /// # Panics
    ///
    /// When that cannot be.
    pub fn copy(&self) -> Copy {
        assert!(self.running.is_none(), "the server is running");
        let copy = self.folder.join("copy");
        copy_folder(&self.folder.join("store"), &copy);
        Copy(copy)
    }

    /// Puts a copy in the place of what is stored. The server must not be running.
    ///
    /// # Panics
    ///
    /// When that cannot be.
    pub fn put_back(&mut self, copy: Copy) {
        self.wipe();
        std::fs::rename(copy.0, self.folder.join("store")).expect("its own folders");
    }

    /// Has it do nothing for a while: SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Has it go on: SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.running.as_ref().expect("it is running").signal(signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It may be the server that has failed.
            eprintln!("what nats-server has said since its last start:\n{}", self.said());
        }
        drop(self.running.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a server had stored at some time.
#[derive(Debug)]
pub struct Copy(PathBuf);

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder for temporary files");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry of a folder");
        let to = to.join(entry.file_name());
        match entry.path() {
            folder if folder.is_dir() => copy_folder(&folder, &to),
            file => drop(std::fs::copy(file, to).expect("a file is copied")),
        }
    }
}

/// Ports that nobody listens on, all different.
///
/// None of those that the system hands out: while a server is down, a client that connects to it again and
/// again from such ports is one day given the server's, and then connected to itself.
fn free_ports<const N: usize>() -> [u16; N] {
    let free = || {
        let random = RandomState::new().build_hasher().finish();
        let port = 10_000 + u16::try_from(random % 20_000).expect("a small number");
        TcpListener::bind(("127.0.0.1", port)).ok()
    };
    let listeners =
        [(); N].map(|()| (0..1_000).find_map(|_| free()).expect("one port of a thousand is free"));
    listeners.map(|listener| listener.local_addr().expect("it is bound").port())
}
