//! Proxies as processes, and what must pass through them.
//!
//! Only tests of heartbeats take as long as a heartbeat, 15 seconds. So nothing else can arrive, or be noticed, thanks
//! to a heartbeat.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tidings::{Message, STATUS_EVENT};
use tidings_testkit::watch::Watch;
use tidings_testkit::wire::{Ending, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

use super::hub::Hub;
use super::script::{Letter, Seen, all_kinds, while_away};
use crate::requirements::{self, Missing};

/// Where the configurations are.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/proxies");

/// A proxy in one of its configurations.
#[derive(Debug)]
pub struct Setup {
    /// Its name in tables.
    pub name: &'static str,
    /// The program.
    pub program: Program,
    /// Its configuration, in [`FOLDER`].
    pub file: &'static str,
    /// Its idle time-outs, if it has any.
    idle: Option<&'static str>,
    /// What does not work. Every run must show it.
    pub flaws: &'static [Flaw],
}

/// What a proxy fails to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It does not notice that a client has left until something is sent to it.
    NoticesLate,
    /// It waits for more before it passes an event on.
    Delays,
    /// It does not tell a client that the response was cut off.
    HidesFailure,
}

impl Flaw {
    /// A sentence for docs/COMPARISON.md.
    pub fn what(self) -> &'static str {
        match self {
            Self::NoticesLate => {
                "A client that has left is noticed only when something is sent to it: with the \
                 next events or heartbeats."
            }
            Self::Delays => "Each event takes 0.2 s.",
            Self::HidesFailure => {
                "When the hub is killed, the client's response ends as if it were complete, perhaps \
                 in the middle of an event."
            }
        }
    }
}

/// A proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Program {
    Nginx,
    Caddy,
    Haproxy,
    Apache,
    Varnish,
}

/// All proxies in all configurations.
pub const SETUPS: [Setup; 10] = [
    Setup {
        name: "nginx, `proxy_pass` and no more",
        program: Program::Nginx,
        file: "nginx-default.conf",
        idle: None,
        flaws: &[Flaw::HidesFailure],
    },
    Setup {
        name: "nginx, as recommended",
        program: Program::Nginx,
        file: "nginx.conf",
        idle: Some("60s"),
        flaws: &[],
    },
    Setup {
        name: "Caddy, `reverse_proxy` and no more",
        program: Program::Caddy,
        file: "Caddyfile-default",
        idle: None,
        flaws: &[Flaw::HidesFailure],
    },
    Setup {
        name: "Caddy, with `encode gzip zstd`",
        program: Program::Caddy,
        file: "Caddyfile",
        idle: None,
        flaws: &[Flaw::HidesFailure],
    },
    Setup {
        name: "HAProxy, with Debian's defaults",
        program: Program::Haproxy,
        file: "haproxy-default.cfg",
        idle: Some("50000"),
        flaws: &[Flaw::NoticesLate, Flaw::Delays],
    },
    Setup {
        name: "HAProxy, as recommended",
        program: Program::Haproxy,
        file: "haproxy.cfg",
        idle: Some("60s"),
        flaws: &[],
    },
    Setup {
        name: "Apache, `ProxyPass` and no more",
        program: Program::Apache,
        file: "apache-default.conf",
        idle: None,
        flaws: &[Flaw::NoticesLate],
    },
    Setup {
        name: "Apache, as recommended",
        program: Program::Apache,
        file: "apache.conf",
        idle: Some("60s"),
        flaws: &[Flaw::NoticesLate],
    },
    Setup {
        name: "Varnish, a backend and no more",
        program: Program::Varnish,
        file: "varnish-default.vcl",
        idle: None,
        flaws: &[Flaw::NoticesLate],
    },
    Setup {
        name: "Varnish, as recommended",
        program: Program::Varnish,
        file: "varnish.vcl",
        idle: None,
        flaws: &[],
    },
];

/// Caddy with its own certificate, and so with HTTP/2.
pub const HTTPS: Setup = Setup {
    name: "Caddy, with HTTPS",
    program: Program::Caddy,
    file: "Caddyfile-https",
    idle: None,
    flaws: &[],
};

