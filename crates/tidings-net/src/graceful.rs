use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A shutdown that ends streams first, and has a time limit.
///
/// Servers wait for open responses when they shut down, but event streams do not end by themselves.
/// A client that does not read can hold up even a response that has ended.
pub struct Graceful {
    signal: Signal,
    timeout: Duration,
}

impl Graceful {
    /// No shutdown; if a signal is set, a time limit of 10 seconds.
    pub fn new() -> Self {
        Self { signal: Box::pin(pending()), timeout: Duration::from_secs(10) }
    }

    /// Shuts down when `signal` resolves.
    pub fn set_signal(&mut self, signal: impl Future<Output = ()> + Send + 'static) {
        self.signal = Box::pin(signal);
    }

    /// Sets how long a shutdown waits for open responses.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// How long a shutdown waits for open responses.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs a server to its end, or until a shutdown has taken too long.
    ///
    /// `close` ends the streams. `server` gets a signal that resolves right after that, on which it
    /// must shut down.
    ///
    /// # Errors
    ///
    /// The server's errors.
    pub async fn run<S>(
        self,
        close: impl FnOnce() + Send + 'static,
        server: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>) -> S,
    ) -> io::Result<()>
    where
        S: Future<Output = io::Result<()>>,
    {
        let Self { signal, timeout } = self;
        let (begin, mut begun) = watch::channel(false);
        let server = server(Box::pin(async move {
            signal.await;
            close();
            begin.send_replace(true);
        }));
        let overdue = async move {
            // An error means that the server has dropped the signal: then only its end counts.
            if begun.wait_for(|begun| *begun).await.is_err() {
                pending::<()>().await;
            }
            tokio::time::sleep(timeout).await;
        };
        tokio::select! {
            result = server => result,
            () = overdue => Ok(()),
        }
    }
}

impl Default for Graceful {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Graceful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graceful").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test(start_paused = true)]
    async fn streams_are_closed_before_the_server_shuts_down() {
        let closed = Arc::new(AtomicBool::new(false));
        let close = closed.clone();
        let mut graceful = Graceful::new();
        graceful.set_signal(async {});
        let server = async move |begun: Signal| {
            begun.await;
            assert!(closed.load(Ordering::SeqCst));
            Err(io::Error::other("the server's own"))
        };
        let result = graceful.run(move || close.store(true, Ordering::SeqCst), server).await;
        assert_eq!(result.unwrap_err().to_string(), "the server's own");
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_at_its_time_limit() {
        let began = tokio::time::Instant::now();
        let mut graceful = Graceful::new();
        graceful.set_signal(tokio::time::sleep(Duration::from_secs(60)));
        graceful.set_timeout(Duration::from_secs(3));
        let server = async |begun: Signal| {
            begun.await;
            pending().await
        };
        graceful.run(|| {}, server).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 63);
    }
}
