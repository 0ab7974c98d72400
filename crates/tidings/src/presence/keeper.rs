//! When presence topics are kept: streams that come and go note it, and the timer thread does the work.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use super::attendance::Attendance;
use super::{PresenceRules, Who};
use crate::client::Client;
use crate::clock::{self, Clock};
use crate::sync::Mutex;
use crate::timers::{AFTER_PANIC, Timed, TimerSlot};

/// The part of a hub that keeps presence topics.
#[derive(Debug)]
pub(crate) struct Keeper {
    this: Weak<Self>,
    clock: Clock,
    /// No other lock is taken while this is held, but those of a stream's topics and of the timers.
    here: Mutex<Here>,
    work: Mutex<WorkState>,
    timer: TimerSlot,
}

#[derive(Debug)]
struct Here {
    attendance: Attendance,
    /// When the timer fires.
    due: u64,
    /// Another node does not know what this one has said.
    renews: bool,
}

/// What has happened on this node.
pub(super) struct News {
    /// Those who have come or left.
    pub(super) changed: Vec<Who>,
    /// When the next one leaves.
    pub(super) next: u64,
    /// Another node does not know what this one has said.
    pub(super) renews: bool,
}

/// What the keeper has its topics kept by.
pub(super) trait Work: Debug + Send {
    /// Does a part of what is to be done. Returns when to go on, if nothing wakes it before.
    fn step(&mut self, keeper: &Arc<Keeper>, now: u64) -> u64;
}

#[derive(Debug)]
enum WorkState {
    Waiting(Box<dyn Work>),
    /// One thread has it.
    Running,
    Closed,
}

impl Keeper {
    /// Begins when it [looks](Self::look). The work has a waker, which makes the keeper look.
    pub(super) fn new<W: Work + 'static>(
        rules: Arc<PresenceRules>,
        clock: &Clock,
        work: impl FnOnce(Waker) -> W,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let waker = Waker::from(Arc::new(Alarm(this.clone())));
            Self {
                this: this.clone(),
                clock: clock.clone(),
                here: Mutex::new(Here {
                    attendance: Attendance::new(rules),
                    due: u64::MAX,
                    renews: false,
                }),
                work: Mutex::new(WorkState::Waiting(Box::new(work(waker)))),
                timer: TimerSlot::new(),
            }
        })
    }

    /// A stream has begun, has changed its topics, or has ended.
    pub(crate) fn update(self: &Arc<Self>, client: &Client) {
        let Some(principal) = &client.principal else { return };
        let times = (self.clock.now(), clock::unix_millis());
        let mut here = self.here.lock();
        // Under the lock: if it is changed once more, that is what counts, in whichever order the changes are noted.
        let names = if client.is_gone() { Vec::new() } else { client.names() };
        if let Some(at) = here.attendance.update(client.id, principal, &names, times) {
            self.schedule(&mut here, at);
        }
    }

    /// Another node lacks some of what this one has said.
    pub(crate) fn renew(self: &Arc<Self>) {
        self.here.lock().renews = true;
        self.look();
    }

    /// Has the work looked at now.
    pub(crate) fn look(self: &Arc<Self>) {
        self.schedule(&mut self.here.lock(), self.clock.now());
    }

    /// What has happened here since this was last asked.
    pub(super) fn take_news(&self, now: u64) -> News {
        let mut here = self.here.lock();
        let next = here.attendance.sweep(now).unwrap_or(u64::MAX);
        let renews = std::mem::take(&mut here.renews);
        News { changed: here.attendance.take_changed(), next, renews }
    }

    /// Since when a principal is here.
    pub(super) fn since(&self, who: &Who) -> Option<u64> {
        self.here.lock().attendance.since(who)
    }

    /// All who are here.
    pub(super) fn present(&self) -> Vec<Who> {
        self.here.lock().attendance.present().cloned().collect()
    }

    /// How many principals have streams here, or had them a moment ago.
    pub(crate) fn count(&self) -> usize {
        self.here.lock().attendance.count()
    }

    /// The hub publishes nothing any more.
    pub(crate) fn close(&self) {
        let work = std::mem::replace(&mut *self.work.lock(), WorkState::Closed);
        drop(work);
    }

    fn schedule(self: &Arc<Self>, here: &mut Here, at: u64) {
        if at < here.due {
            here.due = at;
            self.clock.schedule_exactly(self, at);
        }
    }

    fn run(self: &Arc<Self>, now: u64) {
        // What is scheduled from here on is for the next time.
        self.here.lock().due = u64::MAX;
        let work = {
            let mut state = self.work.lock();
            match std::mem::replace(&mut *state, WorkState::Running) {
                WorkState::Waiting(work) => Some(work),
                WorkState::Running => None,
                WorkState::Closed => {
                    *state = WorkState::Closed;
                    return;
                }
            }
        };
        let Some(mut work) = work else {
            return self.schedule(&mut self.here.lock(), now + 1);
        };
        // Its publications wake tasks and tell subscribers of `tracing`: if one panics, the work goes on all the same.
        let step = catch_unwind(AssertUnwindSafe(|| work.step(self, now)));
        let next = step.unwrap_or(now.saturating_add(AFTER_PANIC));
        let mut state = self.work.lock();
        let closed = match *state {
            WorkState::Closed => Some(work),
            _ => {
                *state = WorkState::Waiting(work);
                None
            }
        };
        drop(state);
        drop(closed);
        self.schedule(&mut self.here.lock(), next);
    }
}

impl Timed for Keeper {
    fn timer(&self) -> &TimerSlot {
        &self.timer
    }

    fn fire(&self, now: u64) -> Option<u64> {
        if let Some(keeper) = self.this.upgrade() {
            keeper.run(now);
        }
        // It schedules itself: whoever notes something meanwhile does so, too.
        None
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.clock.cancel(&self.timer);
    }
}

/// Wakes the keeper without keeping it alive.
struct Alarm(Weak<Keeper>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(keeper) = self.0.upgrade() {
            keeper.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Keeper, Work};
    use crate::clock::ManualClock;
    use crate::hub::Hub;
    use crate::presence::Presence;

    #[test]
    fn a_hub_that_is_dropped_is_freed() {
        let clock = ManualClock::new();
        let presence = Presence::default().grace(Duration::MAX);
        let builder = Hub::builder().clock(&clock).presence("*", presence);
        let hub = builder.unwrap().build();
        let stream = hub.subscribe("room").principal("ada").open().unwrap();
        clock.advance(Duration::from_millis(1));
        assert_eq!(hub.presence("room").wait().unwrap().len(), 1);
        let shared = hub.shared().this();
        drop(stream);
        drop(hub);
        assert_eq!(shared.strong_count(), 0);
        assert_eq!(clock.clock().timers().len(), 0);
    }

    /// Counts its steps, the first of which panics.
    #[derive(Debug)]
    struct Steps(Arc<AtomicUsize>);

    impl Work for Steps {
        fn step(&mut self, _: &Arc<Keeper>, _: u64) -> u64 {
            if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
                resume_unwind(Box::new("on purpose"));
            }
            u64::MAX
        }
    }

    #[test]
    fn the_work_goes_on_after_a_step_that_panics() {
        let clock = ManualClock::new();
        let steps = Arc::new(AtomicUsize::new(0));
        let keeper = Keeper::new(Arc::default(), &clock.clock(), |_| Steps(steps.clone()));
        keeper.look();
        for expected in [1, 2, 2] {
            clock.advance(Duration::from_secs(2));
            assert_eq!(steps.load(Ordering::Relaxed), expected);
        }
    }
}
