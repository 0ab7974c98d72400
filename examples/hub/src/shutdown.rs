//! On SIGTERM or Ctrl-C, streams and the process end within a second.

use std::time::Duration;

/// How long open connections have to receive what was sent. A stalled client must not keep the process running.
pub const TIMEOUT: Duration = Duration::from_millis(800);

/// Resolves at SIGTERM or Ctrl-C; never if the process cannot listen for signals, which then end it directly.
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
