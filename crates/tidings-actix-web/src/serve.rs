use std::fmt::{self, Debug};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;

use actix_http::{Request, Response};
use actix_service::IntoServiceFactory;
use actix_web::body::MessageBody;
use actix_web::dev::{self, AppConfig, Service, ServiceFactory};
use actix_web::rt::net::TcpStream;
use actix_web::{Error, HttpServer};
use tidings::Hub;
use tidings_net::{Graceful, Limits, Options, Server};

/// Serves an application with actix-web's own server, on sockets that are set for event streams.
///
/// It adds to [`HttpServer::listen`] and [`run`](HttpServer::run):
///
/// - the [`Limits`] on every connection;
/// - streams that end as soon as their clients close (`h1_allow_half_closed(false)`);
/// - a graceful shutdown that ends the hub's streams and has a time limit.
///
/// actix-web writes to its connections itself, so `TCP_USER_TIMEOUT` is the only limit on stalled
/// writes; it exists on Linux and Android. The application's `on_connect` is replaced.
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
    serve_with(listener, app, hub, HttpServer::listen)
}

/// Serves as [`serve`] does, but lets the application choose how to listen: by one of the `listen_`
/// methods of [`HttpServer`], which need features of actix-web.
///
/// They enable HTTP/2. `listen_auto_h2c` accepts clients of HTTP/1.1 and clients that begin with
/// HTTP/2, without TLS; the methods with TLS offer both.
///
/// ```
/// use actix_web::{App, HttpServer};
/// use tidings_actix_web::tidings::Hub;
/// use tidings_actix_web::{Serve, serve_with};
/// # use tidings_testkit::tls::tokio_rustls::rustls::ServerConfig;
///
/// fn without_tls(listener: std::net::TcpListener, hub: &Hub) -> Serve {
///     serve_with(listener, HttpServer::new(App::new), hub, HttpServer::listen_auto_h2c)
/// }
///
/// fn with_tls(listener: std::net::TcpListener, hub: &Hub, tls: ServerConfig) -> Serve {
///     serve_with(listener, HttpServer::new(App::new), hub, |server, listener| {
///         server.listen_rustls_0_23(listener, tls)
///     })
/// }
/// ```
pub fn serve_with<F, I, S, B>(
    listener: TcpListener,
    app: HttpServer<F, I, S, B>,
    hub: &Hub,
    listen: impl FnOnce(HttpServer<F, I, S, B>, TcpListener) -> io::Result<HttpServer<F, I, S, B>>
    + 'static,
) -> Serve
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
    let start = Box::new(|listener: TcpListener, limits: Limits, seconds, begun| {
        limits.apply(&listener)?;
        let app = app
            .h1_allow_half_closed(false)
            .on_connect(move |connection, _| {
                // Where connections inherit the listener's options, this repeats them. It fails
                // if the connection is gone already, which the server will notice.
                let _ = connection.downcast_ref::<TcpStream>().map(|io| limits.apply(io));
            })
            .shutdown_timeout(seconds)
            .shutdown_signal(begun);
        Ok(listen(app, listener)?.run())
    });
    tidings_net::Serve::new(ActixWeb { listener, start }, hub)
}

/// A server that is being set up: see [`serve`]. It runs when it is awaited.
pub type Serve = tidings_net::Serve<ActixWeb>;

/// actix-web's own server, for [`Serve`].
pub struct ActixWeb {
    listener: TcpListener,
    start: Start,
}

type Start = Box<dyn FnOnce(TcpListener, Limits, u64, Signal) -> io::Result<dev::Server>>;
type Signal = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Server for ActixWeb {
    type Addr = SocketAddr;
    type Running = Pin<Box<dyn Future<Output = io::Result<()>>>>;

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn run(self, options: Options, graceful: Graceful) -> Self::Running {
        let Self { listener, start } = self;
        Box::pin(async move {
            // actix-web counts whole seconds, and does not wait if there are none.
            let seconds = graceful.timeout().as_secs().max(1);
            let server = async |begun| start(listener, options.limits, seconds, begun)?.await;
            graceful.run(options.hubs, server).await
        })
    }
}

impl fmt::Debug for ActixWeb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActixWeb").field("listener", &self.listener).finish_non_exhaustive()
    }
}
