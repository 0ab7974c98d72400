//! Work that takes long, done step by step by threads of its own: those that ask for it serve many clients.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::thread::{self, available_parallelism};

// Not those of `crate::sync`: in a model, nothing takes long.
use parking_lot::{Condvar, Mutex};

use crate::timers::drop_safely;

struct Work {
    /// Makes a step. Returns whether there is more to do.
    step: Box<dyn FnMut() -> bool + Send>,
    is_wanted: Box<dyn Fn() -> bool + Send>,
    /// Bytes of memory that it may come to hold.
    memory: usize,
}

impl Work {
    fn step(&mut self) -> bool {
        (self.is_wanted)() && (self.step)()
    }
}

static BACKGROUND: Background = Background::new();

/// Does some work as long as it is wanted, beside what was given before and is not done yet. Work that may come to hold much
/// memory, in bytes, waits until there is room.
pub(crate) fn run(
    memory: usize,
    is_wanted: impl Fn() -> bool + Send + 'static,
    step: impl FnMut() -> bool + Send + 'static,
) {
    BACKGROUND.add(Work { step: Box::new(step), is_wanted: Box::new(is_wanted), memory });
}

/// Does some work that frees memory.
pub(crate) fn free(step: impl FnMut() -> bool + Send + 'static) {
    run(0, || true, step);
}

/// One thread for every two processors: whoever serves clients needs processors too.
static MOST_THREADS: LazyLock<usize> =
    LazyLock::new(|| available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)));

struct Background {
    queue: Mutex<Queue>,
    more: Condvar,
}

struct Queue {
    /// Work that waits until there is room.
    new: VecDeque<Work>,
    /// When there is so much of it, what is not wanted any more is dropped.
    most_new: usize,
    /// Each makes a step, then waits after the others.
    begun: VecDeque<Work>,
    /// What all that was begun may come to hold.
    memory: usize,
    threads: usize,
    /// How many of the threads have nothing to do.
    idle: usize,
}

impl Queue {
    /// What work may hold side by side, in bytes, unless one needs more.
    const MEMORY: usize = 32 * 1024 * 1024;
    const FEW: usize = 64;

    /// Adds work. Returns what is not wanted any more.
    fn add(&mut self, work: Work) -> VecDeque<Work> {
        if work.memory == 0 {
            self.begun.push_back(work);
            return VecDeque::new();
        }
        self.new.push_back(work);
        if self.new.len() < self.most_new {
            return VecDeque::new();
        }
        let all = std::mem::take(&mut self.new).into_iter();
        let (wanted, unwanted) = all.partition(|work| (work.is_wanted)());
        self.new = wanted;
        self.most_new = (2 * self.new.len()).max(Self::FEW);
        unwanted
    }

    /// Whether the first that waits has room.
    fn has_room(&self) -> bool {
        let has_room = |work: &Work| self.memory == 0 || self.memory + work.memory <= Self::MEMORY;
        self.new.front().is_some_and(has_room)
    }

    fn has_next(&self) -> bool {
        self.has_room() || !self.begun.is_empty()
    }

    fn next(&mut self) -> Option<Work> {
        if self.has_room() {
            let work = self.new.pop_front()?;
            self.memory += work.memory;
            return Some(work);
        }
        self.begun.pop_front()
    }

    /// Work has ended that might have come to hold this.
    fn finish(&mut self, memory: usize) {
        self.memory -= memory;
    }
}

impl Background {
    const fn new() -> Self {
        let queue = Queue {
            new: VecDeque::new(),
            most_new: Queue::FEW,
            begun: VecDeque::new(),
            memory: 0,
            threads: 0,
            idle: 0,
        };
        Self { queue: Mutex::new(queue), more: Condvar::new() }
    }

