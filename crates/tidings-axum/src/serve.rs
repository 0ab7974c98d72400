use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, connect_info::Connected};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tidings::Hub;
use tidings_net::{Graceful, SocketSettings, WriteLimit};
use tokio::net::{TcpListener, TcpStream};

/// Serves an application with axum's own server, on sockets that are set for event streams.
///
/// It is [`axum::serve`](axum::serve()) with three things added: the [`SocketSettings`] on every
/// connection, with a limit on stalled writes; a graceful shutdown that ends the hub's streams and
/// does not wait for ever; and the address of the other end as
/// [`ConnectInfo<SocketAddr>`](ConnectInfo), for the registry and for handlers.
///
/// ```no_run
/// use axum::Router;
/// use tidings_axum::tidings::Hub;
///
/// # async fn example(app: Router, hub: Hub) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// tidings_axum::serve(listener, app, &hub)
///     .with_graceful_shutdown(async {
///         tokio::signal::ctrl_c().await.ok();
///     })
///     .await
/// # }
/// ```
pub fn serve(listener: TcpListener, app: Router, hub: &Hub) -> Serve {
    Serve {
        listener,
        app,
        hub: hub.clone(),
        sockets: SocketSettings::default(),
        graceful: Graceful::new(),
    }
}

/// A server that is being set up: see [`serve`]. Runs when it is awaited.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve {
    listener: TcpListener,
    app: Router,
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
        let Self { listener, app, hub, sockets, graceful } = self;
        sockets.apply(&listener)?;
        let app = app.layer(from_fn(connect_info)).into_make_service_with_connect_info::<Peer>();
        let listener = Sockets { listener, settings: sockets };
        let server = |begun| axum::serve(listener, app).with_graceful_shutdown(begun).into_future();
        graceful.run(move || hub.close(), server).await
    }
}

impl IntoFuture for Serve {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

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

/// A listener whose connections are set as they are accepted.
struct Sockets {
    listener: TcpListener,
    settings: SocketSettings,
}

impl Listener for Sockets {
    type Io = WriteLimit<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, addr) = Listener::accept(&mut self.listener).await;
        // Where connections inherit the listener's settings, this repeats them. It fails when the
        // connection is gone already, which the server will notice.
        let _ = self.settings.apply(&io);
        (WriteLimit::new(io, self.settings.write_timeout_value()), addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The address of the other end, in a type that may be implemented for.
#[derive(Debug, Clone, Copy)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Sockets>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Sockets>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Says the address as handlers expect it.
async fn connect_info(mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(Peer(addr))) = request.extensions_mut().remove() {
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(addr));
    }
    next.run(request).await
}
