//! Which core does what: the server has one of its own, so that its work is not mixed with the
//! load's.

use std::thread;

/// How the work is shared out, for the report.
pub(crate) fn description() -> String {
    if is_pinned() {
        "the server pinned to core 0, the load generator to core 1".into()
    } else {
        "server and load generator not pinned: there is one core, or the system has no affinity"
            .into()
    }
}

fn is_pinned() -> bool {
    cfg!(target_os = "linux") && thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
        || pinned::has_pinned()
}

/// Starts something that inherits the server's core.
pub(crate) fn for_server<T>(start: impl FnOnce() -> T) -> T {
    pinned::on(0, 1, start)
}

/// Keeps the load generator off the server's core.
pub(crate) fn keep_off_server() {
    pinned::on(1, 1, || ());
}

#[cfg(target_os = "linux")]
mod pinned {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    static PINNED: AtomicBool = AtomicBool::new(false);

    /// Whether this thread was pinned, which the system then tells as a single core.
    pub(super) fn has_pinned() -> bool {
        PINNED.load(Ordering::Relaxed)
    }

    /// Runs something on a core, then moves this thread to another. Where there are not two, it
    /// stays where it is.
    pub(super) fn on<T>(core: usize, after: usize, run: impl FnOnce() -> T) -> T {
        let all_of_them = has_pinned()
            || sched_getaffinity(None).is_ok_and(|set| set.is_set(core) && set.is_set(after));
        if !all_of_them {
            return run();
        }
        PINNED.store(true, Ordering::Relaxed);
        let pin = |core| {
            let mut set = CpuSet::new();
            set.set(core);
            // Without it the figures are noisier, no more.
            let _ = sched_setaffinity(None, &set);
        };
        pin(core);
        let outcome = run();
        pin(after);
        outcome
    }
}

#[cfg(not(target_os = "linux"))]
mod pinned {
    pub(super) fn has_pinned() -> bool {
        false
    }

    pub(super) fn on<T>(_: usize, _: usize, run: impl FnOnce() -> T) -> T {
        run()
    }
}