impl Program {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Nginx, Self::Caddy, Self::Haproxy, Self::Apache, Self::Varnish];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
            Self::Haproxy => "HAProxy",
            Self::Apache => "Apache",
            Self::Varnish => "Varnish",
        }
    }

    /// Where it is installed.
    ///
    /// # Errors
    ///
    /// When it is not installed.
    pub fn find(self) -> Result<PathBuf, Missing> {
        match self {
            Self::Nginx => requirements::program("nginx", "nginx"),
            Self::Caddy => requirements::program("caddy", "caddy"),
            Self::Haproxy => requirements::program("haproxy", "haproxy"),
            // Debian has its own name for it.
            Self::Apache => requirements::program("httpd", "httpd")
                .or_else(|_| requirements::program("apache2", "apache2")),
            Self::Varnish => requirements::program("varnishd", "varnish"),
        }
    }

    /// Its version.
    pub fn version(self) -> Option<String> {
        let argument = match self {
            Self::Nginx | Self::Haproxy | Self::Apache => "-v",
            Self::Caddy => "version",
            Self::Varnish => "-V",
        };
        requirements::version(&self.find().ok()?, argument)
    }
}

/// Replaces [`Setup::idle`] to show that heartbeats keep a stream open: longer than one heartbeat, shorter than two.
const SHORT_IDLE: Duration = Duration::from_secs(20);

/// A running proxy. It is killed when it is dropped, or the test's process ends.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    _watch: Option<Watch>,
    addr: SocketAddr,
    complaints: Arc<Mutex<String>>,
}

impl Proxy {
    /// Starts a proxy in front of `hub`. It writes to `folder` only.
    pub async fn start(setup: &Setup, program: &Path, hub: SocketAddr, folder: &Path) -> Self {
        let file = Path::new(FOLDER).join(setup.file);
        let text = std::fs::read_to_string(&file);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::with_configuration(setup, &text, program, hub, folder).await
    }

    /// Starts a proxy with idle time-outs of [`SHORT_IDLE`], if its configuration has any.
    async fn start_impatient(
        setup: &Setup,
        program: &Path,
        hub: SocketAddr,
        folder: &Path,
    ) -> Option<Self> {
        let idle = setup.idle?;
        let text =
            std::fs::read_to_string(Path::new(FOLDER).join(setup.file)).expect("a configuration");
        assert!(text.contains(idle), "{}: has no {idle}", setup.file);
        let short = format!("{}s", SHORT_IDLE.as_secs());
        let text = text.replace(idle, &short);
        Some(Self::with_configuration(setup, &text, program, hub, folder).await)
    }

    async fn with_configuration(
        setup: &Setup,
        text: &str,
        program: &Path,
        hub: SocketAddr,
        folder: &Path,
    ) -> Self {
        // Another process may take the port first.
        for _ in 0..3 {
            let addr = free_address().await;
            let mut proxy = Self::spawn(setup, text, program, hub, addr, folder);
            if proxy.listens().await {
                return proxy;
            }
        }
        panic!("{} does not listen", setup.name);
    }

