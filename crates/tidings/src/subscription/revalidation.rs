//! Whether a client may still be sent its stream, as the application says from time to time.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::attached::Attached;
use crate::client::Client;
use crate::clock::millis;
use crate::end_reason::EndReason;
use crate::heartbeat::timer::Call;
use crate::hub::shared::Shared;
use crate::retry::jittered;
use crate::sync::Mutex;
use crate::telling::tell;
use crate::timers::{Timed, TimerSlot};
use crate::waking::Waiter;

/// Whether the client may stay; or why that is not known.
type Outcome = Result<bool, Box<dyn Error + Send + Sync>>;

type CheckFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The application's check.
#[derive(Clone)]
pub(crate) struct Check {
    every: Duration,
    hook: Arc<dyn Fn() -> CheckFuture + Send + Sync>,
}

impl Check {
    pub(super) fn new<F, Fut>(every: Duration, hook: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        // A check at every quantum of the timers is enough for everybody.
        let every = every.max(Duration::from_millis(50));
        Self { every, hook: Arc::new(move || Box::pin(hook())) }
    }

    /// How long one may take, in milliseconds.
    fn limit(&self) -> u64 {
        millis(self.every.min(Revalidation::LIMIT))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("every", &self.every).finish_non_exhaustive()
    }
}

/// The checks of one stream: when the next one is due, and what the last ones said.
pub(super) struct Revalidation {
    check: Check,
    shared: Arc<Shared>,
    client: Arc<Client>,
    state: Mutex<State>,
    /// When the next check is due, and when the one that runs must have ended.
    slot: TimerSlot,
}

struct State {
    phase: Phase,
    /// Counts checks, so that one that was given up is not taken for the next one.
    number: u64,
    /// Checks in a row that have failed.
    failures: u32,
    /// The last check came too late: nothing is sent before one has succeeded.
    holds_back: bool,
}

enum Phase {
    Resting,
    /// Since this time nobody has begun the check.
    Due(u64),
    /// With the waker of the task.
    Running(Option<Waker>),
    Over,
}

impl Revalidation {
    /// A check takes no longer than this, and no longer than the time between two.
    const LIMIT: Duration = Duration::from_secs(10);

    /// After so many checks in a row that have failed, the stream ends.
    const FAILURES: u32 = 3;

    pub(super) fn start(check: Check, shared: &Arc<Shared>, client: &Arc<Client>) -> Arc<Self> {
        // Streams that were opened at one moment are not checked at one moment.
        let first = check.every.mul_f64(fastrand::f64());
        let state = State { phase: Phase::Resting, number: 0, failures: 0, holds_back: false };
        let this = Arc::new(Self {
            check,
            shared: shared.clone(),
            client: client.clone(),
            state: Mutex::new(state),
            slot: TimerSlot::new(),
        });
        this.schedule(shared.clock.now().saturating_add(millis(first)));
        this
    }

    fn schedule(self: &Arc<Self>, at: u64) {
        self.shared.clock.schedule(self, at);
    }

    /// The check that is due, which the caller begins.
    pub(super) fn take_task(self: &Arc<Self>) -> Option<CheckTask> {
        let now = self.shared.clock.now();
        let mut state = self.state.lock();
        let Phase::Due(since) = state.phase else { return None };
        state.holds_back |= self.is_late(since, now);
        state.phase = Phase::Running(None);
        state.number += 1;
        let number = state.number;
        drop(state);
        self.schedule(now.saturating_add(self.check.limit()));
        Some(CheckTask { revalidation: self.clone(), number, future: None })
    }

    fn is_late(&self, since: u64, now: u64) -> bool {
        now > since.saturating_add(self.check.limit())
    }

    /// Whether nothing may be sent before a check has succeeded: its stream was not polled when it was due.
    pub(super) fn holds_back(&self) -> bool {
        let state = self.state.lock();
        match state.phase {
            Phase::Due(since) if self.is_late(since, self.shared.clock.now()) => true,
            _ => state.holds_back,
        }
    }

    /// The stream need not look again before it is called.
    pub(super) fn rest(&self) {
        let state = self.state.lock();
        if let (Phase::Resting | Phase::Over, false) = (&state.phase, state.holds_back) {
            // Under the lock: the next check is not due yet.
            self.client.heartbeat.clear(Call::Check);
        }
    }

