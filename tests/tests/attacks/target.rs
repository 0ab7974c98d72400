//! A hub under attack, and the honest clients that must not notice.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::program;
use tidings_testkit::watch::Watch;
use tidings_testkit::wire::{Connection, Request, Response};
use tidings_tests::example::{ask, json};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The time limits of the hubs in these tests. The defaults are minutes.
pub(crate) const SOON: Duration = Duration::from_millis(1_000);

/// [`SOON`] for everything before a response.
const SHORT: &str = "head_timeout=1000,handshake_timeout=1000,body_timeout=1000,idle_timeout=1000";

/// Longer: what is slow may live.
const WRITES: &str = "write_timeout=3000";

/// The longest that an event may take to an honest client. Generous: the faults that it finds stop a hub for longer.
const LATENCY: Duration = Duration::from_secs(2);

/// glibc gives back at once what is freed in large pieces. Else the memory of a hub is what it holds and some 30 MiB, which
/// depend on the order in which its threads freed what they had (see docs/DEPLOYING.md).
const EXACT_MEMORY: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// An example hub with short limits and without the demo.
pub(crate) struct Target {
    hub: Process,
    package: String,
    /// Its memory and its open files before the attack.
    before: (usize, usize),
}

impl Target {
    pub(crate) async fn start(package: &str) -> Self {
        Self::start_on(package, "auto").await
    }

    /// With this transport.
    pub(crate) async fn start_on(package: &str, transport: &str) -> Self {
        let arguments = ["--limit", SHORT, "--limit", WRITES, "--transport", transport];
        Self::start_with(package, &arguments).await
    }

    /// With this limit in time, and the default of each other one: none of those comes within the time of a test.
    pub(crate) async fn start_limited(package: &str, limit: &str) -> Self {
        Self::start_with(package, &["--limit", limit]).await
    }

    /// With this transport, on this core.
    pub(crate) async fn start_on_core(package: &str, transport: &str, core: u32) -> Self {
        let arguments = arguments(&["--limit", SHORT, "--limit", WRITES, "--transport", transport]);
        Self::of(package, Process::start_on_core(package, &arguments, core).await).await
    }

    async fn start_with(package: &str, more: &[&str]) -> Self {
        let arguments = arguments(more);
        Self::of(package, Process::start_in(package, &arguments, &[EXACT_MEMORY]).await).await
    }

    /// With the default limits.
    pub(crate) async fn start_as_usual(package: &str) -> Self {
        Self::of(package, Process::start_with(package, &arguments(&[])).await).await
    }

    /// With so many files that it may open.
    pub(crate) async fn start_with_files(package: &str, transport: &str, files: u32) -> Self {
        let arguments = arguments(&["--limit", SHORT, "--limit", WRITES, "--transport", transport]);
        Self::of(package, Process::start_with_files(package, &arguments, files).await).await
    }

    /// With the default limits in time, and so many files.
    pub(crate) async fn start_as_usual_with_files(package: &str, files: u32) -> Self {
        Self::of(package, Process::start_with_files(package, &arguments(&[]), files).await).await
    }

    async fn of(package: &str, hub: Process) -> Self {
        let mut target = Self { hub, package: package.to_owned(), before: (0, 0) };
        // Code that runs for the first time allocates.
        target.publish("warm", "warm").await;
        target.follow("/events?topic=warm&history=1").await.close().await;
        target.let_go(0).await;
        target.before = (target.memory(), target.files());
        target
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.hub.addr()
    }

    pub(crate) fn memory(&self) -> usize {
        self.hub.memory().expect("Linux measures it")
    }

    fn files(&self) -> usize {
        self.hub.open_files().expect("Linux counts them")
    }

    /// How much its memory has grown since it started, in bytes.
    pub(crate) fn growth(&self) -> usize {
        self.memory().saturating_sub(self.before.0)
    }

    /// Asserts that its memory has grown by at most so many bytes.
    #[track_caller]
    pub(crate) fn grew_at_most(&self, bytes: usize) {
        let growth = self.growth();
        println!("{}: grew by {growth} bytes, {bytes} are allowed", self.package);
        assert!(growth <= bytes, "{}: grew by {growth} bytes, not {bytes}", self.package);
    }

    /// Publishes an event. Returns how many subscribers its topic has.
    pub(crate) async fn publish(&self, topic: &str, data: impl Into<Vec<u8>>) -> u64 {
        let request = Request::post(&format!("/publish?topic={topic}"), data);
        let response = ask(&self.hub, request).await;
        assert_eq!(response.status(), 200, "{}", response.text());
        json(&response)["subscribers"].as_u64().expect("a number")
    }

    /// Opens a stream.
    pub(crate) async fn follow(&self, target: &str) -> Response {
        let mut stream = Response::to(self.addr(), Request::get(target)).await;
        assert_eq!(stream.status(), 200);
        stream.next_message().await;
        stream
    }

    /// The number of clients that are listed.
    pub(crate) async fn clients(&self) -> u64 {
        json(&ask(&self.hub, Request::get("/clients")).await)["total"].as_u64().expect("a number")
    }