    fn spawn(
        setup: &Setup,
        text: &str,
        program: &Path,
        hub: SocketAddr,
        addr: SocketAddr,
        folder: &Path,
    ) -> Self {
        // Apache does not start if another process has the number that an earlier one left there.
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).expect("a folder for a proxy");
        let file = folder.join(setup.file);
        let (origin, hub) = match setup.program {
            Program::Varnish => ("\"3000\"", format!("\"{}\"", hub.port())),
            _ => ("127.0.0.1:3000", hub.to_string()),
        };
        assert!(text.contains(origin), "{text}");
        let text = text.replace(origin, &hub);
        let mut command = Command::new(program);
        let text = match setup.program {
            Program::Nginx => {
                let main = folder.join("main.conf");
                std::fs::write(&main, nginx_main(folder, &file)).expect("nginx's configuration");
                command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(main);
                text.replace("listen 8080", &format!("listen {addr}"))
            }
            Program::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
                for place in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
                    command.env(place, folder);
                }
                // Caddy prints what it does unless something is wrong.
                let here = "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n\t\
                            log {\n\t\tlevel WARN\n\t}\n}\n";
                let (port, bind) = (addr.port(), format!("\tbind {}", addr.ip()));
                let text = match text.strip_prefix(":8080 {\n") {
                    Some(site) => format!("http://:{port} {{\n{bind}\n{site}"),
                    None => text.replace(":8080 {", &format!(":{port} {{\n{bind}")),
                };
                format!("{here}{text}")
            }
            Program::Haproxy => {
                command.arg("-db").arg("-f").arg(&file);
                text.replace("bind :8080", &format!("bind {addr}"))
            }
            Program::Apache => {
                command.arg("-X").arg("-f").arg(&file);
                let site = text.replace("*:8080", &addr.to_string());
                format!("{}{site}", apache_main(folder, addr))
            }
            Program::Varnish => {
                command.args(["-F", "-j", "none", "-s", "malloc,16m", "-a", &addr.to_string()]);
                command.arg("-n").arg(folder).arg("-f").arg(&file);
                text
            }
        };
        std::fs::write(&file, text).expect("a proxy's configuration");
        let mut child = command
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let watch = Watch::over(&child);
        let complaints = Arc::new(Mutex::new(String::new()));
        let collected = complaints.clone();
        let mut stderr = child.stderr.take().expect("it is piped");
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
                let text = String::from_utf8_lossy(&buffer[..length]);
                collected.lock().expect("nothing panics here").push_str(&text);
            }
        });
        Self { child, _watch: watch, addr, complaints }
    }

    /// Waits until it accepts connections. Returns whether it does; if not, it has ended.
    async fn listens(&mut self) -> bool {
        let listens = async {
            let mut look = interval(Duration::from_millis(10));
            while TcpStream::connect(self.addr).await.is_err() {
                if let Ok(Some(status)) = self.child.try_wait() {
                    eprintln!("{status}: {}", self.complaints());
                    return false;
                }
                look.tick().await;
            }
            true
        };
        // Varnish compiles its configuration with a C compiler.
        timeout(Duration::from_secs(60), listens).await.expect("a proxy listens in time")
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its standard error so far.
    pub fn complaints(&self) -> String {
        self.complaints.lock().expect("nothing panics here").clone()
    }
}

/// An address where nothing listens, below the range of ephemeral ports, because there are many connections here.
async fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: Range<u32> = 20_000..32_000;

    // Other processes of this test begin with other ports.
    let first = std::process::id().wrapping_mul(97);
    loop {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + next % (PORTS.end - PORTS.start);
        let addr = ([127, 0, 0, 1], u16::try_from(port).expect("a port")).into();
        if TcpListener::bind(addr).await.is_ok() {
            return addr;
        }
    }
}

/// The configuration around a `server` block: the defaults, but nothing is written outside of `folder`.
fn nginx_main(folder: &Path, server: &Path) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};"))
        .join(" ");
    format!(
        "daemon off; master_process off; pid {folder}/pid;\n\
         events {{}}\n\
         http {{ gzip on; access_log off; {temporary} include {}; }}\n",
        server.display()
    )
}

/// The configuration around a `VirtualHost`: the modules that it needs, and nothing is written outside of `folder`.
fn apache_main(folder: &Path, addr: SocketAddr) -> String {
    const PLACES: [&str; 4] = [
        "/usr/lib/apache2/modules",
        "/usr/lib64/httpd/modules",
        "/opt/homebrew/lib/httpd/modules",
        "/usr/local/lib/httpd/modules",
    ];
    let modules = PLACES.into_iter().find(|place| Path::new(place).is_dir());
    let modules = modules.expect("the modules of Apache");
    let load = ["mpm_event", "unixd", "authz_core", "filter", "deflate", "proxy", "proxy_http"]
        .map(|name| {
            // Some are built in.
            format!(
                "<IfModule !{name}_module>\nLoadModule {name}_module {modules}/mod_{name}.so\n\
                 </IfModule>\n"
            )
        });
    format!(
        "{}ServerName localhost\nListen {addr}\nErrorLog /dev/stderr\nLogLevel crit\n\
         PidFile {folder}/pid\nDefaultRuntimeDir {folder}\n",
        load.concat(),
        folder = folder.display()
    )
}

