use std::fmt::Debug;
use std::future::IntoFuture;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::time::Duration;

use actix_http::{Request, Response};
use actix_service::IntoServiceFactory;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, Service, ServiceFactory};
use actix_web::rt::net::TcpStream;
use actix_web::{Error, HttpServer};
use tidings::Hub;
use tidings_net::{Graceful, SocketSettings};

/// Serves an application with actix-web's own server, on sockets that are set for event streams.
///
/// It is [`HttpServer::listen`] and [`run`](HttpServer::run) with three things added: the
/// [`SocketSettings`] on every connection; streams that end as soon as their clients close
/// (`h1_allow_half_closed(false)`); and a graceful shutdown that ends the hub's streams and does not
/// wait for ever.
///
/// actix-web owns its connections' writing, so the limit on stalled writes is `TCP_USER_TIMEOUT`,
/// which Linux and Android have; other systems have no such limit here. What the application sets
/// with `on_connect` is replaced.
///
/// ```no_run
/// use actix_web::{App, HttpServer};
/// use tidings_actix_web::tidings::Hub;
///
/// # async fn example(hub: Hub) -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:3000")?;
/// tidings_actix_web::serve(listener, HttpServer::new(App::new), &hub)
///     .with_graceful_shutdown(async {
///         tokio::signal::ctrl_c().await.ok();
///     })
///     .await
/// # }
/// ```
pub fn serve<F, I, S, B>(listener: TcpListener, app: HttpServer<F, I, S, B>, hub: &Hub) -> Serve
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    Serve {
        start: Box::new(|listener, settings: SocketSettings, begun| {
            settings.apply(&listener)?;
            let server = app
                .h1_allow_half_closed(false)
                .on_connect(move |connection, _| {
                    // Where connections inherit the listener's settings, this repeats them. It
                    // fails when the connection is gone already, which the server will notice.
                    let _ = connection.downcast_ref::<TcpStream>().map(|io| settings.apply(io));
                })
                .shutdown_signal(begun)
                .listen(listener)?;
            Ok(server.run())
        }),
        listener,
        hub: hub.clone(),
        sockets: SocketSettings::default(),
        graceful: Graceful::new(),
    }
}

type Start = Box<dyn FnOnce(TcpListener, SocketSettings, Signal) -> io::Result<Server>>;
type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server that is being set up: see [`serve`]. Runs when it is awaited.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve {
    start: Start,
    listener: TcpListener,
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
        let Self { start, listener, hub, sockets, graceful } = self;
        let server = async |begun| start(listener, sockets, begun)?.await;
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
