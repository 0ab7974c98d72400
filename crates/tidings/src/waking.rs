//! Waking the streams that wait for an event, without delaying the publisher.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use crate::sync::{Condvar, Mutex, thread};

/// Waits for a topic's next event: one stream, or a cohort of them.
pub(crate) trait Waiter: Send + Sync + fmt::Debug {
    /// Runs with no lock held: it may run, or drop, what it wakes.
    fn wake(&self);
}

/// Waiters in no order.
pub(crate) type Waiters = Slab<Arc<dyn Waiter>>;

/// More than this many are woken by another thread: publishing takes its caller a few microseconds, however many wait.
const AT_ONCE: usize = if cfg!(shuttle) { 1 } else { 16 };

/// Wakes all of them: a few at once, many from the thread `tidings-waker`.
///
/// A thread, not a task: there may be several runtimes, or none. Waking from outside a runtime has a second effect:
/// runtimes run what their own workers wake before what is woken from outside. So thousands of streams that become ready
/// at one moment do not delay a request that has just arrived.
pub(crate) fn wake(waiters: Waiters) {
    #[cfg(not(shuttle))]
    static WAKING: Waking = Waking::new();
    // Each run of a model starts from the beginning.
    #[cfg(shuttle)]
    shuttle::lazy_static! {
        static ref WAKING: Waking = Waking::new();
    }

    if waiters.len() <= AT_ONCE {
        wake_all(waiters);
    } else {
        WAKING.add(waiters);
    }
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

fn wake_all(waiters: Waiters) {
    for (_, waiter) in waiters {
        waiter.wake();
    }
}

/// The lists that the thread has not woken yet.
struct Waking {
    queue: Mutex<Queue>,
    more: Condvar,
}

struct Queue {
    lists: VecDeque<Waiters>,
    running: bool,
}

impl Waking {
    const fn new() -> Self {
        let queue = Queue { lists: VecDeque::new(), running: false };
        Self { queue: Mutex::new(queue), more: Condvar::new() }
    }

    fn add(&'static self, waiters: Waiters) {
        let mut queue = self.queue.lock();
        if !queue.running {
            queue.running = thread::Builder::new()
                .name("tidings-waker".into())
                .spawn(move || self.run())
                .is_ok();
        }
        if queue.running {
            queue.lists.push_back(waiters);
            drop(queue);
            self.more.notify_one();
        } else {
            // No thread could be started: the publisher does the work.
            drop(queue);
            wake_all(waiters);
        }
    }

    fn run(&self) {
        loop {
            let mut queue = self.queue.lock();
            let waiters = loop {
                match queue.lists.pop_front() {
                    Some(waiters) => break waiters,
                    None => self.more.wait(&mut queue),
                }
            };
            drop(queue);
            for (_, waiter) in waiters {
                // A waker that panics must not keep the others from being woken.
                let _ = catch_unwind(AssertUnwindSafe(|| waiter.wake()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    #[derive(Debug)]
    struct Sleeper {
        woken: AtomicUsize,
        tell: Sender<ThreadId>,
        panics: bool,
    }

    impl Waiter for Sleeper {
        fn wake(&self) {
            self.woken.fetch_add(1, Ordering::Relaxed);
            self.tell.send(thread::current().id()).unwrap();
            assert!(!self.panics, "woken");
        }
    }

    /// Wakes that many, and returns by which threads.
    fn woken_by(count: usize, panics: bool) -> Vec<ThreadId> {
        let (tell, woken_by) = channel();
        let sleepers: Vec<_> = (0..count)
            .map(|_| Arc::new(Sleeper { woken: AtomicUsize::new(0), tell: tell.clone(), panics }))
            .collect();
        let mut waiters = Waiters::new();
        for sleeper in &sleepers {
            waiters.insert(sleeper.clone());
        }
        wake(waiters);
        let threads = (0..count).map(|_| woken_by.recv_timeout(Duration::from_secs(10)).unwrap());
        let threads = threads.collect();
        assert!(sleepers.iter().all(|sleeper| sleeper.woken.load(Ordering::Relaxed) == 1));
        threads
    }

    #[test]
    fn a_few_are_woken_at_once() {
        assert!(woken_by(AT_ONCE, false).iter().all(|by| *by == thread::current().id()));
    }

    #[test]
    fn many_are_woken_by_another_thread_each_once() {
        assert!(woken_by(AT_ONCE + 1, false).iter().all(|by| *by != thread::current().id()));
    }

    #[test]
    fn a_waker_that_panics_does_not_keep_the_others_from_being_woken() {
        woken_by(AT_ONCE + 1, true);
        woken_by(AT_ONCE + 1, false);
    }
}
