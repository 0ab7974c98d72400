use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::thread;
use std::time::{Duration, Instant};

// Not those of `crate::sync`: in a model, streams wake themselves.
use parking_lot::{Condvar, Mutex};

use crate::heartbeat::timer::HeartbeatTimer;
use crate::waking::Waiter;

/// Makes a stream that always has more pause, so that its server sends what it has and lets others run.
///
/// Servers poll a body until it is pending. A stream that pauses is pending, and is woken to go on.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many bytes were handed out without a pause.
    burst: u32,
    pause: Pause,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Pause {
    #[default]
    No,
    /// The stream has woken itself.
    Short,
    /// Until its waker is gone from its heartbeat.
    UntilWoken,
}

/// How many streams are pausing. Not per hub, because they share their threads.
static PAUSING: AtomicUsize = AtomicUsize::new(0);

impl Pace {
    /// After so many bytes, a stream pauses.
    const BURST: u32 = 64 * 1024;
    /// An item counts as at least so many: a burst has at most 16.
    const LEAST: usize = 4 * 1024;
    /// Counts what is handed out.
    pub(crate) fn count(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes.max(Self::LEAST)).unwrap_or(Self::BURST);
        self.burst = self.burst.saturating_add(bytes);
    }

    /// Whether a stream must pause that [has more](Self::pauses).
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.burst >= Self::BURST
    }

    /// Whether a stream whose burst is spent is pending now. `waiter` wakes it, by its heartbeat.
    #[cold]
    pub(crate) fn pauses<W: Waiter + 'static>(
        &mut self,
        has_more: impl FnOnce() -> bool,
        heartbeat: &HeartbeatTimer,
        waiter: &Arc<W>,
        cx: &mut Context<'_>,
    ) -> bool {
        match self.pause {
            Pause::No if !has_more() => return false,
            Pause::No => {}
            // hyper polls again when it has written, in the same run of its task.
            Pause::UntilWoken if heartbeat.is_registered(cx.waker()) => return true,
            Pause::Short | Pause::UntilWoken => {
                self.rest();
                return false;
            }
        }
        if PAUSING.fetch_add(1, Ordering::Relaxed) < AT_ONCE {
            self.pause = Pause::Short;
            cx.waker().wake_by_ref();
        } else {
            self.pause = Pause::UntilWoken;
            heartbeat.register(cx.waker());
            TURNS.wait(waiter.clone());
        }
        true
    }

    /// The stream has nothing more, or has paused.
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        if self.pause != Pause::No {
            PAUSING.fetch_sub(1, Ordering::Relaxed);
        }
        if self.pause == Pause::UntilWoken {
            TURNS.begun();
        }
    }
}

/// A few streams wake themselves. When many have more, their server would have a long queue, at whose end everything else
/// waits: a request, or a stream of another topic. So the others take turns: that many are woken, and when they have gone
/// on, the next ones.
const AT_ONCE: usize = if cfg!(shuttle) { usize::MAX } else { 16 };

/// For how long to wait until those that were woken have gone on: their server may be busy, or not poll them.
const PATIENCE: Duration = Duration::from_millis(2);

static TURNS: Turns = Turns::new();

/// The streams that wait for their turn, of all hubs, because they share their threads.
struct Turns {
    queue: Mutex<Queue>,
    changed: Condvar,
}

struct Queue {
    waiting: VecDeque<Arc<dyn Waiter>>,
    /// How many were woken, and have not gone on.
    woken: usize,
    has_thread: bool,
}

impl Turns {
    const fn new() -> Self {
        let queue = Queue { waiting: VecDeque::new(), woken: 0, has_thread: false };
        Self { queue: Mutex::new(queue), changed: Condvar::new() }
    }

    fn wait(&'static self, waiter: Arc<dyn Waiter>) {
        let mut queue = self.queue.lock();
        if !queue.has_thread {
            let thread = thread::Builder::new().name("tidings-turns".into());
            queue.has_thread = thread.spawn(|| self.run()).is_ok();
        }
        if !queue.has_thread {
            drop(queue);
            return waiter.wake();
        }
        queue.waiting.push_back(waiter);
        if queue.waiting.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// A stream that waited has gone on, or is dropped.
    fn begun(&self) {
        let mut queue = self.queue.lock();
        if queue.woken > 0 {
            queue.woken -= 1;
            if queue.woken == 0 {
                self.changed.notify_one();
            }
        }
    }

    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            while queue.waiting.is_empty() {
                self.changed.wait(&mut queue);
            }
            let next = AT_ONCE.min(queue.waiting.len());
            let next: Vec<_> = queue.waiting.drain(..next).collect();
            queue.woken = next.len();
            drop(queue);
            for waiter in next {
                // A waker that panics must not keep the others from being woken.
                let _ = catch_unwind(AssertUnwindSafe(|| waiter.wake()));
            }
            queue = self.queue.lock();
            let until = Instant::now() + PATIENCE;
            while queue.woken > 0 && !self.changed.wait_until(&mut queue, until).timed_out() {}
        }
    }
}
