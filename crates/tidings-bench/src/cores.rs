//! Which core does what. The server and the load generator each have one.

/// How the cores are used, for the report. Call it before this process is pinned.
pub(crate) fn description() -> String {
    if pinned::is_possible() {
        "the server pinned to core 0, the load generator to core 1".into()
    } else {
        "server and load generator not pinned: only one core, or no affinity on this system".into()
    }
}

/// Starts a process on the server's core.
pub(crate) fn for_server<T>(start: impl FnOnce() -> T) -> T {
    pinned::on(0, 1, start)
}

/// Keeps the load generator off the server's core.
pub(crate) fn keep_off_server() {
    pinned::on(1, 1, || ());
}

#[cfg(target_os = "linux")]
mod pinned {
    use std::sync::LazyLock;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    /// Read before this process is pinned: later it has one core.
    static POSSIBLE: LazyLock<bool> = LazyLock::new(|| {
        sched_getaffinity(None).is_ok_and(|cores| cores.is_set(0) && cores.is_set(1))
    });

    pub(super) fn is_possible() -> bool {
        *POSSIBLE
    }

    /// Runs something on a core, then moves this thread to another. With fewer than two cores it does
    /// not move.
    pub(super) fn on<T>(core: usize, after: usize, run: impl FnOnce() -> T) -> T {
        if !is_possible() {
            return run();
        }
        let pin = |core| {
            let mut cores = CpuSet::new();
            cores.set(core);
            // Without it the figures are only noisier.
            let _ = sched_setaffinity(None, &cores);
        };
        pin(core);
        let outcome = run();
        pin(after);
        outcome
    }
}

#[cfg(not(target_os = "linux"))]
mod pinned {
    pub(super) fn is_possible() -> bool {
        false
    }

    pub(super) fn on<T>(_: usize, _: usize, run: impl FnOnce() -> T) -> T {
        run()
    }
}