    /// The value of a metric; 0 if there is none.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let response = ask(&self.hub, Request::get("/metrics")).await;
        let lines = response.text().lines();
        let values = lines.filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Waits until at most so many clients are listed.
    pub(crate) async fn let_go(&self, clients: u64) {
        within("the end of the clients", async { while self.clients().await > clients {} }).await;
    }

    /// Waits until no more files are open than before, except for the honest clients.
    pub(crate) async fn closed_all_but(&self, honest: usize) {
        // One more may be a request of these tests that is about to be closed.
        let most = self.before.1 + honest + 1;
        eventually("the end of the connections", || self.files() <= most).await;
    }
}

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["--listen", ANY_PORT, "--demo", "false"], more].concat()
}

/// The transports of a hub.
pub(crate) fn transports(package: &str) -> &'static [&'static str] {
    match package {
        "hub-actix-web" => &["body"],
        _ => &["auto", "body"],
    }
}

/// Runs the load generator, a process of its own, on a topic. Returns its report.
pub(crate) async fn load(
    addr: SocketAddr,
    topic: &str,
    arguments: &[&str],
    time: Duration,
) -> Value {
    let program = tokio::task::spawn_blocking(|| program::build("tidings-load")).await;
    let mut command = Command::new(program.expect("it builds"));
    command.arg(format!("http://{addr}/events?topic={topic}")).args(arguments);
    command.args(["--for", &format!("{}ms", time.as_millis()), "--json", "--tolerate"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().expect("it starts");
    let _watch = Watch::over(&child);
    let limit = time + Duration::from_secs(30);
    let output = timeout(limit, child.wait_with_output()).await.expect("it ends in time");
    serde_json::from_slice(&output.expect("it runs").stdout).expect("a report")
}

/// Clients that read at once, and their publisher, which makes a new connection for each event: both must work during
/// an attack as they do without one.
pub(crate) struct Honest {
    stop: watch::Sender<bool>,
    publisher: tokio::task::JoinHandle<usize>,
    clients: JoinSet<(Vec<usize>, Duration)>,
}

impl Honest {
    pub(crate) const CLIENTS: usize = 5;

    pub(crate) async fn start(target: &Target) -> Self {
        Self::with_retries(target, false).await
    }

    /// The publisher tries again when its connection is ended before the answer: it may be in the lobby of a full hub for
    /// longer than others.
    pub(crate) async fn start_insistent(target: &Target) -> Self {
        Self::with_retries(target, true).await
    }

    async fn with_retries(target: &Target, insists: bool) -> Self {
        let (began, addr) = (Instant::now(), target.addr());
        let mut clients = JoinSet::new();
        for _ in 0..Self::CLIENTS {
            let stream = target.follow("/events?topic=honest").await;
            clients.spawn(listen(stream, began));
        }
        let (stop, stopping) = watch::channel(false);
        let publisher = tokio::spawn(publish(addr, began, insists, stopping));
        Self { stop, publisher, clients }
    }

    /// Stops the publisher. Asserts that every client received everything once, in order and soon.
    pub(crate) async fn noticed_nothing(mut self) {
        self.stop.send_replace(true);
        let count = within("the last event", self.publisher).await.expect("events are published");
        let mut slowest = Duration::ZERO;
        while let Some(client) = within("the clients' ends", self.clients.join_next()).await {
            let (numbers, latency) = client.expect("a stream goes on");
            assert_eq!(numbers, Vec::from_iter(0..count), "what an honest client received");
            slowest = slowest.max(latency);
        }
        println!("{count} events to honest clients took at most {slowest:?}");
        assert!(slowest < LATENCY, "an event to an honest client took {slowest:?}");
    }
}

/// Publishes until `stopping` says otherwise, and then the last event. Returns the number of events.
async fn publish(
    addr: SocketAddr,
    began: Instant,
    insists: bool,
    stopping: watch::Receiver<bool>,
) -> usize {
    let mut every = interval(Duration::from_millis(50));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0.. {
        every.tick().await;
        let ends = *stopping.borrow();
        let data = format!("{n} {} {ends}", began.elapsed().as_micros());
        let request = Request::post(&format!("/publish?topic=honest&key={n}"), data);
        let mut response = within("an answer to an honest publisher", async {
            loop {
                match Connection::try_send(addr, &request).await {
                    Ok(response) => break response,
                    Err(error) => assert!(insists, "an honest publisher is not served: {error}"),
                }
            }
        })
        .await;
        assert_eq!(response.status(), 200);
        response.read_to_end().await;
        if ends {
            return n + 1;
        }
    }
    unreachable!("there is always another number")
}

/// Reads to the last event. Returns the events' numbers and the longest latency.
async fn listen(mut stream: Response, began: Instant) -> (Vec<usize>, Duration) {
    let (mut numbers, mut slowest) = (Vec::new(), Duration::ZERO);
    loop {
        let message = stream.next_message().await;
        let mut fields = message.data().split(' ');
        let mut next = || fields.next().expect("three fields");
        numbers.push(next().parse().expect("a number"));
        let sent = Duration::from_micros(next().parse().expect("microseconds"));
        slowest = slowest.max(began.elapsed().saturating_sub(sent));
        if next() == "true" {
            return (numbers, slowest);
        }
    }
}