    /// The stream has ended.
    pub(super) fn cancel(&self) {
        self.shared.clock.cancel(&self.slot);
        let before = std::mem::replace(&mut self.state.lock().phase, Phase::Over);
        before.wake();
    }

    /// Registers the task's waker. Returns whether its check is still waited for.
    fn register(&self, number: u64, waker: &Waker) -> bool {
        // Cloned before the lock is taken, and dropped after it: a waker is an executor's code.
        let mut waker = Some(waker.clone());
        let mut state = self.state.lock();
        let is_current = state.number == number;
        let Phase::Running(registered) = &mut state.phase else { return false };
        if is_current {
            std::mem::swap(registered, &mut waker);
        }
        drop(state);
        drop(waker);
        is_current
    }

    /// A check has ended, or is given up. Returns when the next one is due, if this was not known already.
    fn conclude(&self, number: u64, outcome: Outcome) -> Option<u64> {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Running(_)) || state.number != number {
            return None;
        }
        state.failures = if outcome.is_ok() { 0 } else { state.failures + 1 };
        let end = match outcome {
            Ok(true) => None,
            Ok(false) => Some(EndReason::Revoked),
            Err(_) => (state.failures >= Self::FAILURES).then_some(EndReason::Expired),
        };
        let held_back = state.holds_back;
        state.holds_back &= !matches!(outcome, Ok(true));
        let phase = if end.is_some() { Phase::Over } else { Phase::Resting };
        let before = std::mem::replace(&mut state.phase, phase);
        drop(state);
        before.wake();
        if let Err(error) = outcome {
            self.shared.counters.checks_failed.add();
            let span = Attached::span(None);
            tell!(WARN, &self.client, span, reason = %error, "client's right could not be checked");
        }
        if let Some(reason) = end {
            self.client.end(reason);
            return None;
        }
        if held_back {
            self.client.wake();
        }
        let pause = millis(jittered(self.check.every));
        Some(self.shared.clock.now().saturating_add(pause))
    }
}

impl Phase {
    fn wake(self) {
        if let Self::Running(Some(waker)) = self {
            waker.wake();
        }
    }
}

impl Timed for Revalidation {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, now: u64) -> Option<u64> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Resting => {
                state.phase = Phase::Due(now);
                drop(state);
                self.client.heartbeat.call(Call::Check);
                None
            }
            Phase::Running(_) => {
                let number = state.number;
                drop(state);
                let seconds = self.check.limit() as f64 / 1_000.0;
                self.conclude(number, Err(format!("no answer after {seconds} s").into()))
            }
            Phase::Due(_) | Phase::Over => None,
        }
    }
}

impl fmt::Debug for Revalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revalidation").field("check", &self.check).finish_non_exhaustive()
    }
}

/// Makes one check. If it is dropped before it has ended, or panics, the check has failed.
pub(crate) struct CheckTask {
    revalidation: Arc<Revalidation>,
    number: u64,
    /// None before the application was asked.
    future: Option<CheckFuture>,
}

impl CheckTask {
    fn conclude(&self, outcome: Outcome) {
        if let Some(next) = self.revalidation.conclude(self.number, outcome) {
            self.revalidation.schedule(next);
        }
    }
}

impl Future for CheckTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // Registered before the last look, so that the end of the stream is not missed.
        if !this.revalidation.register(this.number, cx.waker()) {
            return Poll::Ready(());
        }
        let (hook, future) = (&this.revalidation.check.hook, &mut this.future);
        let ask = || future.get_or_insert_with(|| hook()).as_mut().poll(cx);
        // It may be the connection's own task that polls this.
        let outcome = match catch_unwind(AssertUnwindSafe(ask)) {
            Ok(polled) => std::task::ready!(polled),
            Err(_) => Err("it has panicked".into()),
        };
        this.conclude(outcome);
        Poll::Ready(())
    }
}

impl Drop for CheckTask {
    fn drop(&mut self) {
        self.conclude(Err("its task has ended early".into()));
    }
}

impl fmt::Debug for CheckTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckTask").field("client", &self.revalidation.client.id).finish()
    }
}
