use std::future::IntoFuture;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use tidings::Hub;
use tidings_net::{Graceful, SocketSettings};
use tokio::net::TcpListener;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection, Reply};

/// Serves a filter with warp's own server, on sockets that are set for event streams.
///
/// It is [`warp::serve`](warp::serve()) with two things added: the [`SocketSettings`] on every
/// connection, and a graceful shutdown that ends the hub's streams and does not wait for ever.
///
/// warp takes connections itself, so the settings go to the listener, from which connections
/// inherit them. On Linux those are all of them, with `TCP_USER_TIMEOUT` as the limit on stalled
/// writes; other systems have no such limit here.
///
/// ```no_run
/// use tidings_warp::tidings::Hub;
/// use warp::Filter;
///
/// # async fn example(hub: Hub) -> std::io::Result<()> {
/// let routes = warp::path("hello").map(|| "world");
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// tidings_warp::serve(listener, routes, &hub)
///     .with_graceful_shutdown(async {
///         tokio::signal::ctrl_c().await.ok();
///     })
///     .await
/// # }
/// ```
pub fn serve<F, R>(listener: TcpListener, filter: F, hub: &Hub) -> Serve
where
    F: Filter<Extract = (R,)> + Clone + Send + Sync + 'static,
    F::Error: Into<Rejection>,
    R: Reply + 'static,
{
    Serve {
        listener,
        filter: filter.boxed().map(R::into_response).boxed(),
        hub: hub.clone(),
        sockets: SocketSettings::default(),
        graceful: Graceful::new(),
    }
}

/// A server that is being set up: see [`serve`]. Runs when it is awaited.
///
/// Like that of warp's own server, its future cannot be sent to another thread, so it is awaited where
/// it is made (or in a `LocalSet`), not spawned.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve {
    listener: TcpListener,
    filter: BoxedFilter<(Response,)>,
    hub: Hub,
    sockets: SocketSettings,
    graceful: Graceful,
}

impl Serve {
    /// Sets the sockets differently. Default: [`SocketSettings::default`].
    pub fn sockets(mut self, settings: SocketSettings) -> Self {
        self.sockets = settings;
        self
    }

    /// Shuts down when `signal` resolves: takes no more connections, closes the hub, which ends
    /// its streams behind what was published, and waits for open responses.
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.graceful.set_signal(signal);
        self
    }

    /// How long a shutdown waits for open responses. Default 10 seconds.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.graceful.set_timeout(timeout);
        self
    }

    async fn run(self) -> io::Result<()> {
        let Self { listener, filter, hub, sockets, graceful } = self;
        sockets.apply(&listener)?;
        let server = async |begun| {
            warp::serve(filter).incoming(listener).graceful(begun).run().await;
            Ok(())
        };
        graceful.run(move || hub.close(), server).await
    }
}

impl IntoFuture for Serve {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("sockets", &self.sockets)
            .finish_non_exhaustive()
    }
}
