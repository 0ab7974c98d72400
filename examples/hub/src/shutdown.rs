//! The end: on SIGTERM or Ctrl-C, streams end, and so does the process, within a second.

use std::time::Duration;

/// How long open connections get to take what was sent: a client that does not read must not
/// keep the process.
pub const TIMEOUT: Duration = Duration::from_millis(800);

/// Resolves at SIGTERM or Ctrl-C. Where the process may not listen for signals, never: then the
/// system ends it the hard way.
#[cfg(unix)]
pub async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};

    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}

/// Resolves at Ctrl-C.
#[cfg(not(unix))]
pub async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
