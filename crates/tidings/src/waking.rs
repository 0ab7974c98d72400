//! Waking the streams that wait for an event, without delaying the publisher, or those that wait for another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, thread};

/// Waits for a topic's next event: one stream, or a cohort of them.
pub(crate) trait Waiter: Send + Sync + fmt::Debug {
    /// Runs with no lock held: it may run, or drop, what it wakes.
    fn wake(&self);

    /// The turn of a stream that a server runs; `None` for what is always woken at once.
    fn turn(&self) -> Option<&Turn> {
        None
    }

    /// The same as `wake`. A stream [is awake](Turn::begin) until it runs.
    fn wake_in_turn(&self, _: &Waking) {
        self.wake();
    }
}

/// Waiters in no order.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: Slab<Arc<dyn Waiter>>,
    list: usize,
}

impl Waiters {
    /// Those of a list, which wait in one line. Its address tells it from others; 0 is for those that pause.
    pub(crate) fn of(list: usize, waiting: Slab<Arc<dyn Waiter>>) -> Self {
        Self { waiting, list }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Wakes all of them, each in its turn.
pub(crate) fn wake(waiters: Waiters) {
    Waking::shared().wake(waiters);
}

/// Whether a stream waits to be woken, or was woken and has not run.
#[derive(Debug, Default)]
pub(crate) struct Turn(AtomicU32);

impl Turn {
    /// Beside the round in which it was woken, which is 0 when it has run.
    const IN_LINE: u32 = 1 << 31;

    /// False if it is in a line already.
    fn line_up(&self) -> bool {
        self.0.fetch_or(Self::IN_LINE, Ordering::AcqRel) & Self::IN_LINE == 0
    }

    fn leave_line(&self) {
        self.0.fetch_and(!Self::IN_LINE, Ordering::AcqRel);
    }

    /// The stream is about to be woken. To be called under the lock of its waker, which is there.
    pub(crate) fn begin(&self, waking: &Waking) {
        if !self.is_awake() {
            self.0.fetch_or(waking.on_woken(), Ordering::AcqRel);
        }
    }

    #[inline]
    pub(crate) fn is_awake(&self) -> bool {
        self.0.load(Ordering::Acquire) & !Self::IN_LINE != 0
    }

    /// The stream runs, or is dropped.
    #[inline]
    pub(crate) fn end(&self) {
        if self.is_awake() {
            self.end_in(Waking::shared());
        }
    }

    fn end_in(&self, waking: &Waking) {
        let round = self.0.fetch_and(Self::IN_LINE, Ordering::AcqRel) & !Self::IN_LINE;
        waking.on_run(round);
    }
}

/// Streams that were woken stand in the queue of their server until it runs them: a request that has just come, or a stream
/// of another topic, waits for all of them. So only so many are woken, and when they have run, the next ones: in lines, one for
/// each list that they were in, which take turns.
#[derive(Debug)]
pub(crate) struct Waking {
    /// How many streams may be awake: woken, and not run.
    window: u32,
    /// For how long to wait until half of them have run: their servers may be busy, or not poll them.
    patience: Duration,
    /// How many are awake, and in the upper half the round: they are counted anew when the patience is at an end.
    awake: AtomicU64,
    /// Whether the thread waits for streams to run.
    is_full: AtomicBool,
    inbox: Mutex<Inbox>,
    changed: Condvar,
    #[cfg(test)]
    sleeps: AtomicU32,
}

/// What the thread is told.
#[derive(Debug, Default)]
struct Inbox {
    lists: Vec<Waiters>,
    /// The lists of which some were woken at once since the thread has last waited.
    at_once: BTreeSet<usize>,
    has_thread: bool,
}

/// Those that are still to be woken, by the list that they were in; a stream is in one of them.
#[derive(Default)]
struct Lines {
    lines: BTreeMap<usize, VecDeque<Arc<dyn Waiter>>>,
    /// The list that had the last turn.
    last: usize,
}

impl Waking {
    /// More than this many are woken by another thread: publishing takes its caller a few microseconds, however many wait.
    /// So many of a line are woken in one turn.
    const TURN: usize = if cfg!(shuttle) { 1 } else { 16 };

    /// To write to so many sockets takes a processor about a millisecond.
    const WINDOW: u32 = if cfg!(shuttle) { 2 } else { 64 };

    /// In a model, no time passes: all run, or are dropped.
    const PATIENCE: Duration = Duration::from_millis(if cfg!(shuttle) { 1_000_000 } else { 10 });

    /// The thread need not remember more lists of which some were woken at once.
    const MOST_AT_ONCE: usize = 1_024;

    fn new(window: u32, patience: Duration) -> Self {
        Self {
            window,
            patience,
            awake: AtomicU64::new(1 << 32),
            is_full: AtomicBool::new(false),
            inbox: Mutex::default(),
            changed: Condvar::new(),
            #[cfg(test)]
            sleeps: AtomicU32::new(0),
        }
    }

    /// That of the process, because hubs share their servers' threads.
    pub(crate) fn shared() -> &'static Self {
        #[cfg(not(shuttle))]
        static SHARED: std::sync::LazyLock<Waking> = std::sync::LazyLock::new(|| {
            let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            // A server may use fewer than there are.
            Waking::new(Waking::WINDOW * processors.min(8) as u32, Waking::PATIENCE)
        });
        // Each run of a model starts from the beginning.
        #[cfg(shuttle)]
        shuttle::lazy_static! {
            static ref SHARED: Waking = Waking::new(Waking::WINDOW, Waking::PATIENCE);
        }
        &SHARED
    }

    fn awake(&self) -> u32 {
        self.awake.load(Ordering::SeqCst) as u32
    }

    /// A few are woken at once, many by the thread `tidings-waker`. When enough are awake, a few are woken at once, too, if none
    /// of their list were since others have run: a topic with little to say has not to wait.
    ///
    /// A thread, not a task: there may be several runtimes, or none. Waking from outside a runtime has a second effect:
    /// runtimes run what their own workers wake before what is woken from outside.
    fn wake(&'static self, mut waiters: Waiters) {
        if waiters.waiting.len() <= Self::TURN {
            let is_busy = self.is_full.load(Ordering::SeqCst) || self.awake() >= self.window;
            if is_busy {
                waiters.waiting.retain(|_, waiter| {
                    let is_stream = waiter.turn().is_some();
                    if !is_stream {
                        waiter.wake();
                    }
                    is_stream
                });
            }
            if !is_busy || waiters.is_empty() || self.may_be_woken_at_once(waiters.list) {
                return self.wake_all(waiters);
            }
        }
        self.hand_over(waiters);
    }

    fn may_be_woken_at_once(&self, list: usize) -> bool {
        let at_once = &mut self.inbox.lock().at_once;
        at_once.len() < Self::MOST_AT_ONCE && at_once.insert(list)
    }

    fn wake_all(&self, waiters: Waiters) {
        waiters.waiting.into_iter().for_each(|(_, waiter)| waiter.wake_in_turn(self));
    }

    fn hand_over(&'static self, waiters: Waiters) {
        let mut inbox = self.inbox.lock();
        if !inbox.has_thread {
            let thread = thread::Builder::new().name("tidings-waker".into());
            inbox.has_thread = thread.spawn(move || self.run()).is_ok();
        }
        if !inbox.has_thread {
            drop(inbox);
            // No thread could be started: the publisher does the work.
            return self.wake_all(waiters);
        }
        inbox.lists.push(waiters);
        let is_first = inbox.lists.len() == 1;
        drop(inbox);
        if is_first {
            self.changed.notify_one();
        }
    }

    fn run(&self) {
        let mut lines = Lines::default();
        loop {
            self.take_lists(&mut lines);
            self.wait_until_streams_have_run(&mut lines);
            lines.take_turn(|waiter| {
                if let Some(turn) = waiter.turn() {
                    turn.leave_line();
                }
                guarded(waiter, |waiter| waiter.wake_in_turn(self));
            });
        }
    }

    /// Waits until there is somebody to wake.
    fn take_lists(&self, lines: &mut Lines) {
        let mut inbox = self.inbox.lock();
        if lines.lines.is_empty() {
            inbox.at_once.clear();
        }
        while inbox.lists.is_empty() && lines.lines.is_empty() {
            self.changed.wait(&mut inbox);
        }
        let lists = std::mem::take(&mut inbox.lists);
        drop(inbox);
        self.sort(lists, lines);
    }

    /// Has streams line up, each once, and wakes the others.
    fn sort(&self, lists: Vec<Waiters>, lines: &mut Lines) {
        for Waiters { waiting, list } in lists {
            let line = lines.lines.entry(list).or_default();
            for (_, waiter) in waiting {
                match waiter.turn() {
                    None => guarded(waiter, |waiter| waiter.wake()),
                    Some(turn) if turn.line_up() => line.push_back(waiter),
                    Some(_) => guarded(waiter, |_| ()),
                }
            }
            if line.is_empty() {
                lines.lines.remove(&list);
            }
        }
    }

    /// If as many are awake as may be, waits until it is half of them.
    fn wait_until_streams_have_run(&self, lines: &mut Lines) {
        if self.awake() < self.window || lines.lines.is_empty() {
            return;
        }
        let until = Instant::now() + self.patience;
        let mut inbox = self.inbox.lock();
        self.is_full.store(true, Ordering::SeqCst);
        while self.awake() > self.window / 2 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.begin_round();
            } else if inbox.lists.is_empty() {
                #[cfg(test)]
                self.sleeps.fetch_add(1, Ordering::SeqCst);
                self.changed.wait_for(&mut inbox, left);
            } else {
                let lists = std::mem::take(&mut inbox.lists);
                drop(inbox);
                self.sort(lists, lines);
                inbox = self.inbox.lock();
            }
        }
        self.is_full.store(false, Ordering::SeqCst);
        inbox.at_once.clear();
    }

    /// Nobody is awake any more, as far as is counted.
    fn begin_round(&self) {
        let round = (self.awake.load(Ordering::SeqCst) >> 32) as u32;
        let next = round.wrapping_add(1) & !Turn::IN_LINE;
        self.awake.store(u64::from(next.max(1)) << 32, Ordering::SeqCst);
    }

    /// A stream was woken. Returns the round.
    fn on_woken(&self) -> u32 {
        (self.awake.fetch_add(1, Ordering::SeqCst) >> 32) as u32
    }

    /// A stream has run, or is dropped, that was woken in this round.
    fn on_run(&self, round: u32) {
        let less_one = |awake: u64| ((awake >> 32) as u32 == round).then(|| awake - 1);
        let before = self.awake.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less_one);
        let is_half = before.is_ok_and(|before| before as u32 == self.window / 2 + 1);
        if is_half && self.is_full.load(Ordering::SeqCst) {
            // With the lock: the thread either sees the number, or waits.
            drop(self.inbox.lock());
            self.changed.notify_one();
        }
    }
}

impl Lines {
    /// Passes those that are woken next: of the line after the last one.
    fn take_turn(&mut self, wake: impl FnMut(Arc<dyn Waiter>)) {
        let after = (Bound::Excluded(self.last), Bound::Unbounded);
        let next = self.lines.range(after).next().or_else(|| self.lines.first_key_value());
        let Some(list) = next.map(|(list, _)| *list) else { return };
        self.last = list;
        let Some(line) = self.lines.get_mut(&list) else { return };
        line.drain(..Waking::TURN.min(line.len())).for_each(wake);
        if line.is_empty() {
            self.lines.remove(&list);
        }
    }
}

/// A waker that panics, or what is dropped with it, must not keep the others from being woken.
fn guarded(waiter: Arc<dyn Waiter>, wake: impl FnOnce(&dyn Waiter)) {
    let _ = catch_unwind(AssertUnwindSafe(move || wake(&*waiter)));
}

/// Runs a future to its end on this thread, which sleeps meanwhile.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests;
