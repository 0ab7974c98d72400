use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

use crate::Hubs;
use crate::signals::{self, Signals};

type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A shutdown that ends streams first, and has a time limit.
///
/// Servers wait for open responses when they shut down, but event streams do not end by themselves.
/// A client that does not read can hold up even a response that has ended.
pub struct Graceful {
    /// The application's own, in place of SIGTERM and SIGINT.
    signal: Option<Signal>,
    handles_signals: bool,
    /// How long to drain the hubs, unless it follows from how many streams they have.
    drain: Option<Duration>,
    timeout: Duration,
}

impl Graceful {
    /// A hundred streams a second are no storm: where there are few, nobody has to wait.
    const DRAIN_EACH: Duration = Duration::from_millis(10);

    /// A shutdown at SIGTERM or SIGINT (on Windows at Ctrl-C), with a time limit of 10 seconds. Once
    /// it has begun, these signals end the process at once.
    pub fn new() -> Self {
        let timeout = Duration::from_secs(10);
        Self { signal: None, handles_signals: true, drain: None, timeout }
    }

    /// Shuts down when `signal` resolves, instead of at SIGTERM or SIGINT. Once that has begun, these
    /// end the process at once.
    pub fn set_signal(&mut self, signal: impl Future<Output = ()> + Send + 'static) {
        self.signal = Some(Box::pin(signal));
    }

    /// Leaves SIGTERM and SIGINT to the application, before and after the shutdown has begun.
    pub fn disable_signals(&mut self) {
        self.handles_signals = false;
    }

    /// Sets over how long a shutdown drains the hubs, at most for its time limit. Default: 10 ms for each
    /// stream, and at most half of the time limit.
    pub fn set_drain(&mut self, time: Duration) {
        self.drain = Some(time);
    }

    /// Sets how long a shutdown drains the hubs and waits for open responses.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// How long a shutdown drains the hubs and waits for open responses.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs a server to its end, or until a shutdown has taken too long.
    ///
    /// When the shutdown begins, the hubs are drained, and then closed. `server` gets a signal that resolves
    /// right after that, on which it must shut down; it goes on until then. When it has taken too long, the server
    /// is dropped, on which it must end its connections, and the hubs are closed.
    ///
    /// # Errors
    ///
    /// The server's errors, and that the process cannot listen for signals.
    pub async fn run<S>(self, hubs: Hubs, server: impl FnOnce(Signal) -> S) -> io::Result<()>
    where
        S: Future<Output = io::Result<()>>,
    {
        let Self { signal, handles_signals, drain, timeout } = self;
        let signal = match signal {
            Some(signal) => signal,
            None if handles_signals => Box::pin(Signals::listen()?.received()),
            None => Box::pin(pending()),
        };
        let (begin, mut begun) = watch::channel(false);
        let overdue_hubs = hubs.clone();
        let server = server(Box::pin(async move {
            signal.await;
            if handles_signals {
                // An error means that they have no handler of this process, and so their default action.
                let _ = signals::restore_default();
            }
            begin.send_replace(true);
            hubs.drain(drain.unwrap_or_else(|| Self::drain_of(hubs.streams(), timeout))).await;
            hubs.close();
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
            () = overdue => {
                overdue_hubs.close();
                Ok(())
            }
        }
    }
}

impl Graceful {
    /// How long to drain hubs with so many streams, unless the application says it.
    fn drain_of(streams: usize, timeout: Duration) -> Duration {
        let streams = u32::try_from(streams).unwrap_or(u32::MAX);
        Self::DRAIN_EACH.saturating_mul(streams).min(timeout / 2)
    }
}

impl Default for Graceful {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Graceful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graceful")
            .field("handles_signals", &self.handles_signals)
            .field("drain", &self.drain)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings::Hub;

    #[tokio::test(start_paused = true)]
    async fn streams_are_closed_before_the_server_shuts_down() {
        let hubs = [Hub::new(), Hub::new()];
        let mut graceful = Graceful::new();
        graceful.set_signal(async {});
        let closed = hubs.clone();
        let server = async move |begun: Signal| {
            begun.await;
            assert!(closed.iter().all(Hub::is_closed));
            Err(io::Error::other("the server's own"))
        };
        let result = graceful.run(Hubs::from([&hubs[0], &hubs[1]]), server).await;
        assert_eq!(result.unwrap_err().to_string(), "the server's own");
    }

    #[test]
    fn few_streams_are_drained_in_no_time_and_many_in_half_of_the_time_limit() {
        let seconds = |streams| Graceful::drain_of(streams, Duration::from_secs(10)).as_secs_f64();
        assert_eq!([0, 2, 100, 500, usize::MAX].map(seconds), [0.0, 0.02, 1.0, 5.0, 5.0]);
    }

    #[tokio::test]
    async fn the_hubs_are_drained_before_they_are_closed() {
        let clock = tidings::clock::ManualClock::new();
        let hub = Hub::builder().clock(&clock).build();
        let streams = [(); 2].map(|()| hub.subscribe("a").open().unwrap());
        let mut graceful = Graceful::new();
        graceful.set_signal(async {});
        graceful.set_drain(Duration::from_secs(60));
        let mut run = std::pin::pin!(graceful.run(Hubs::from(&hub), async |begun| {
            begun.await;
            Ok(())
        }));
        let mut is_over = async || {
            tokio::select! {
                biased;
                result = &mut run => result.is_ok(),
                () = tokio::task::yield_now() => false,
            }
        };
        assert!(!is_over().await && hub.is_draining() && !hub.is_closed());
        clock.advance(Duration::from_secs(59));
        assert!(!is_over().await && !hub.is_closed());
        drop(streams);
        assert!(is_over().await && hub.is_closed());
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
        graceful.run(Hubs::default(), server).await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 63);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_that_does_not_come_to_the_end_of_its_drain_closes_the_hubs() {
        let clock = tidings::clock::ManualClock::new();
        let hub = Hub::builder().clock(&clock).build();
        let _stream = hub.subscribe("a").open().unwrap();
        let mut graceful = Graceful::new();
        graceful.set_signal(async {});
        graceful.set_drain(Duration::from_secs(60));
        graceful.set_timeout(Duration::from_secs(3));
        let server = async |begun: Signal| {
            begun.await;
            Ok(())
        };
        graceful.run(Hubs::from(&hub), server).await.unwrap();
        assert!(hub.is_closed());
    }
}
