use std::fmt;
use std::future::IntoFuture;
use std::io;
use std::num::NonZero;
use std::time::Duration;

use tidings::Hub;

use crate::{Graceful, Hubs, Limits, Tls, Transport};

/// A framework's server on its listener, which an adapter gives to [`Serve`].
pub trait Server {
    /// The address of the listener.
    type Addr;

    /// The running server.
    type Running: Future<Output = io::Result<()>>;

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the listener.
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// Runs until it fails or `graceful` shuts it down.
    fn run(self, options: Options, graceful: Graceful) -> Self::Running;
}

/// A server with threads of its own.
pub trait WithWorkers: Server {
    /// Sets how many. Default: as many as there are processors.
    fn set_workers(&mut self, number: NonZero<usize>);
}

/// What an application has set with [`Serve`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Options {
    /// The limits of its connections.
    pub limits: Limits,
    /// How responses of subscriptions are sent.
    pub transport: Transport,
    /// The hubs whose streams are sent.
    pub hubs: Hubs,
    /// TLS, if the server has it.
    pub tls: Option<Tls>,
}

impl Options {
    /// Those of a server with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }
}

/// A server that is being set up. Runs when it is awaited, until it fails or is shut down.
///
/// A shutdown begins at SIGTERM or SIGINT (on Windows at Ctrl-C); once it has begun, however it did, a
/// further one ends the process at once. It has three steps, within one time limit:
///
/// 1. It [drains](Hub::drain) the hubs: they are not ready any more, and their streams end one after the
///    other, so that their clients come back one after the other. Requests are answered meanwhile.
/// 2. It accepts no more connections, and closes the hubs: what streams are left end after the last
///    published event.
/// 3. It waits for open responses.
///
/// What is open at the time limit is cut, and the hubs are closed.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<S> {
    server: S,
    options: Options,
    graceful: Graceful,
    ends_by_reset: Option<bool>,
}

impl<S: Server> Serve<S> {
    /// A server of this hub's streams, with the default settings.
    pub fn new(server: S, hub: &Hub) -> Self {
        let options = Options { hubs: hub.into(), ..Options::default() };
        Self { server, options, graceful: Graceful::new(), ends_by_reset: None }
    }

    /// Where the server listens.
    ///
    /// # Errors
    ///
    /// Those of the listener.
    pub fn local_addr(&self) -> io::Result<S::Addr> {
        self.server.local_addr()
    }

    /// Adds another hub, whose streams a shutdown ends, too.
    pub fn hub(mut self, another: &Hub) -> Self {
        self.options.hubs.add(another);
        self
    }

    /// Sets the limits of the connections. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Serves TLS, with a `ServerConfig` of rustls or with a [`Tls`], whose clone can replace the
    /// certificates while the server runs. Default: no TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: impl Into<Tls>) -> Self {
        self.options.tls = Some(tls.into());
        self
    }

    /// Sets how responses of subscriptions are sent, with axum and warp. actix-web has the body transport only, and there this
    /// changes nothing. Default: [`Transport::Auto`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.options.transport = transport;
        self
    }

    /// Sets how many threads serve connections, each with its own instance of the application. Default:
    /// as many as there are processors; 0 is as 1.
    pub fn workers(mut self, number: usize) -> Self
    where
        S: WithWorkers,
    {
        self.server.set_workers(NonZero::new(number).unwrap_or(NonZero::<usize>::MIN));
        self
    }

    /// Sets for all hubs whether streams end by a reset in place of an orderly end, at a shutdown and
    /// when a client or a hub is closed: HTTP/1 lacks the last chunk, HTTP/2 has `RST_STREAM`. Some
    /// clients, such as Datastar and react-eventsource, take an orderly end for final and do not
    /// connect again. On HTTP/2 the reset may overtake the last events, which a client gets when it
    /// resumes. Default: as the hubs are, which end in an orderly way.
    pub fn end_streams_by_reset(mut self, by_reset: bool) -> Self {
        self.ends_by_reset = Some(by_reset);
        self
    }

    /// Shuts down when `signal` resolves, instead of at SIGTERM or SIGINT. Once that has begun, these
    /// end the process at once.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.graceful.set_signal(signal);
        self
    }

    /// Leaves SIGTERM and SIGINT to the application, before and after a shutdown has begun.
    pub fn disable_signals(mut self) -> Self {
        self.graceful.disable_signals();
        self
    }

    /// Sets over how long a shutdown [drains](Hub::drain) the hubs: all their streams end in this time,
    /// evenly, and a shutdown without streams does not wait. It is a part of the [time
    /// limit](Self::shutdown_timeout), which ends it if that is shorter. Default: 10 ms for each stream,
    /// and at most half of the time limit.
    ///
    /// The longer it is, the fewer clients come back a second: 15,000 streams in the default of 5 seconds
    /// are 3,000. Load balancers need time, too, to learn that no clients shall come here. Whoever ends
    /// the process must wait for longer than the time limit (`docker stop`: 10 seconds unless set;
    /// Kubernetes: `terminationGracePeriodSeconds`, 30).
    pub fn drain_over(mut self, time: Duration) -> Self {
        self.graceful.set_drain(time);
        self
    }

    /// Sets the time limit of a shutdown: how long it drains the hubs and waits for open responses.
    /// Default: 10 seconds.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.graceful.set_timeout(timeout);
        self
    }
}

impl<S: Server> IntoFuture for Serve<S> {
    type Output = io::Result<()>;
    type IntoFuture = S::Running;

    fn into_future(self) -> S::Running {
        if let Some(by_reset) = self.ends_by_reset {
            self.options.hubs.end_streams_by_reset(by_reset);
        }
        self.server.run(self.options, self.graceful)
    }
}

impl<S> fmt::Debug for Serve<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("options", &self.options)
            .field("graceful", &self.graceful)
            .finish_non_exhaustive()
    }
}
