use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use tidings::Hub;

use crate::{Graceful, Hubs, Limits, Transport};

/// Everything that [`Serve`] has collected for a server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The limits of its connections.
    pub limits: Limits,
    /// TLS, if it speaks it.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::Tls>,
    /// How responses of subscriptions are sent.
    pub transport: Transport,
    /// The hubs whose streams it sends.
    pub hubs: Hubs,
}

/// A framework's server on its listener, which an adapter gives to [`Serve`].
pub trait Server {
    /// The running server.
    type Running: Future<Output = std::io::Result<()>>;

    /// Runs with these options.
    ///
    /// When a shutdown by `graceful` begins, the hubs of the options must be closed, which ends their streams.
    fn run(self, options: Options, graceful: Graceful) -> Self::Running;
}

/// A server that is being set up. Runs when it is awaited, until it fails or is shut down.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<S> {
    server: S,
    options: Options,
    graceful: Graceful,
}

impl<S: Server> Serve<S> {
    /// A server with the default settings, which sends streams of this hub.
    pub fn new(server: S, hub: &Hub) -> Self {
        let mut options = Options::default();
        options.hubs.add(hub);
        Self { server, options, graceful: Graceful::new() }
    }

    /// Sets the limits of the connections. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Speaks TLS. Default: it does not.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.options.tls = Some(tls);
        self
    }

    /// Sets how responses of subscriptions are sent. Default: [`Transport::Auto`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.options.transport = transport;
        self
    }

    /// Adds another hub whose streams the server sends.
    pub fn hub(mut self, another: &Hub) -> Self {
        self.options.hubs.add(another);
        self
    }

    /// Shuts down when `signal` resolves: accepts no more connections, closes the hubs, which ends their
    /// streams after the last published event, and waits for open responses.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.graceful.set_signal(signal);
        self
    }

    /// Sets how long a shutdown waits for open responses. Default: 10 seconds.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.graceful.set_timeout(timeout);
        self
    }
}

impl<S: Server> IntoFuture for Serve<S> {
    type Output = std::io::Result<()>;
    type IntoFuture = S::Running;

    fn into_future(self) -> S::Running {
        self.server.run(self.options, self.graceful)
    }
}

impl<S> fmt::Debug for Serve<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("options", &self.options).finish_non_exhaustive()
    }
}
