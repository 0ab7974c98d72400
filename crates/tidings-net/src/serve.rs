use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use crate::{Graceful, SocketSettings, Transport};

/// A framework's server on its listener, which an adapter gives to [`Serve`].
pub trait Server {
    /// The running server.
    type Running: Future<Output = std::io::Result<()>>;

    /// Runs on sockets with these settings.
    ///
    /// A shutdown by `graceful` calls `close`, which ends the streams.
    fn run(
        self,
        sockets: SocketSettings,
        graceful: Graceful,
        close: impl FnOnce() + Send + 'static,
    ) -> Self::Running;
}

/// A server that has a choice of transports.
pub trait WithTransport: Server {
    /// Chooses one. Default: [`Transport::Auto`].
    fn set_transport(&mut self, transport: Transport);
}

/// A server that is being set up. Runs when it is awaited, until it fails or is shut down.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<S> {
    server: S,
    close: Box<dyn FnOnce() + Send>,
    sockets: SocketSettings,
    graceful: Graceful,
}

impl<S: Server> Serve<S> {
    /// A server with the default settings. A shutdown calls `close`, which must end its streams.
    pub fn new(server: S, close: impl FnOnce() + Send + 'static) -> Self {
        Self {
            server,
            close: Box::new(close),
            sockets: SocketSettings::default(),
            graceful: Graceful::new(),
        }
    }

    /// Sets the options of the sockets. Default: [`SocketSettings::default`].
    pub fn sockets(mut self, settings: SocketSettings) -> Self {
        self.sockets = settings;
        self
    }

    /// Sets how responses of subscriptions are sent. Default: [`Transport::Auto`].
    pub fn transport(mut self, transport: Transport) -> Self
    where
        S: WithTransport,
    {
        self.server.set_transport(transport);
        self
    }

    /// Shuts down when `signal` resolves: accepts no more connections, closes the hub, which ends its
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
        self.server.run(self.sockets, self.graceful, self.close)
    }
}

impl<S> fmt::Debug for Serve<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}
