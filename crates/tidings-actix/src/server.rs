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
use tidings_net::{Connections, Graceful, IntoListener, Listener, Options, WithWorkers};
use tokio::sync::watch;

use crate::connection::{self, Connection, Site};
use crate::workers::{Start, Workers};

/// An application of actix-web on its listener, for [`Serve`](tidings_net::Serve).
pub struct Server<L: IntoListener> {
    listener: L,
    workers: NonZero<usize>,
    start: Box<dyn Fn(Site) -> Start<Connection<L::Listener>>>,
}

impl<L: IntoListener> Server<L> {
    /// Serves on as many workers as there are processors. `app` makes the application for each of them.
    pub fn new<F, I, S, B>(listener: L, app: F) -> Self
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
        let start = Box::new(move |site: Site| -> Start<_> {
            let app = app.clone();
            Box::new(move || Box::pin(async move { connection::start(app(), site).await }))
        });
        let workers = available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Self { listener, workers, start }
    }
}

impl<L: IntoListener> tidings_net::Server for Server<L> {
    type Addr = L::Addr;
    type Running = Pin<Box<dyn Future<Output = io::Result<()>>>>;

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }

    fn run(self, options: Options, graceful: Graceful) -> Self::Running {
        Box::pin(async move {
            let mut listener = self.listener.into_listener()?;
            #[cfg(not(feature = "http2"))]
            if let Some(tls) = &options.tls {
                tls.do_not_offer_http2();
            }
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
                let mut begun = begun;
                let starting = Workers::start(self.workers.get(), || (self.start)(site.clone()));
                // A shutdown begins, and ends, also while an application takes its time to start.
                let mut workers = tokio::select! {
                    biased;
                    workers = starting => workers?,
                    () = &mut begun => return Ok(()),
                };
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

impl<L: IntoListener> WithWorkers for Server<L> {
    fn set_workers(&mut self, number: NonZero<usize>) {
        self.workers = number;
    }
}

impl<L: IntoListener + Debug> Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use actix_web::App;
    use tidings::Hub;
    use tidings_net::Serve;

    use super::*;

    #[tokio::test]
    async fn a_shutdown_does_not_wait_for_an_application_that_does_not_start() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let app = || App::new().data_factory(pending::<Result<(), ()>>);
        let hub = Hub::new();
        let serve = Serve::new(Server::new(listener, app), &hub).with_graceful_shutdown(async {});
        let ended = tokio::time::timeout(Duration::from_secs(10), serve.into_future()).await;
        ended.expect("within the limit").unwrap();
        assert!(hub.is_closed());
    }
}
