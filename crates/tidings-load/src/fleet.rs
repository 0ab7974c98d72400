use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use crate::client;
use crate::http2::Connections;
use crate::measures::Measures;
use crate::tally::{Sample, Tally};
use crate::{LoadError, LoadErrorKind, Plan, Report, Target};

/// How often the load generator looks how late it is.
const LAG_EVERY: Duration = Duration::from_millis(20);

/// Many clients of one server, on one thread of their own.
///
/// The clients connect, read, and resume as [`Plan`] says, until the fleet is dropped. One fleet
/// opens one socket for each client; [`Load`](crate::Load) spreads more than one process may have
/// over several.
///
/// ```no_run
/// use tidings_load::{Fleet, Target};
///
/// # async fn run() -> Result<(), tidings_load::LoadError> {
/// let target = Target::parse("http://127.0.0.1:3000/events?topic=load")?;
/// let fleet = Fleet::connect(&target, 1000).await?;
/// // ... publish ten events ...
/// fleet.wait_for_deliveries(10).await?;
/// let report = fleet.report();
/// println!("{} ms", report.latency_ms.p99);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    began: Instant,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What a fleet and its clients share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) server: SocketAddr,
    /// The request's head but for the `Last-Event-ID`.
    pub(crate) request: Vec<u8>,
    /// A slow reader reads so many bytes, then pauses.
    pub(crate) slow_bytes: usize,
    pub(crate) slow_pause: Duration,
    pub(crate) measures: Mutex<Measures>,
    /// A client streams, has given up, or has what somebody waits for.
    pub(crate) changed: Notify,
    pub(crate) storm: watch::Sender<u64>,
    pub(crate) thaw: watch::Sender<bool>,
    /// The connections that clients share.
    pub(crate) http2: Option<Connections>,
}

impl Fleet {
    /// Connects so many clients, all at once, and returns when all of them stream.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`wait_connected`](Self::wait_connected).
    pub async fn connect(target: &Target, clients: usize) -> Result<Self, LoadError> {
        let fleet = Self::start(Plan::new(target.clone(), clients)).await?;
        fleet.wait_connected().await?;
        Ok(fleet)
    }