/// Checks everything that must work through a proxy in one of its configurations.
///
/// # Panics
///
/// When something does not work.
pub async fn pass(setup: &Setup, program: &Path, hub: &Hub, folder: &Path) {
    let proxy = Proxy::start(setup, program, hub.addr(), &folder.join("usual")).await;
    let impatient =
        Proxy::start_impatient(setup, program, hub.addr(), &folder.join("impatient")).await;
    let topic = |check: &str| format!("{}/{check}", setup.file);
    tokio::join!(
        one_by_one(hub, &proxy, topic("live"), setup.flaws),
        resumed(hub, &proxy, topic("resumed")),
        noticed(hub, &proxy, topic("noticed"), setup.flaws),
        heartbeats(proxy.addr, topic("silent"), 1),
        async {
            if let Some(impatient) = &impatient {
                heartbeats(impatient.addr, topic("impatient"), 2).await;
            }
        },
    );
}

/// Shows that [`pass`] would notice a proxy that holds events back: nginx, configured to ignore the hub's headers.
///
/// # Panics
///
/// When [`pass`] would not notice it.
pub async fn buffering_is_noticed(nginx: &Path, hub: &Hub, folder: &Path) {
    let setup = &SETUPS[0];
    let text =
        std::fs::read_to_string(Path::new(FOLDER).join(setup.file)).expect("a configuration");
    let deaf = "proxy_ignore_headers X-Accel-Buffering;\n        proxy_pass";
    let text = text.replacen("proxy_pass", deaf, 1);
    assert!(text.contains(deaf), "{text}");
    let proxy = Proxy::with_configuration(setup, &text, nginx, hub.addr(), folder).await;
    // It takes a moment where nothing is held back.
    let check = one_by_one(hub, &proxy, "buffering".to_owned(), &[]);
    assert!(timeout(Duration::from_secs(5), check).await.is_err(), "nothing was held back");
}

/// A browser's request.
fn request(topic: &str) -> Request {
    Request::get(&format!("/events?topic={topic}"))
        .header("accept", "text/event-stream")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("cache-control", "no-store")
}

fn seen(message: &Message) -> Seen {
    Seen {
        event: message.event().to_owned(),
        data: message.data().to_owned(),
        id: message.last_event_id().to_owned(),
    }
}

/// The status of a stream, and the client's id.
async fn status(response: &mut Response) -> (String, String) {
    let message = response.next_message().await;
    assert_eq!(message.event(), STATUS_EVENT);
    let status: Value = serde_json::from_str(message.data()).expect("a status is JSON");
    let text = |name: &str| status[name].as_str().expect("a text").to_owned();
    (text("status"), text("client"))
}

