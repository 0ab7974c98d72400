//! The current state, made by the application in place of old events.
//!
//! Streams that share a hook share its calls. A stream has taken its position before it joins, and a call takes those along
//! that have joined before it begins; who comes later waits for the next one. So the state that a stream is sent is never
//! older than its position.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::client::Client;
use crate::clock::millis;
use crate::event::Event;
use crate::hub::shared::Shared;
use crate::sync::{HashMap, Mutex};
use crate::timers::{Timed, TimerSlot, drop_safely};
use crate::waking::{self, Waiter, Waiters};

type Made = Result<Snapshot, Box<dyn Error + Send + Sync>>;

/// For each stream that waits.
type Outcome = Result<Arc<Snapshot>, Arc<dyn Error + Send + Sync>>;

type SnapshotFuture = Pin<Box<dyn Future<Output = Made> + Send>>;

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

/// A function of the application that makes snapshots, whose calls are shared by the streams that have it: see
/// [`Subscribe::shared_snapshot`](crate::Subscribe::shared_snapshot). Made once, for instance as a part of the application's
/// state; clones are the same.
///
/// There is one call at a time. Streams that need a snapshot while it runs wait for the next one, and share that: a thousand
/// clients that come back at once take two calls, not a thousand. They are all sent the same, so what it returns must not
/// depend on who asks.
///
/// ```
/// use tidings::{Event, Hub, SharedSnapshot, Snapshot};
///
/// let stock = SharedSnapshot::new(|| async {
///     let level = 17; // from the database
///     Ok(Snapshot::new([Event::json("level", &level)?]))
/// });
/// let hub = Hub::new();
/// let stream = hub.subscribe("stock").shared_snapshot(&stock).open()?;
/// # Ok::<(), tidings::error::SubscribeError>(())
/// ```
#[derive(Clone)]
pub struct SharedSnapshot(Arc<Hook>);

struct Hook {
    call: Box<dyn Fn() -> SnapshotFuture + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts calls.
    number: u64,
    running: Option<Call>,
    /// Wait for the next call.
    joined: Waiting,
    /// A runtime runs the calls, and not the streams that wait. With the waker of its task.
    task: Option<Option<Waker>>,
    /// Somebody is polling the call, and is to poll it again.
    is_polled: bool,
    again: bool,
}

/// By their addresses.
type Waiting = HashMap<usize, Arc<Pending>>;

struct Call {
    /// None while it is polled.
    future: Option<SnapshotFuture>,
    waiting: Waiting,
    limit: Option<Arc<TimeLimit>>,
}

/// A stream that waits for a snapshot.
struct Pending {
    shared: Arc<Shared>,
    client: Arc<Client>,
    outcome: Mutex<Option<Outcome>>,
}

impl SharedSnapshot {
    /// A function that makes snapshots. It must read the state when it is called, or later: see
    /// [`Subscribe::snapshot`](crate::Subscribe::snapshot).
    pub fn new<F, Fut>(hook: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Snapshot, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let call = Box::new(move || -> SnapshotFuture { Box::pin(hook()) });
        Self(Arc::new(Hook { call, state: Mutex::default() }))
    }
}

impl fmt::Debug for SharedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSnapshot")
    }
}

/// A snapshot that a stream waits for.
pub(super) struct AwaitedSnapshot {
    hook: Arc<Hook>,
    pending: Arc<Pending>,
}

impl AwaitedSnapshot {
    /// The stream has taken its position.
    pub(super) fn new(
        SharedSnapshot(hook): SharedSnapshot,
        shared: Arc<Shared>,
        client: Arc<Client>,
    ) -> Self {
        let pending = Arc::new(Pending { shared, client, outcome: Mutex::new(None) });
        hook.state.lock().joined.insert(pending.key(), pending.clone());
        Self { hook, pending }
    }

    /// A task that makes it, unless there is one.
    pub(super) fn take_task(&mut self) -> Option<SnapshotTask> {
        let mut state = self.hook.state.lock();
        if state.task.is_some() || !state.is_waited_for(self.pending.key()) {
            return None;
        }
        state.task = Some(None);
        Some(SnapshotTask { hook: self.hook.clone(), is_over: false })
    }

