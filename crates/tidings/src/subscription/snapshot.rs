use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::client::Client;
use crate::clock::millis;
use crate::event::Event;
use crate::hub::shared::Shared;
use crate::sync::Mutex;
use crate::timers::{Timed, TimerSlot};
use crate::waking::Waiter;

type Outcome = Result<Snapshot, Box<dyn Error + Send + Sync>>;

type SnapshotFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The current state that a subscription's topics are about, as events.
///
/// See [`Subscribe::snapshot`](crate::Subscribe::snapshot).
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) events: Vec<Event>,
}

impl Snapshot {
    /// A snapshot of these events, sent in this order. Ids that they carry are left out.
    pub fn new(events: impl IntoIterator<Item = Event>) -> Self {
        Self { events: events.into_iter().collect() }
    }
}

/// The application's function that makes snapshots.
#[derive(Clone)]
pub(crate) struct SnapshotHook(Arc<dyn Fn() -> SnapshotFuture + Send + Sync>);

impl SnapshotHook {
    pub(crate) fn new<F, Fut>(hook: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(hook())))
    }
}

impl fmt::Debug for SnapshotHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotHook")
    }
}

/// Makes the snapshot that a stream waits for.
pub(crate) struct SnapshotTask {
    work: Work,
    pending: Arc<PendingSnapshot>,
}

enum Work {
    /// The application was not asked yet.
    Hook(SnapshotHook),
    Future(SnapshotFuture),
    Done,
}

/// A snapshot that a stream waits for.
pub(super) struct AwaitedSnapshot {
    /// Until a transport takes it.
    task: Option<SnapshotTask>,
    pending: Arc<PendingSnapshot>,
}

/// A snapshot, as its task, its stream and its time limit see it.
struct PendingSnapshot {
    shared: Arc<Shared>,
    client: Arc<Client>,
    state: Mutex<State>,
    slot: TimerSlot,
}

enum State {
    /// With the waker of the task, if that runs apart from the stream.
    Pending(Option<Waker>),
    Ready(Outcome),
    /// The stream has the outcome, or is gone.
    Over,
}

impl AwaitedSnapshot {
    pub(super) fn new(hook: SnapshotHook, shared: Arc<Shared>, client: Arc<Client>) -> Self {
        let task = SnapshotTask::new(hook, shared, client);
        Self { pending: task.pending.clone(), task: Some(task) }
    }

    pub(super) fn take_task(&mut self) -> Option<SnapshotTask> {
        let task = self.task.take()?;
        PendingSnapshot::start_timer(&self.pending);
        Some(task)
    }

    /// `makes` says whether the caller may run the application, if nobody has taken the task. The client has the waker
    /// of `cx`.
    pub(super) fn poll(&mut self, makes: bool, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = self.pending.take_outcome() {
            return Poll::Ready(outcome);
        }
        match &mut self.task {
            Some(task) if makes => task.poll_outcome(cx),
            _ => Poll::Pending,
        }
    }
}

impl Drop for AwaitedSnapshot {
    fn drop(&mut self) {
        self.pending.cancel();
    }
}

impl SnapshotTask {
    fn new(hook: SnapshotHook, shared: Arc<Shared>, client: Arc<Client>) -> Self {
        let state = Mutex::new(State::Pending(None));
        let slot = TimerSlot::new();
        let pending = Arc::new(PendingSnapshot { shared, client, state, slot });
        Self { work: Work::Hook(hook), pending }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        loop {
            match &mut self.work {
                Work::Hook(hook) => {
                    PendingSnapshot::start_timer(&self.pending);
                    let future = (hook.0)();
                    self.work = Work::Future(future);
                }
                Work::Future(future) => {
                    let outcome = std::task::ready!(future.as_mut().poll(cx));
                    self.work = Work::Done;
                    return Poll::Ready(outcome);
                }
                Work::Done => return Poll::Pending,
            }
        }
    }
}

impl Future for SnapshotTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // Registered before the last look, so that the end of the stream is not missed.
        if !this.pending.register(cx.waker()) {
            return Poll::Ready(());
        }
        let outcome = std::task::ready!(this.poll_outcome(cx));
        this.pending.finish(outcome);
        Poll::Ready(())
    }
}

impl Drop for SnapshotTask {
    fn drop(&mut self) {
        self.pending.finish(Err("its task has ended early".into()));
    }
}

impl fmt::Debug for SnapshotTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotTask").field("client", &self.pending.client.id).finish()
    }
}

impl PendingSnapshot {
    fn start_timer(this: &Arc<Self>) {
        if let Some(limit) = this.shared.defaults.snapshot_timeout {
            let clock = &this.shared.clock;
            clock.schedule(this, clock.now().saturating_add(millis(limit)));
        }
    }

    /// Registers the task's waker. Returns whether the snapshot is still waited for.
    fn register(&self, waker: &Waker) -> bool {
        // Cloned before the lock is taken, and dropped after it: a waker is an executor's code.
        let mut waker = Some(waker.clone());
        let mut state = self.state.lock();
        let State::Pending(registered) = &mut *state else { return false };
        std::mem::swap(registered, &mut waker);
        drop(state);
        drop(waker);
        true
    }

    /// Gives the stream its outcome, unless it has one.
    fn finish(&self, outcome: Outcome) -> bool {
        let mut state = self.state.lock();
        let State::Pending(_) = *state else { return false };
        let before = std::mem::replace(&mut *state, State::Ready(outcome));
        drop(state);
        self.client.wake();
        before.wake();
        true
    }

    /// The outcome, when there is one.
    fn take_outcome(&self) -> Option<Outcome> {
        let mut state = self.state.lock();
        if let State::Pending(_) = *state {
            return None;
        }
        let State::Ready(outcome) = std::mem::replace(&mut *state, State::Over) else {
            return None;
        };
        Some(outcome)
    }

    /// The stream needs it no more.
    fn cancel(&self) {
        self.shared.clock.cancel(&self.slot);
        let before = std::mem::replace(&mut *self.state.lock(), State::Over);
        before.wake();
    }
}

impl State {
    fn wake(self) {
        if let Self::Pending(Some(waker)) = self {
            waker.wake();
        }
    }
}

impl Timed for PendingSnapshot {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, _: u64) -> Option<u64> {
        let seconds = self.shared.defaults.snapshot_timeout.unwrap_or_default().as_secs_f64();
        if self.finish(Err(format!("it is not there after {seconds} s").into())) {
            self.shared.counters.snapshots_timed_out.add();
        }
        None
    }
}
