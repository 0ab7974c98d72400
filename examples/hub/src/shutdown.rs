//! The end: on SIGTERM or Ctrl-C, streams end, and so does the process, within a second.

use std::time::Duration;

use tidings::Hub;
use tokio_util::sync::CancellationToken;

/// How long open connections get to take what was sent: a client that does not read must not
/// keep the process.
const GRACE: Duration = Duration::from_millis(800);

/// Waits for the signal to end.
#[derive(Debug, Clone)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Closes the hub at the signal, which ends its streams.
    ///
    /// # Errors
    ///
    /// When the process may not listen for signals.
    pub fn on_signal(hub: Hub) -> std::io::Result<Self> {
        let signal = signal()?;
        let token = CancellationToken::new();
        let begun = token.clone();
        tokio::spawn(async move {
            signal.await;
            hub.close();
            begun.cancel();
        });
        Ok(Self(token))
    }

    /// Resolves when the shutdown begins: the server should take no more connections.
    pub async fn begun(self) {
        self.0.cancelled().await;
    }

    /// Resolves when the shutdown has taken long enough.
    pub async fn overdue(self) {
        self.0.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }
}

#[cfg(unix)]
fn signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // An error means that there will be no signal, so there is nothing to wait for.
        let _ = tokio::signal::ctrl_c().await;
    })
}