    /// `makes` says whether the caller may run the application. The client has the waker of the caller.
    pub(super) fn poll(&mut self, makes: bool) -> Poll<Outcome> {
        if let Some(outcome) = self.pending.outcome.lock().take() {
            return Poll::Ready(outcome);
        }
        if makes && self.hook.state.lock().task.is_none() {
            let waker = Waker::from(self.hook.clone());
            self.hook.poll_call(&mut Context::from_waker(&waker));
            if let Some(outcome) = self.pending.outcome.lock().take() {
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    }
}

impl Drop for AwaitedSnapshot {
    fn drop(&mut self) {
        self.hook.leave(self.pending.key());
    }
}

impl Pending {
    fn key(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

impl State {
    fn is_waited_for(&self, key: usize) -> bool {
        let is_running = |call: &Call| call.waiting.contains_key(&key);
        self.joined.contains_key(&key) || self.running.as_ref().is_some_and(is_running)
    }

    /// Begins the next call, if somebody waits for it. Its future does not exist yet.
    fn begin(&mut self) -> Option<&mut Call> {
        let waiting = mem::take(&mut self.joined);
        if waiting.is_empty() {
            return None;
        }
        self.number += 1;
        Some(self.running.insert(Call { future: None, waiting, limit: None }))
    }

    /// Those that are to be woken because something is to be done: the streams, if they do it themselves.
    fn wake(&self) -> Wakes {
        match &self.task {
            Some(task) => Wakes::Task(task.clone()),
            None => {
                let waiting = self.running.iter().flat_map(|call| call.waiting.values());
                Wakes::Streams(waiters(self, waiting.chain(self.joined.values())))
            }
        }
    }
}

/// Those that wait for something.
fn waiters<'a, T>(of: &T, waiting: impl Iterator<Item = &'a Arc<Pending>>) -> Waiters {
    let waiting = waiting.map(|pending| pending.client.clone() as Arc<dyn Waiter>);
    Waiters::of(ptr::from_ref(of).addr(), waiting.enumerate().collect())
}

/// To be woken with no lock held.
#[must_use]
enum Wakes {
    Task(Option<Waker>),
    Streams(Waiters),
}

impl Wakes {
    fn wake(self) {
        match self {
            Self::Task(task) => task.into_iter().for_each(Waker::wake),
            Self::Streams(streams) => waking::wake(streams),
        }
    }
}

impl Hook {
    /// Goes on with the current call, or begins the next one. Somebody else may be doing that.
    fn poll_call(self: &Arc<Self>, cx: &mut Context<'_>) {
        loop {
            let mut state = self.state.lock();
            if state.is_polled {
                state.again = true;
                return;
            }
            let (future, begins) = match &mut state.running {
                Some(call) => (call.future.take(), None),
                None => match state.begin() {
                    Some(call) => (None, call.waiting.values().next().cloned()),
                    None => return,
                },
            };
            state.is_polled = true;
            let number = state.number;
            drop(state);
            // If the application panics, its streams fail, and the next call is not concerned.
            let polling = Polling { hook: self, number };
            if let Some(pending) = begins {
                self.limit_time(number, &pending);
            }
            let mut future = future.unwrap_or_else(|| (self.call)());
            let polled = future.as_mut().poll(cx);
            mem::forget(polling);
            let mut state = self.state.lock();
            state.is_polled = false;
            let again = mem::take(&mut state.again);
            // It may have been given up meanwhile.
            let is_current = state.number == number;
            let call = state.running.as_mut().filter(|_| is_current);
            match (polled, call) {
                (Poll::Pending, Some(call)) => call.future = Some(future),
                (Poll::Ready(made), Some(_)) => {
                    drop(state);
                    drop_safely(future);
                    self.finish(number, made);
                }
                (_, None) => {
                    drop(state);
                    drop_safely(future);
                }
            }
            if !again {
                return;
            }
        }
    }

    fn limit_time(self: &Arc<Self>, number: u64, pending: &Arc<Pending>) {
        let shared = &pending.shared;
        shared.counters.snapshots.add();
        let Some(limit) = shared.defaults.snapshot_timeout else { return };
        let hook = self.clone();
        let at = shared.clock.now().saturating_add(millis(limit));
        let (shared, slot) = (shared.clone(), TimerSlot::new());
        let limit = Arc::new(TimeLimit { hook, number, shared, slot });
        limit.shared.clock.schedule(&limit, at);
        let mut state = self.state.lock();
        let is_current = state.number == number;
        if let Some(call) = state.running.as_mut().filter(|_| is_current) {
            call.limit = Some(limit);
        }
    }

    /// Gives the streams of a call its outcome, unless it has been given up. Returns whether it was not.
    fn finish(&self, number: u64, made: Made) -> bool {
        let mut state = self.state.lock();
        let is_current = state.number == number;
        let Some(call) = state.running.take_if(|_| is_current) else { return false };
        // A task that nobody wakes would keep streams that come later from having their own.
        let goes_on = state.task.is_some() || !state.joined.is_empty();
        let next = goes_on.then(|| state.wake());
        drop(state);
        call.end(made);
        // Somebody begins the next one, or the task ends.
        next.into_iter().for_each(Wakes::wake);
        true
    }

    /// A stream waits no more. If it was the last one, its call is given up.
    fn leave(&self, key: usize) {
        let mut state = self.state.lock();
        state.joined.remove(&key);
        if let Some(call) = &mut state.running {
            call.waiting.remove(&key);
        }
        let given_up = state.running.take_if(|call| call.waiting.is_empty());
        let wakes = given_up.is_some().then(|| state.wake());
        drop(state);
        // Outside the lock: it is the application's.
        if let Some(call) = given_up {
            call.end(Ok(Snapshot::default()));
        }
        wakes.into_iter().for_each(Wakes::wake);
    }
}

impl Call {
    fn end(self, made: Made) {
        let Self { future, waiting, limit } = self;
        // This may be the timer thread, or one that serves many streams: outside of the application's runtime, its drop may
        // panic.
        drop_safely(future);
        if let Some(limit) = limit {
            limit.shared.clock.cancel(&limit.slot);
        }
        let outcome: Outcome = made.map(Arc::new).map_err(Arc::from);
        for pending in waiting.values() {
            *pending.outcome.lock() = Some(outcome.clone());
        }
        waking::wake(waiters(&waiting, waiting.values()));
    }
}

/// The call is woken: whoever is first of those that wait polls it. One alone might be a stream whose server does not poll
/// it.
impl Wake for Hook {
    fn wake(self: Arc<Self>) {
        let wakes = self.state.lock().wake();
        wakes.wake();
    }
}

/// Somebody is polling a call. Dropped when that panics.
struct Polling<'a> {
    hook: &'a Hook,
    number: u64,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let mut state = self.hook.state.lock();
        state.is_polled = false;
        state.again = false;
        drop(state);
        self.hook.finish(self.number, Err("it has panicked".into()));
    }
}

/// How long a call may take.
struct TimeLimit {
    hook: Arc<Hook>,
    number: u64,
    shared: Arc<Shared>,
    slot: TimerSlot,
}

impl Timed for TimeLimit {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, _: u64) -> Option<u64> {
        let seconds = self.shared.defaults.snapshot_timeout.unwrap_or_default().as_secs_f64();
        if self.hook.finish(self.number, Err(format!("it is not there after {seconds} s").into())) {
            self.shared.counters.snapshots_timed_out.add();
        }
        None
    }
}

