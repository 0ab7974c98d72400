use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, connect_info::Connected};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tidings::Hub;
use tidings_net::{Graceful, Server, SocketSettings, Transport, WithTransport, WriteLimit};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;

/// Serves an application as axum's own server does, and its event streams by the direct transport.
///
/// It is [`axum::serve`](axum::serve()) with four things added: the [`SocketSettings`] on every
/// connection, with a limit on stalled writes; a graceful shutdown that ends the hub's streams and
/// does not wait for ever; the address of the other end as [`ConnectInfo<SocketAddr>`](ConnectInfo),
/// for the registry and for handlers; and the direct transport of [`tidings_hyper`], by which a
/// subscription costs half a kilobyte and no task. Requests go through the router and all its layers
/// as ever. What the direct transport cannot send, HTTP/2 and bodies that a layer changes among it,
/// is sent as always; and so is everything with
/// [`transport(Transport::Body)`](tidings_net::Serve::transport).
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
    let hub = hub.clone();
    let axum = Axum { listener, app, transport: Transport::default() };
    tidings_net::Serve::new(axum, move || hub.close())
}

/// A server that is being set up: see [`serve`]. Runs when it is awaited.
pub type Serve = tidings_net::Serve<Axum>;

/// axum's own server, for [`Serve`].
#[derive(Debug)]
pub struct Axum {
    listener: TcpListener,
    app: Router,
    transport: Transport,
}

impl WithTransport for Axum {
    fn set_transport(&mut self, transport: Transport) {
        self.transport = transport;
    }
}

impl Server for Axum {
    type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn run(
        self,
        settings: SocketSettings,
        graceful: Graceful,
        close: impl FnOnce() + Send + 'static,
    ) -> Self::Running {
        let Self { listener, app, transport } = self;
        Box::pin(async move {
            match transport {
                Transport::Body => {
                    settings.apply(&listener)?;
                    let app = app
                        .layer(from_fn(connect_info))
                        .into_make_service_with_connect_info::<Peer>();
                    let listener = Sockets { listener, settings };
                    let server = |begun| {
                        axum::serve(listener, app).with_graceful_shutdown(begun).into_future()
                    };
                    graceful.run(close, server).await
                }
                _ => {
                    let app = move |mut request: axum::http::Request<_>, peer: SocketAddr| {
                        request.extensions_mut().insert(ConnectInfo(peer));
                        app.clone().call(request.map(Body::new))
                    };
                    let server = |begun| tidings_hyper::serve(listener, app, settings, begun);
                    graceful.run(close, server).await
                }
            }
        })
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