    fn add(&'static self, mut work: Work) {
        let mut queue = self.queue.lock();
        if queue.idle == 0 && queue.threads < *MOST_THREADS {
            let thread = thread::Builder::new().name("tidings-search".into());
            queue.threads += usize::from(thread.spawn(|| self.run()).is_ok());
        }
        if queue.threads > 0 {
            let unwanted = queue.add(work);
            drop(queue);
            self.more.notify_one();
            drop_safely(unwanted);
        } else {
            // No thread could be started: the caller does the work.
            drop(queue);
            while work.step() {}
        }
    }

    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            let Some(mut work) = queue.next() else {
                queue.idle += 1;
                self.more.wait(&mut queue);
                queue.idle -= 1;
                continue;
            };
            // There may be more to do than this: much that has waited for room, for instance.
            if queue.has_next() {
                self.more.notify_one();
            }
            drop(queue);
            // Work that panics must not keep the other from being done.
            if catch_unwind(AssertUnwindSafe(|| work.step())).unwrap_or_default() {
                queue = self.queue.lock();
                queue.begun.push_back(work);
            } else {
                let memory = work.memory;
                drop_safely(work);
                queue = self.queue.lock();
                queue.finish(memory);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_is_done_beside_work_without_end_and_after_a_panic() {
        let is_over = Arc::new(AtomicBool::new(false));
        // Each once more than there are threads.
        for _ in 0..=*MOST_THREADS {
            free(|| panic!("on purpose"));
            let is_over = is_over.clone();
            free(move || !is_over.load(Ordering::Relaxed));
        }
        let (tell, told) = channel();
        let mut steps = 0;
        run(
            1,
            || true,
            move || {
                steps += 1;
                tell.send(steps).unwrap();
                steps < 3
            },
        );
        for step in 1..=3 {
            assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(step));
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(told.recv_timeout(Duration::from_secs(10)).is_err(), "it is dropped when done");
    }

    fn work(memory: usize, is_wanted: bool) -> Work {
        Work { step: Box::new(|| true), is_wanted: Box::new(move || is_wanted), memory }
    }

    #[test]
    fn work_that_may_hold_much_waits_for_room_and_what_frees_some_does_not() {
        let mut queue = Background::new().queue.into_inner();
        for memory in [Queue::MEMORY - 10, 10, 1, 0, 2 * Queue::MEMORY] {
            assert!(queue.add(work(memory, true)).is_empty());
        }
        let mut next = || queue.next().map(|work| work.memory);
        assert_eq!(
            [next(), next(), next(), next()],
            [Some(Queue::MEMORY - 10), Some(10), Some(0), None]
        );
        queue.finish(10);
        assert!(queue.has_next());
        assert_eq!(queue.next().map(|work| work.memory), Some(1));
        assert!(!queue.has_next() && queue.next().is_none());
        queue.finish(Queue::MEMORY - 10);
        assert!(queue.next().is_none());
        queue.finish(1);
        assert_eq!(queue.next().map(|work| work.memory), Some(2 * Queue::MEMORY), "alone");
    }

    /// How a work ends.
    #[derive(Clone, Copy, PartialEq)]
    enum End {
        Done,
        Panics,
        PanicsWhenDropped,
        Unwanted,
    }

    /// What a work holds, which is counted.
    struct Much(Arc<AtomicUsize>, End);

    impl Drop for Much {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
            assert!(self.1 != End::PanicsWhenDropped, "on purpose");
        }
    }

    #[test]
    fn work_that_may_hold_much_waits_for_the_one_before_however_that_ends() {
        static OWN: Background = Background::new();
        const STEPS: usize = 3;
        const MEMORY: usize = Queue::MEMORY / 2 + 1;

        let held = Arc::new(AtomicUsize::new(0));
        let (tell, told) = channel();
        let ends = [End::Done, End::Panics, End::PanicsWhenDropped, End::Unwanted].repeat(3);
        for end in ends.iter().copied() {
            let (held, tell) = (held.clone(), tell.clone());
            let (mut much, mut steps) = (None, 0);
            let step = move || {
                if much.is_none() {
                    tell.send(held.fetch_add(1, Ordering::Relaxed)).unwrap();
                    much = Some(Much(held.clone(), end));
                }
                steps += 1;
                assert!(steps < STEPS || end != End::Panics, "on purpose");
                steps < STEPS || end == End::Unwanted
            };
            let looks = AtomicUsize::new(0);
            let is_wanted =
                move || end != End::Unwanted || looks.fetch_add(1, Ordering::Relaxed) < STEPS;
            OWN.add(Work { step: Box::new(step), is_wanted: Box::new(is_wanted), memory: MEMORY });
        }
        for _ in ends {
            let others = told.recv_timeout(Duration::from_secs(10));
            assert_eq!(others, Ok(0), "it begins when nothing else is held");
        }
    }

    #[test]
    fn work_that_waits_and_is_not_wanted_any_more_is_dropped() {
        let mut queue = Background::new().queue.into_inner();
        let dropped = (0..1_000).map(|n| queue.add(work(1, n % 100 == 0)).len()).sum::<usize>();
        assert!((900..990).contains(&dropped), "{dropped}");
        assert!(queue.new.len() < 2 * Queue::FEW);
    }
}
