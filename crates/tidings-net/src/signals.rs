use std::io;

use crate::Hubs;

/// Resolves at SIGTERM or SIGINT (Ctrl-C; on Windows only that), after it has closed the hubs.
///
/// It is the clean end of streams under a server that is not Tidings' own: for `with_graceful_shutdown` of axum,
/// `graceful` of warp, `shutdown_signal` of actix-web, and the like. A further signal ends the process at once.
///
/// It waits for signals from the call on. If the process cannot listen for them, they have their default action, and it
/// never resolves.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let (hub, other) = (tidings::Hub::new(), tidings::Hub::new());
/// let stop = tidings_net::shutdown_signal(&hub);
/// let stop_both = tidings_net::shutdown_signal([&hub, &other]);
/// # drop((stop, stop_both));
/// # }
/// ```
///
/// # Panics
///
/// Outside of tokio's runtime.
pub fn shutdown_signal(
    hubs: impl Into<Hubs>,
) -> impl Future<Output = ()> + Send + Sync + Unpin + 'static {
    let hubs = hubs.into();
    let signals = Signals::listen();
    Box::pin(async move {
        match signals {
            Ok(signals) => signals.received().await,
            Err(_) => std::future::pending().await,
        }
        hubs.close();
    })
}

#[cfg(unix)]
pub(crate) use unix::{Signals, restore_default};

#[cfg(unix)]
mod unix {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag::register_conditional_default;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// A server that waits for SIGTERM or SIGINT.
    ///
    /// While there is one in the process, the signals do nothing else. Before and after, they have their default
    /// action, which ends the process. A handler cannot be removed again, so the handler does that.
    #[derive(Debug)]
    pub(crate) struct Signals {
        terminate: Signal,
        interrupt: Signal,
        _waiting: Waiting,
    }

    impl Signals {
        /// Begins to wait.
        pub(crate) fn listen() -> io::Result<Self> {
            let _waiting = Waiting::begin()?;
            let terminate = signal(SignalKind::terminate())?;
            let interrupt = signal(SignalKind::interrupt())?;
            Ok(Self { terminate, interrupt, _waiting })
        }

        /// Waits for one of them.
        pub(crate) async fn received(mut self) {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        }
    }

    /// From now on, unless a server waits for them, the signals have their default action, also where the application
    /// has handled them.
    pub(crate) fn restore_default() -> io::Result<()> {
        PROCESS.lock().unwrap_or_else(PoisonError::into_inner).apply()
    }

    static PROCESS: Mutex<Process> = Mutex::new(Process { waiting: 0, has_default: None });

    /// What the signals do in this process.
    struct Process {
        /// How many servers wait for them.
        waiting: usize,
        /// Whether they have their default action; `None` before they have a handler.
        has_default: Option<Arc<AtomicBool>>,
    }

    impl Process {
        fn apply(&mut self) -> io::Result<()> {
            let has_default = self.waiting == 0;
            if let Some(flag) = &self.has_default {
                flag.store(has_default, Ordering::SeqCst);
                return Ok(());
            }
            let flag = Arc::new(AtomicBool::new(has_default));
            register_conditional_default(SIGTERM, flag.clone())?;
            register_conditional_default(SIGINT, flag.clone())?;
            self.has_default = Some(flag);
            Ok(())
        }
    }

    #[derive(Debug)]
    struct Waiting(());

    impl Waiting {
        fn begin() -> io::Result<Self> {
            let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
            process.waiting += 1;
            if let Err(error) = process.apply() {
                process.waiting -= 1;
                return Err(error);
            }
            Ok(Self(()))
        }
    }

    impl Drop for Waiting {
        fn drop(&mut self) {
            let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
            process.waiting -= 1;
            // It has registered its handler when this began.
            let _ = process.apply();
        }
    }
}

#[cfg(not(unix))]
pub(crate) use other::{Signals, restore_default};

#[cfg(not(unix))]
mod other {
    use super::*;

    /// A server that waits for Ctrl-C. While none does, tokio leaves it its default action.
    #[derive(Debug)]
    pub(crate) struct Signals(());

    impl Signals {
        /// Begins to wait.
        pub(crate) fn listen() -> io::Result<Self> {
            Ok(Self(()))
        }

        /// Waits for it.
        pub(crate) async fn received(self) {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Nothing to do.
    pub(crate) fn restore_default() -> io::Result<()> {
        Ok(())
    }
}
