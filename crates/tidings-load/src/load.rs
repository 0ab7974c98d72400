use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::counts::{Sample, Tally};
use crate::publisher::{LastEvent, PublishTally, new_stream, publish};
use crate::workers::{self, Workers};
use crate::{Fleet, LoadError, Plan, Publishing, Report, Target, files, report};

/// The number of samples in a plot.
const SAMPLES: f64 = 100.0;
/// The shortest and the longest sample, in seconds.
const SAMPLE_SECONDS: (f64, f64) = (0.25, 60.0);

/// The end of such a run is a time that the system knows.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A whole run: clients, in as many processes as necessary, and optionally a publisher.
///
/// ```no_run
/// use std::time::Duration;
/// use tidings_load::{Load, Plan, Publishing, Target};
///
/// # async fn run() -> Result<(), tidings_load::LoadError> {
/// let target = Target::parse("http://127.0.0.1:3000/events?topic=load")?;
/// let publish = Target::parse("http://127.0.0.1:3000/publish?topic=load")?;
/// let report = Load::new(Plan::new(target, 1000))
///     .run_for(Duration::from_secs(5))
///     .publish(Publishing::new(publish).rate(50.0))
///     .run()
///     .await?;
/// assert!(report.clean);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Load {
    plan: Plan,
    run_for: Duration,
    publishing: Option<Publishing>,
    clients_per_process: Option<usize>,
    worker: Option<PathBuf>,
}

/// The progress of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The time since the run began.
    pub elapsed: Duration,
    /// The length of the whole run.
    pub run_for: Duration,
    /// Clients that stream now.
    pub connected: u64,
    /// All clients of the plan.
    pub clients: u64,
    /// Events received so far, over all clients.
    pub deliveries: u64,
    /// Deliveries a second in the last sample.
    pub per_second: f64,
    /// The time that 99 % of the deliveries in the last sample did not exceed, in milliseconds; 0 if
    /// it has none.
    pub latency_p99_ms: f64,
}

impl Load {
    /// Runs a plan for 10 seconds.
    pub fn new(plan: Plan) -> Self {
        let run_for = Duration::from_secs(10);
        Self { plan, run_for, publishing: None, clients_per_process: None, worker: None }
    }

    /// The length of the run, including the ramp; at most a year. Default 10 seconds.
    pub fn run_for(mut self, duration: Duration) -> Self {
        self.run_for = duration;
        self
    }

    /// Publishes while the clients listen. Default: nothing is published.
    pub fn publish(mut self, publishing: impl Into<Option<Publishing>>) -> Self {
        self.publishing = publishing.into();
        self
    }

    /// How many clients, or connections of HTTP/2, one process may have. Default: the limit of open
    /// files, less 64. For more, further processes are started: see [`worker`](Self::worker).
    pub fn clients_per_process(mut self, clients: impl Into<Option<usize>>) -> Self {
        self.clients_per_process = clients.into();
        self
    }

    /// The program of further processes. It must call [`work`](crate::work) if its only argument is
    /// [`WORKER_ARGUMENT`](crate::WORKER_ARGUMENT). Default: this program.
    pub fn worker(mut self, program: impl Into<PathBuf>) -> Self {
        self.worker = Some(program.into());
        self
    }

    /// Runs to its end.
    ///
    /// For more clients than one process may have, it starts further processes of this program,
    /// which must call [`work`](crate::work): see [`worker`](Self::worker).
    ///
    /// # Errors
    ///
    /// [`LoadErrorKind::Settings`](crate::LoadErrorKind::Settings) if an option is invalid;
    /// [`Unreachable`](crate::LoadErrorKind::Unreachable) or
    /// [`Refused`](crate::LoadErrorKind::Refused) if no client gets a stream, or the first event
    /// cannot be published; [`System`](crate::LoadErrorKind::System) if a process or thread is
    /// unavailable, if a worker process ends, or if this process is one.
    ///
    /// If only some clients fail, the report says so.
    pub async fn run(self) -> Result<Report, LoadError> {
        self.run_until(pending(), |_| {}).await
    }