    /// Starts the clients of a plan, and returns at once.
    ///
    /// It first allows the process as many open files as the system lets it have.
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Settings`] if the plan makes no sense; [`LoadErrorKind::Unreachable`] if
    /// the host's name is unknown; [`LoadErrorKind::System`] if there is no thread to be had, or
    /// the process may not open as many files.
    pub async fn start(plan: Plan) -> Result<Self, LoadError> {
        plan.check()?;
        crate::files::allow(plan.sockets())?;
        let server = plan.target.resolve().await?;
        Self::start_at(plan.with_sources_for(server), server)
    }

    pub(crate) fn start_at(plan: Plan, server: SocketAddr) -> Result<Self, LoadError> {
        // Ten times a second, or as often as there is a byte to read.
        let slow_bytes = plan.slow_rate.div_ceil(10).max(1);
        let slow_pause = Duration::from_secs_f64(slow_bytes as f64 / plan.slow_rate.max(1) as f64);
        let shared = Arc::new(Shared {
            request: plan.target.get(),
            server,
            slow_bytes: usize::try_from(slow_bytes).unwrap_or(usize::MAX),
            slow_pause,
            measures: Mutex::new(Measures::new((0..plan.clients).map(|at| plan.kind(at)))),
            changed: Notify::new(),
            storm: watch::Sender::new(0),
            thaw: watch::Sender::new(false),
            http2: plan.http2.map(|streams| Connections::new(plan.clients, streams)),
            plan,
        });
        let (stop, stopped) = oneshot::channel();
        let cannot = |error| {
            LoadError::new(LoadErrorKind::System, "cannot start the clients' thread")
                .with_source(error)
        };
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let of_thread = shared.clone();
        let thread = thread::Builder::new()
            .name("tidings-load".into())
            .spawn(move || {
                runtime.block_on(run(of_thread, stopped));
                // With it go all clients and their sockets.
                drop(runtime);
            })
            .map_err(cannot)?;
        Ok(Self { shared, began: Instant::now(), stop: Some(stop), thread: Some(thread) })
    }

    /// Waits until every client streams, or has done so.
    ///
    /// # Errors
    ///
    /// When a client has given up: [`LoadErrorKind::Refused`] or [`LoadErrorKind::Unreachable`],
    /// with the reason.
    pub async fn wait_connected(&self) -> Result<(), LoadError> {
        let clients = self.shared.plan.clients as u64;
        self.wait(|measures| measures.tally.streamed == clients).await
    }

    /// Waits until every client has received so many events since the fleet was started, or
    /// [`restart_measuring`](Self::restart_measuring) was called. A hub's own status events do not
    /// count. Clients that never read do not get there.
    ///
    /// # Errors
    ///
    /// When a client has given up, as in [`wait_connected`](Self::wait_connected).
    pub async fn wait_for_deliveries(&self, deliveries: u64) -> Result<(), LoadError> {
        self.wait(|measures| measures.all_have(deliveries)).await
    }

    /// How many clients stream now.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.shared.measures.lock().tally.connected
    }

    /// How many events all clients together have received.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.shared.measures.lock().tally.deliveries
    }

    /// What was measured so far. Without samples over time: those are for [`Load`](crate::Load).
    #[must_use]
    pub fn report(&self) -> Report {
        let plan = &self.shared.plan;
        Report::new(&plan.target, plan.clients, self.began.elapsed(), &self.tally())
    }

    /// Forgets what was counted so far, and measures from here on. What is known of each client's
    /// last event stays: one that is missed across this line is found.
    pub fn restart_measuring(&mut self) {
        self.shared.measures.lock().restart();
        self.began = Instant::now();
    }

    /// Ends all clients, and returns when their sockets are closed.
    pub async fn close(mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Elsewhere, for it may take a while until thousands of sockets are closed.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Why most of those clients that have given up did so.
    pub(crate) fn reason(&self) -> String {
        reason(&self.shared.measures.lock().tally).unwrap_or_default().to_owned()
    }

    /// Waits until a client has given up before any other has streamed.
    pub(crate) async fn failed(&self) {
        let hopeless = |tally: &Tally| tally.streamed == 0 && !tally.gave_up.is_empty();
        loop {
            let changed = self.shared.changed.notified();
            if hopeless(&self.shared.measures.lock().tally) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until every reading client has the newest event, but not longer than `limit`.
    pub(crate) async fn settle(&self, limit: Duration) {
        let settled = async {
            while self.shared.measures.lock().behind() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = timeout(limit, settled).await;
    }

    /// Lets stalled clients look whether their connections are still there.
    pub(crate) async fn thaw(&self) {
        if self.shared.measures.lock().tally.stalled == 0 {
            return;
        }
        self.shared.thaw.send_replace(true);
        sleep(client::LAST_LOOK + Duration::from_millis(200)).await;
    }

    pub(crate) fn tally(&self) -> Tally {
        self.shared.measures.lock().tally()
    }

    pub(crate) fn take_samples(&self) -> Vec<Sample> {
        self.shared.measures.lock().take_samples()
    }

    async fn wait(&self, mut is_so: impl FnMut(&mut Measures) -> bool) -> Result<(), LoadError> {
        loop {
            // Before the look, or a change between the two would be missed.
            let changed = self.shared.changed.notified();
            {
                let mut measures = self.shared.measures.lock();
                if is_so(&mut measures) {
                    return Ok(());
                }
                if let Some(error) = failure(&measures.tally, &self.shared.plan) {
                    return Err(error);
                }
            }
            changed.await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop = None;
    }
}

fn failure(tally: &Tally, plan: &Plan) -> Option<LoadError> {
    reason(tally).map(|reason| crate::report::refusal(&plan.target, reason))
}

fn reason(tally: &Tally) -> Option<&str> {
    let most = tally.gave_up.iter().max_by_key(|(_, clients)| **clients);
    most.map(|(reason, _)| reason.as_str())
}

async fn run(shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    tokio::spawn(connect_all(shared.clone()));
    tokio::spawn(take_samples(shared.clone()));
    tokio::spawn(measure_lag(shared.clone()));
    if let Some(interval) = shared.plan.storm {
        tokio::spawn(make_storms(shared.clone(), interval));
    }
    let _ = stopped.await;
}

async fn connect_all(shared: Arc<Shared>) {
    let began = Instant::now();
    let clients = shared.plan.clients;
    for client in 0..clients {
        let turn = began + shared.plan.ramp.mul_f64(client as f64 / clients as f64);
        if turn > Instant::now() {
            sleep_until(turn).await;
        } else if client % 32 == 0 {
            // Those that are connected already want to read.
            tokio::task::yield_now().await;
        }
        tokio::spawn(client::live(shared.clone(), client));
    }
}

async fn take_samples(shared: Arc<Shared>) {
    let every = shared.plan.sample_every;
    let mut ticks = interval_at(Instant::now() + every, every);
    loop {
        ticks.tick().await;
        shared.measures.lock().sample();
    }
}

async fn make_storms(shared: Arc<Shared>, interval: Duration) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.storm.send_modify(|storms| *storms += 1);
    }
}

async fn measure_lag(shared: Arc<Shared>) {
    loop {
        let began = Instant::now();
        sleep(LAG_EVERY).await;
        let late = began.elapsed().saturating_sub(LAG_EVERY);
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        shared.measures.lock().tally.lag.record(micros);
    }
}