/// Makes the snapshots that streams wait for, one call after the other, until none waits.
pub(crate) struct SnapshotTask {
    hook: Arc<Hook>,
    is_over: bool,
}

impl Future for SnapshotTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { hook, is_over } = self.get_mut();
        // Registered before the last look, so that the end of the last stream is not missed. Cloned before the lock is
        // taken, and dropped after it: a waker is an executor's code.
        let waker = cx.waker().clone();
        let before = hook.state.lock().task.replace(Some(waker));
        drop(before);
        // If the application panics, the call has failed, and woken this: see `Polling`. Streams that have joined since are
        // not concerned.
        let _ = catch_unwind(AssertUnwindSafe(|| hook.poll_call(cx)));
        let mut state = hook.state.lock();
        if state.running.is_some() || !state.joined.is_empty() {
            return Poll::Pending;
        }
        // Under the lock: a stream that joins now finds no task.
        let before = state.task.take();
        drop(state);
        drop(before);
        *is_over = true;
        Poll::Ready(())
    }
}

impl Drop for SnapshotTask {
    /// Of a runtime that shuts down: nobody makes what is waited for.
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.hook.state.lock();
        let before = state.task.take();
        let running = state.running.take();
        let joined = mem::take(&mut state.joined);
        drop(state);
        drop(before);
        let joined = Call { future: None, waiting: joined, limit: None };
        for call in running.into_iter().chain([joined]) {
            call.end(Err("its task has ended early".into()));
        }
    }
}

impl fmt::Debug for SnapshotTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotTask")
    }
}