    /// As [`run`](Self::run), but ends early when `ended` completes, and reports its progress
    /// several times a second.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_until(
        self,
        ended: impl Future<Output = ()>,
        mut on_progress: impl FnMut(Progress),
    ) -> Result<Report, LoadError> {
        workers::refuse_in_worker()?;
        self.check()?;
        let (shortest, longest) = SAMPLE_SECONDS;
        let every = (self.run_for.as_secs_f64() / SAMPLES).clamp(shortest, longest);
        let every = Duration::from_secs_f64(every);
        let server = self.plan.target.resolve().await?;
        let mut plan = self.plan.clone().with_sources_for(server).sample_every(every);
        let stream = new_stream();
        plan.fields.published = self.publishing.is_some().then(|| stream.clone());
        let per_process = self.clients_per_process.unwrap_or_else(files::clients_per_process);
        let processes = plan.sockets().div_ceil(per_process.max(1));
        let mut clients = match processes {
            1 => RunClients::Own(Fleet::start(plan.clone()).await?),
            _ => {
                let program = self.worker.as_deref();
                RunClients::Workers(Workers::start(&plan, server, processes, program).await?)
            }
        };

        let published = Arc::new(Mutex::new(PublishTally::default()));
        let tally = published.clone();
        let publishing = self.publishing.clone();
        let publisher = async move {
            match publishing {
                Some(publishing) => publish(publishing, stream, tally).await,
                None => pending().await,
            }
        };
        let began = Instant::now();
        let mut history = History::new(every, processes);
        let mut interrupted = false;
        {
            let mut publisher = pin!(publisher);
            let mut ended = pin!(ended);
            let mut end = pin!(sleep_until(began + self.run_for));
            let mut ticks = interval(every.min(Duration::from_millis(250)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    biased;
                    () = &mut ended => {
                        interrupted = true;
                        break;
                    }
                    () = &mut end => break,
                    error = clients.failed(&plan.target) => return Err(error),
                    failed = &mut publisher => match failed {
                        Err(error) => return Err(error),
                        Ok(never) => match never {},
                    },
                    _ = ticks.tick() => {
                        history.add(clients.take_samples());
                        on_progress(history.progress(began.elapsed(), self.run_for, plan.clients));
                    }
                }
            }
        }
        // The publisher ended with its scope. The time for the last deliveries does not count.
        let took = began.elapsed();
        published.lock().end();
        let last = published.lock().last();
        let tally = clients.finish(last).await?;
        let received_by = tally.received_published;
        let behind = tally.behind;
        let is_in_vain = received_by == 0 && tally.published_to > 0;
        history.add(clients.take_samples());
        let samples = history.until(took);
        let mut report = Report::new(&plan.target, took, tally).with_timeline(&samples, every);
        report.processes = processes;
        report.interrupted = interrupted;
        if self.publishing.is_some() {
            report.published = Some(published.lock().report(took, received_by));
            report.behind_at_end = behind;
            report.clean &= behind == 0 && !is_in_vain;
        }
        if let RunClients::Own(fleet) = clients {
            fleet.close().await;
        }
        Ok(report)
    }

    fn check(&self) -> Result<(), LoadError> {
        self.plan.check()?;
        if let Some(publishing) = &self.publishing {
            publishing.check()?;
        }
        let clients_per_process = self.clients_per_process;
        LoadError::refuse_if([
            (self.run_for.is_zero(), "for: must be greater than 0"),
            (self.run_for > LONGEST, "for: must not be longer than a year"),
            (self.plan.ramp >= self.run_for, "ramp: must be shorter than the whole run"),
            (clients_per_process == Some(0), "clients per process: must be at least 1"),
        ])
    }
}

/// The clients of a run: in this process, or in several others.
enum RunClients {
    Own(Fleet),
    Workers(Workers),
}

impl RunClients {
    fn take_samples(&mut self) -> Vec<Sample> {
        match self {
            Self::Own(fleet) => fleet.take_samples(),
            Self::Workers(workers) => workers.take_samples(),
        }
    }

    /// Waits until it is clear that no client gets a stream, or that a worker has failed.
    async fn failed(&mut self, target: &Target) -> LoadError {
        match self {
            Self::Own(fleet) => {
                fleet.failed().await;
                report::refusal(target, "", &fleet.reason())
            }
            Self::Workers(workers) => workers.failed(target).await,
        }
    }

    async fn finish(&mut self, last: Option<LastEvent>) -> Result<Tally, LoadError> {
        match self {
            Self::Own(fleet) => Ok(fleet.finish(last).await),
            Self::Workers(workers) => workers.finish(last).await,
        }
    }
}

/// The samples of all processes, by number.
struct History {
    every: Duration,
    processes: usize,
    /// Each with the number of processes that have added to it.
    samples: Vec<(Sample, usize)>,
    deliveries: u64,
}

impl History {
    fn new(every: Duration, processes: usize) -> Self {
        Self { every, processes, samples: Vec::new(), deliveries: 0 }
    }

    fn add(&mut self, samples: Vec<Sample>) {
        for sample in samples {
            while self.samples.len() <= sample.number {
                let number = self.samples.len();
                self.samples.push((Sample { number, ..Sample::default() }, 0));
            }
            self.deliveries += sample.deliveries;
            if let Some((all, processes)) = self.samples.get_mut(sample.number) {
                all.add(&sample);
                *processes += 1;
            }
        }
    }

    /// The samples to which every process has added.
    fn complete(&self) -> impl DoubleEndedIterator<Item = &Sample> {
        let complete = self.samples.iter().filter(|(_, from)| *from == self.processes);
        complete.map(|(sample, _)| sample)
    }

    fn progress(&self, elapsed: Duration, run_for: Duration, clients: usize) -> Progress {
        let sample = self.complete().next_back();
        let per_second =
            |sample: &Sample| report::rate(sample.deliveries, self.every.as_secs_f64());
        Progress {
            elapsed,
            run_for,
            connected: sample.map_or(0, |sample| sample.connected),
            clients: clients as u64,
            deliveries: self.deliveries,
            per_second: sample.map_or(0.0, per_second),
            latency_p99_ms: sample
                .map_or(0.0, |sample| sample.latency.quantile(0.99) as f64 / 1000.0),
        }
    }

    /// The samples until the end of the run; later, nothing is published.
    fn until(self, took: Duration) -> Vec<Sample> {
        let most = (took.as_secs_f64() / self.every.as_secs_f64()) as usize;
        self.complete().take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_would_never_end_is_refused() {
        let target = Target::parse("http://127.0.0.1:3000/").unwrap();
        let error = Load::new(Plan::new(target, 1)).run_for(Duration::MAX).check().unwrap_err();
        assert_eq!(error.to_string(), "for: must not be longer than a year");
    }

    #[test]
    fn a_sample_is_complete_when_every_process_has_added_to_it() {
        let sample = |number| Sample { number, connected: 5, deliveries: 10, ..Sample::default() };
        let mut history = History::new(Duration::from_secs(1), 2);
        history.add(vec![sample(0), sample(1), sample(2)]);
        history.add(vec![sample(0), sample(1)]);
        let progress = history.progress(Duration::from_secs(2), Duration::from_secs(9), 10);
        assert_eq!((progress.connected, progress.deliveries), (10, 50));
        assert_eq!(progress.per_second, 20.0);
        assert_eq!(history.until(Duration::from_millis(1500)).len(), 1);
    }
}
