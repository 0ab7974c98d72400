//! The application on a worker, and the connections that it serves.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{pending, poll_fn, ready};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_factory};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use actix_web::{Error, HttpResponse};
#[cfg(not(feature = "http2"))]
use tidings_net::refuse_http2;
use tidings_net::{Connections, Guarded, Io, Listener, Protocol, Received, Reception, Tls};
use tokio::sync::watch;

#[cfg(feature = "http2")]
use crate::http2;
use crate::watched::Watched;
use crate::workers::{Local, Serving};

/// A connection that was accepted.
pub(crate) struct Connection<L: Listener> {
    pub(crate) io: L::Io,
    pub(crate) reception: Reception,
}

/// What an application must know of its server.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) connections: Connections,
    pub(crate) addr: Option<SocketAddr>,
    pub(crate) tls: Option<Tls>,
    /// Whether the server is shutting down.
    pub(crate) closing: watch::Receiver<bool>,
}

impl Site {
    /// What `HttpServer` tells its applications: the scheme and the host of a request that does not
    /// name them.
    fn app_config(&self) -> AppConfig {
        let is_secure = self.tls.is_some();
        let host = self.addr.map_or_else(|| "localhost".to_owned(), |addr| addr.to_string());
        let addr = self.addr.unwrap_or((Ipv4Addr::LOCALHOST, 8080).into());
        // Hidden, since actix-web has no other use for it than its crate for tests. But without it, URLs
        // that an application makes for its clients would begin with `http:` under TLS.
        AppConfig::__priv_test_new(is_secure, host, addr)
    }

    /// Resolves when the server shuts down.
    async fn closed(&self) {
        let mut closing = self.closing.clone();
        if closing.wait_for(|closing| *closing).await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Makes an instance of the application, and of HTTP for it.
pub(crate) async fn start<L, I, S, B>(app: I, site: Site) -> io::Result<Serving<Connection<L>>>
where
    L: Listener,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let factory = app.into_factory().map_err(|error| error.into().error_response());
    let service = factory.new_service(site.app_config()).await.map_err(cannot_start)?;
    let service = Watched::new(service, &site.connections);
    let site = Rc::new(site);
    let plain = http(&service, &site).await?;
    let over_tls = http(&service, &site).await?;
    Ok(Rc::new(move |Connection { io, reception }| {
        let Ok(io) = io.reregister() else { return Box::pin(ready(())) };
        if let Some(tls) = site.tls.clone() {
            return serve(Box::pin(reception.receive_tls(io, tls)), over_tls.clone(), site.clone());
        }
        let receive = reception.receive(io, Default::default());
        serve(Box::pin(receive), plain.clone(), site.clone())
    }))
}

/// Serves a connection from its first byte. Until its first head is there, it has what it needs for
/// that, in one box, and no more.
fn serve<IO: Io>(
    receive: Pin<Box<impl Future<Output = io::Result<Received<IO>>> + 'static>>,
    http: Http<IO>,
    site: Rc<Site>,
) -> Local<()> {
    Box::pin(async move {
        // What was received must not live on here: the future would have room for it from its beginning.
        let served = tokio::select! {
            received = receive => match received {
                Ok(received) => http(received),
                Err(_) => return,
            },
            // Nothing was requested yet.
            () = site.closed() => return,
        };
        served.await;
    })
}

/// Serves HTTP on connections that have sent their first head.
type Http<IO> = Rc<dyn Fn(Received<IO>) -> Local<()>>;

async fn http<IO, S, B>(service: &Watched<S, B>, site: &Rc<Site>) -> io::Result<Http<IO>>
where
    IO: Io,
    S: Service<Request, Error = HttpResponse> + 'static,
    S::Response: Into<Response<B>>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let app = service.clone();
    let http1 = HttpService::build()
        // `Guarded` limits the time of everything, and lingers. It cannot after actix-http's own 400.
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(Duration::ZERO)
        // A client that closes its end is gone.
        .h1_allow_half_closed(false)
        .on_connect_ext(|io: &Guarded<IO>, data| drop(data.insert(io.activity().clone())))
        .h1(fn_factory(move || ready(Ok::<_, Infallible>(app.clone()))));
    let http1 = Rc::new(http1.new_service(()).await.map_err(cannot_start)?);
    #[cfg(feature = "http2")]
    let service = service.clone();
    let site = site.clone();
    Ok(Rc::new(move |Received { io, protocol, client, .. }| {
        let (activity, site) = (io.activity().clone(), site.clone());
        #[cfg(feature = "http2")]
        let service = service.clone();
        if protocol == Protocol::Http2 {
            #[cfg(feature = "http2")]
            return Box::pin(async move {
                let connections = &site.connections;
                http2::serve(io, activity, client, service, connections, site.closed()).await;
            });
            #[cfg(not(feature = "http2"))]
            return Box::pin(refuse_http2(io));
        }
        let http1 = http1.clone();
        Box::pin(async move {
            if poll_fn(|cx| Service::<(Guarded<IO>, _)>::poll_ready(&*http1, cx)).await.is_err() {
                return;
            }
            let mut connection = pin!(http1.call((io, client)));
            let mut closing = site.closing.clone();
            let mut closed = pin!(closing.changed());
            let mut is_first = true;
            poll_fn(|cx| {
                // The first poll registers this task, which stays the same. Later polls look at the
                // version only: this runs for each event of a body.
                let is_closed =
                    std::mem::take(&mut is_first) && closed.as_mut().poll(cx).is_ready();
                let is_closing = is_closed || site.closing.has_changed().unwrap_or(true);
                loop {
                    let was_idle = activity.is_idle();
                    if connection.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    if is_closing && !activity.must_end() {
                        // Once everything is answered, it reads the end and shuts down, which lingers.
                        activity.set_must_end();
                        continue;
                    }
                    // It does not read again after a response, for what was sent meanwhile.
                    if was_idle || !activity.is_idle() {
                        return Poll::Pending;
                    }
                }
            })
            .await;
        })
    }))
}

fn cannot_start(error: impl Debug) -> io::Error {
    io::Error::other(format!("application cannot start: {error:?}"))
}
