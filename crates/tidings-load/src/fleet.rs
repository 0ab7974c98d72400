use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until};

use crate::client::{self, Protocol};
use crate::context::FleetContext;
use crate::counts::{Sample, Tally};
use crate::http2::Connections;
use crate::measures::Measures;
use crate::publisher::LastEvent;
use crate::stream::{LAST_CHECK, micros_since};
use crate::{LoadError, LoadErrorKind, Plan, Report, Target, report};

/// How often the load generator measures how late it is.
const LAG_EVERY: Duration = Duration::from_millis(20);

/// How long clients may take to receive the last event.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// Many clients of one server, which share a thread.
///
/// The clients connect, read, and resume as [`Plan`] says, until the fleet is dropped. A fleet
/// opens all sockets in this process; [`Load`](crate::Load) starts further processes for more.
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
    context: Arc<FleetContext>,
    began: Instant,
    /// Ends the thread when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Fleet {
    /// Connects this number of clients, all at once, and returns when all of them stream.
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
    /// It first raises the process's limit of open files as far as the system allows.
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Settings`] if the plan is invalid; [`LoadErrorKind::Unreachable`] if
    /// the host's name is unknown; [`LoadErrorKind::System`] if no thread is available, or the
    /// process may not open as many files.
    pub async fn start(plan: Plan) -> Result<Self, LoadError> {
        plan.check()?;
        crate::files::allow(plan.sockets())?;
        let server = plan.target.resolve().await?;
        Self::start_at(plan.with_sources_for(server), server)
    }

    pub(crate) fn start_at(plan: Plan, server: SocketAddr) -> Result<Self, LoadError> {
        let protocol = match plan.http2 {
            Some(streams) => Protocol::Http2(Connections::new(plan.clients, streams)),
            None => Protocol::Http1,
        };
        let context = Arc::new(FleetContext::new(plan, server));
        let (stop, stopped) = oneshot::channel();
        let cannot = |error| {
            LoadError::new(LoadErrorKind::System, "cannot start the clients' thread")
                .with_source(error)
        };
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let of_thread = context.clone();
        let thread = thread::Builder::new()
            .name("tidings-load".into())
            .spawn(move || {
                runtime.block_on(run(of_thread, protocol.into(), stopped));
                // This closes all sockets.
                drop(runtime);
            })
            .map_err(cannot)?;
        Ok(Self { context, began: Instant::now(), stop: Some(stop), thread: Some(thread) })
    }

    /// Waits until every client streams, or has done so.
    ///
    /// # Errors
    ///
    /// When a client has given up: [`LoadErrorKind::Refused`] or [`LoadErrorKind::Unreachable`],
    /// with the reason.
    pub async fn wait_connected(&self) -> Result<(), LoadError> {
        let clients = self.context.plan.clients as u64;
        self.wait(|measures| measures.tally.clients.streamed == clients).await
    }

    /// Waits until every client has received this number of events since the fleet was started, or
    /// since [`restart_measuring`](Self::restart_measuring) was called. A hub's own events do not
    /// count. With stalled clients it waits forever.
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
        self.context.measures.lock().tally.clients.connected_at_end
    }

    /// How many events all clients together have received.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        self.context.measures.lock().tally.deliveries.total
    }

    /// What was measured so far, without samples over time. [`Load`](crate::Load) takes those.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::new(&self.context.plan.target, self.began.elapsed(), self.tally())
    }

    /// Forgets what was counted so far, and measures from now on. It still knows the last event of
    /// each client, so an event that is missed at this moment is found.
    pub fn restart_measuring(&mut self) {
        self.context.measures.lock().restart();
        self.began = Instant::now();
    }

    /// Ends all clients, and returns when their sockets are closed.
    pub async fn close(mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It may take a while to close thousands of sockets.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    /// Why most of the clients that gave up did so.
    pub(crate) fn reason(&self) -> String {
        reason(&self.context.measures.lock().tally).unwrap_or_default().to_owned()
    }

    /// Waits until it is clear that no client will get a stream.
    pub(crate) async fn failed(&self) {
        loop {
            let changed = self.context.changed.notified();
            if self.context.measures.lock().is_hopeless() {
                return;
            }
            changed.await;
        }
    }

    /// Lets clients receive the last event that was published, and stalled ones check their
    /// connections. Returns what was measured.
    pub(crate) async fn finish(&self, last: Option<LastEvent>) -> Tally {
        let in_time = self.deliveries();
        let (mut published_to, mut behind) = (0, 0);
        if let Some(last) = last {
            published_to = self.context.measures.lock().published_to(last);
            behind = self.settle(last).await;
        }
        self.thaw().await;
        Tally { in_time, published_to, behind, ..self.tally() }
    }

    /// Waits until every reading client has the last event, for no longer than [`SETTLE`]. Returns
    /// how many do not.
    async fn settle(&self, last: LastEvent) -> u64 {
        let end = Instant::now() + SETTLE;
        loop {
            let behind = self.context.measures.lock().behind(last);
            if behind == 0 || Instant::now() >= end {
                return behind;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets stalled clients check whether their connections are still there.
    async fn thaw(&self) {
        if self.context.measures.lock().tally.clients.stalled == 0 {
            return;
        }
        self.context.thaw.send_replace(true);
        sleep(LAST_CHECK + Duration::from_millis(200)).await;
    }

    fn tally(&self) -> Tally {
        self.context.measures.lock().tally()
    }

    pub(crate) fn take_samples(&self) -> Vec<Sample> {
        self.context.measures.lock().take_samples()
    }

    async fn wait(
        &self,
        mut is_reached: impl FnMut(&mut Measures) -> bool,
    ) -> Result<(), LoadError> {
        loop {
            // Created first, so that it also sees a change that comes after the check.
            let changed = self.context.changed.notified();
            {
                let mut measures = self.context.measures.lock();
                if is_reached(&mut measures) {
                    return Ok(());
                }
                if let Some(reason) = reason(&measures.tally) {
                    return Err(report::refusal(&self.context.plan.target, "", reason));
                }
            }
            changed.await;
        }
    }
}

/// Why most of the clients that are gone for good are so.
fn reason(tally: &Tally) -> Option<&str> {
    let most = tally.clients.gave_up.iter().max_by_key(|(_, clients)| **clients);
    let finished = (tally.clients.finished > 0).then_some("the server answers 204");
    most.map(|(reason, _)| reason.as_str()).or(finished)
}

async fn run(context: Arc<FleetContext>, protocol: Arc<Protocol>, stopped: oneshot::Receiver<()>) {
    tokio::spawn(connect_all(context.clone(), protocol));
    tokio::spawn(take_samples(context.clone()));
    tokio::spawn(measure_lag(context.clone()));
    if let Some(interval) = context.plan.storm {
        tokio::spawn(make_storms(context.clone(), interval));
    }
    let _ = stopped.await;
}

async fn connect_all(context: Arc<FleetContext>, protocol: Arc<Protocol>) {
    let began = Instant::now();
    let clients = context.plan.clients;
    for client in 0..clients {
        let turn = began + context.plan.ramp.mul_f64(client as f64 / clients as f64);
        if turn > Instant::now() {
            sleep_until(turn).await;
        } else if client % 32 == 0 {
            // Clients that are connected already must read.
            tokio::task::yield_now().await;
        }
        tokio::spawn(client::live(context.clone(), protocol.clone(), client));
    }
}

async fn take_samples(context: Arc<FleetContext>) {
    let every = context.plan.sample_every;
    let mut ticks = interval_at(Instant::now() + every, every);
    loop {
        ticks.tick().await;
        context.measures.lock().sample();
    }
}

async fn make_storms(context: Arc<FleetContext>, interval: Duration) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        context.storm.send_modify(|storms| *storms += 1);
    }
}

async fn measure_lag(context: Arc<FleetContext>) {
    loop {
        let began = Instant::now();
        sleep(LAG_EVERY).await;
        context.measures.lock().tally.lag.record(micros_since(began + LAG_EVERY));
    }
}
