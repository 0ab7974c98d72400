//! Work that takes long, done step by step by threads of its own: those that ask for it serve many clients.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::thread::{self, available_parallelism};

// Not those of `crate::sync`: in a model, nothing takes long.
use parking_lot::{Condvar, Mutex};

/// Makes a step, of a millisecond at most. Returns whether there is more to do.
type Work = Box<dyn FnMut() -> bool + Send>;

/// Does some work, beside all that was given before and is not done yet.
pub(crate) fn run(work: impl FnMut() -> bool + Send + 'static) {
    static BACKGROUND: Background = Background::new();

    BACKGROUND.add(Box::new(work));
}

/// One thread for every two processors: whoever serves clients needs processors too.
static MOST_THREADS: LazyLock<usize> =
    LazyLock::new(|| available_parallelism().map_or(1, |processors| processors.get().div_ceil(2)));

struct Background {
    queue: Mutex<Queue>,
    more: Condvar,
}

struct Queue {
    /// Each makes a step, then waits after the others.
    works: VecDeque<Work>,
    threads: usize,
    /// How many of the threads have nothing to do.
    idle: usize,
}

impl Background {
    const fn new() -> Self {
        let queue = Queue { works: VecDeque::new(), threads: 0, idle: 0 };
        Self { queue: Mutex::new(queue), more: Condvar::new() }
    }

    fn add(&'static self, mut work: Work) {
        let mut queue = self.queue.lock();
        if queue.idle == 0 && queue.threads < *MOST_THREADS {
            let thread = thread::Builder::new().name("tidings-search".into());
            queue.threads += usize::from(thread.spawn(|| self.run()).is_ok());
        }
        if queue.threads > 0 {
            queue.works.push_back(work);
            drop(queue);
            self.more.notify_one();
        } else {
            // No thread could be started: the caller does the work.
            drop(queue);
            while work() {}
        }
    }

    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            let Some(mut work) = queue.works.pop_front() else {
                queue.idle += 1;
                self.more.wait(&mut queue);
                queue.idle -= 1;
                continue;
            };
            drop(queue);
            // Work that panics must not keep the other from being done.
            let is_more = catch_unwind(AssertUnwindSafe(&mut work)).unwrap_or_default();
            let more = is_more.then_some(work);
            queue = self.queue.lock();
            queue.works.extend(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_is_done_beside_work_without_end_and_after_a_panic() {
        let is_over = Arc::new(AtomicBool::new(false));
        // Each once more than there are threads.
        for _ in 0..=*MOST_THREADS {
            run(|| panic!("on purpose"));
            let is_over = is_over.clone();
            run(move || !is_over.load(Ordering::Relaxed));
        }
        let (tell, told) = channel();
        let mut steps = 0;
        run(move || {
            steps += 1;
            tell.send(steps).unwrap();
            steps < 3
        });
        for step in 1..=3 {
            assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(step));
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(told.recv_timeout(Duration::from_secs(10)).is_err(), "it is dropped when done");
    }
}
