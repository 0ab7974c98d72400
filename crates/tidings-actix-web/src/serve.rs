use std::fmt::{self, Debug};
use std::io;
use std::num::NonZero;
use std::pin::Pin;
use std::thread::available_parallelism;

use actix_http::{Request, Response};
use actix_service::IntoServiceFactory;
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Service, ServiceFactory};
use tidings::Hub;
use tidings_net::{Connections, Graceful, IntoListener, Listener, Options, Server, WithWorkers};
use tokio::sync::watch;

use crate::connection::{self, Connection, Site};
use crate::workers::{Start, Workers};

/// Serves an application of actix-web, with a server for event streams.
///
/// `app` makes the application, as for [`HttpServer::new`](actix_web::HttpServer::new): once for each
/// [worker](tidings_net::Serve::workers). The listener is one of `std`, as for
/// [`HttpServer::listen`](actix_web::HttpServer::listen), or of tokio, for TCP or Unix sockets, or any
/// [`Listener`]. Clients may speak HTTP/1 and HTTP/2; with `tls`, over TLS.
///
/// It is actix-web's HTTP on Tidings' connections, and adds to `HttpServer`:
///
/// - [`Limits`](tidings_net::Limits) in time and number, from when a connection is accepted;
/// - streams that end as soon as their clients close;
/// - a graceful shutdown that ends the hub's streams and has a time limit.
///
/// What `HttpServer` sets for its connections (`keep_alive`, `client_request_timeout`,
/// `max_connections` and others) is in the limits.
///
/// ```no_run
/// use actix_web::App;
/// use tidings_actix_web::tidings::Hub;
///
/// # async fn example(hub: Hub) -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:3000")?;
/// tidings_actix_web::serve(listener, App::new, &hub).await
/// # }
/// ```
pub fn serve<L, F, I, S, B>(listener: L, app: F, hub: &Hub) -> Serve<L>
where
    L: IntoListener,
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
    let start = Box::new(move |site: Site| -> Start<_> {
        let app = app.clone();
        Box::new(move || Box::pin(async move { connection::start(app(), site).await }))
    });
    let workers = available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    tidings_net::Serve::new(ActixWeb { listener, workers, start }, hub)
}

/// A server that is being set up: see [`serve`]. It runs when it is awaited.
pub type Serve<L = std::net::TcpListener> = tidings_net::Serve<ActixWeb<L>>;

/// An application of actix-web on its listener, for [`Serve`].
pub struct ActixWeb<L: IntoListener> {
    listener: L,
    workers: NonZero<usize>,
    start: Box<dyn Fn(Site) -> Start<Connection<L::Listener>>>,
}

impl<L: IntoListener> Server for ActixWeb<L> {
    type Addr = L::Addr;
    type Running = Pin<Box<dyn Future<Output = io::Result<()>>>>;

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }

    fn run(self, options: Options, graceful: Graceful) -> Self::Running {
        Box::pin(async move {
            let mut listener = self.listener.into_listener()?;
            listener.prepare(&options.limits)?;
            let connections = Connections::new(&options);
            let (close, closing) = watch::channel(false);
            let site = Site {
                connections: connections.clone(),
                addr: Listener::local_addr(&listener)
                    .ok()
                    .as_ref()
                    .and_then(L::Listener::socket_addr),
                tls: options.tls,
                closing,
            };
            let server = async |begun| {
                let mut workers =
                    Workers::start(self.workers.get(), || (self.start)(site.clone())).await?;
                let mut begun = begun;
                loop {
                    tokio::select! {
                        () = &mut begun => break,
                        (io, _, reception) = connections.accept(&mut listener) => {
                            workers.serve(Connection { io, reception });
                        }
                    }
                }
                drop(listener);
                close.send_replace(true);
                workers.finish().await;
                Ok(())
            };
            graceful.run(options.hubs, server).await
        })
    }
}

impl<L: IntoListener> WithWorkers for ActixWeb<L> {
    fn set_workers(&mut self, number: NonZero<usize>) {
        self.workers = number;
    }
}

impl<L: IntoListener + Debug> Debug for ActixWeb<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActixWeb")
            .field("listener", &self.listener)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