/// The head and the status event arrive while nothing is published, and each event arrives before the next one is
/// published: nothing is held back for long. Compares the times with those of a client without a proxy.
async fn one_by_one(hub: &Hub, proxy: &Proxy, topic: String, flaws: &[Flaw]) {
    let mut direct = Response::to(hub.addr(), request(&topic)).await;
    status(&mut direct).await;
    let mut response = Response::to(proxy.addr, request(&topic)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(response.header("cache-control"), Some("no-cache, no-transform"));
    // Some frameworks set `identity`, so that their own middleware does not compress.
    assert!(matches!(response.header("content-encoding"), None | Some("identity")));
    assert_eq!(response.header("content-length"), None);
    assert_eq!(status(&mut response).await.0, "fresh");
    let mut delays = Vec::new();
    for letter in all_kinds() {
        let next = async |response: &mut Response| (response.next_message().await, Instant::now());
        let (published, (_, sent), (message, arrived)) =
            tokio::join!(hub.publish(&topic, &letter), next(&mut direct), next(&mut response));
        assert_eq!(seen(&message), published);
        delays.push(arrived.saturating_duration_since(sent));
    }
    // Half of the delay that HAProxy makes without `http-no-delay`.
    delays.sort_unstable();
    let is_delayed = delays[delays.len() / 2] > Duration::from_millis(100);
    assert_eq!(is_delayed, flaws.contains(&Flaw::Delays), "{delays:?}");
}

/// A stream that ends is resumed with everything that was published in between.
async fn resumed(hub: &Hub, proxy: &Proxy, topic: String) {
    let mut response = Response::to(proxy.addr, request(&topic)).await;
    let (_, client) = status(&mut response).await;
    let letter = Letter { event: None, data: "before".to_owned() };
    let before = hub.publish(&topic, &letter).await;
    assert_eq!(seen(&response.next_message().await), before);
    hub.close(&client).await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    let mut away = Vec::new();
    for letter in while_away(1) {
        away.push(hub.publish(&topic, &letter).await);
    }
    let again = request(&topic).header("last-event-id", before.id);
    let mut response = Response::to(proxy.addr, again).await;
    assert_eq!(status(&mut response).await.0, "resumed");
    for missed in away {
        assert_eq!(seen(&response.next_message().await), missed);
    }
}

/// The hub notices that a client has left, whether by a close or a reset.
async fn noticed(hub: &Hub, proxy: &Proxy, topic: String, flaws: &[Flaw]) {
    let began = Instant::now();
    let (mut closing, mut resetting) = tokio::join!(
        Response::to(proxy.addr, request(&topic)),
        Response::to(proxy.addr, request(&topic))
    );
    status(&mut closing).await;
    status(&mut resetting).await;
    assert_eq!(hub.clients(&topic).await, 2);
    closing.close().await;
    resetting.reset();
    let gone = async {
        let mut look = interval(Duration::from_millis(10));
        while hub.clients(&topic).await > 0 {
            look.tick().await;
        }
    };
    // Three heartbeats: the first is answered with a reset, the second cannot be sent, and some look only then.
    assert!(timeout(Duration::from_secs(55), gone).await.is_ok(), "the hub does not notice");
    let is_late = began.elapsed() > Duration::from_secs(10);
    assert_eq!(is_late, flaws.contains(&Flaw::NoticesLate), "noticed after {:?}", began.elapsed());
}

/// Whether clients of each proxy can tell when a hub is killed.
///
/// # Panics
///
/// When one behaves otherwise than its [`Setup`] says.
pub async fn failures_are_seen(mut hub: Hub, setups: &[(&Setup, PathBuf)], folder: &Path) {
    let mut open = Vec::new();
    for (setup, program) in setups {
        let folder = folder.join(setup.file);
        let proxy = Proxy::start(setup, program, hub.addr(), &folder).await;
        let mut response = Response::to(proxy.addr, request("killed")).await;
        status(&mut response).await;
        open.push((setup, proxy, response));
    }
    hub.kill().await;
    for (setup, _proxy, mut response) in open {
        let is_hidden = response.read_to_end().await == Ending::Whole;
        assert_eq!(is_hidden, setup.flaws.contains(&Flaw::HidesFailure), "{}", setup.name);
    }
}

/// Heartbeats pass, and keep the stream open.
async fn heartbeats(proxy: SocketAddr, topic: String, count: usize) {
    let mut stream = TcpStream::connect(proxy).await.expect("it listens");
    stream.write_all(&request(&topic).bytes()).await.expect("it reads");
    let mut all = Vec::new();
    let come = async {
        while all.windows(3).filter(|bytes| bytes == b":\n\n").count() < count {
            let read = stream.read_buf(&mut all).await.expect("it is not reset");
            assert_ne!(read, 0, "ended: {}", String::from_utf8_lossy(&all));
        }
    };
    // Each comes after 15 seconds.
    let limit = Duration::from_secs(20) * u32::try_from(count).expect("a few");
    assert!(timeout(limit, come).await.is_ok(), "no heartbeat: {}", String::from_utf8_lossy(&all));
}
