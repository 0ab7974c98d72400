use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use axum::Router;
use axum::extract::{ConnectInfo, Request, connect_info::Connected};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tidings::Hub;
use tidings_net::{Graceful, Server, SocketSettings, WriteLimit};
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
    let hub = hub.clone();
    tidings_net::Serve::new(Axum { listener, app }, move || hub.close())
}

/// A server that is being set up: see [`serve`]. Runs when it is awaited.
pub type Serve = tidings_net::Serve<Axum>;

/// axum's own server, for [`Serve`].
#[derive(Debug)]
pub struct Axum {
    listener: TcpListener,
    app: Router,
}

impl Server for Axum {
    type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn run(
        self,
        settings: SocketSettings,
        graceful: Graceful,
        close: impl FnOnce() + Send + 'static,
    ) -> Self::Running {
        let Self { listener, app } = self;
        let app = app.layer(from_fn(connect_info)).into_make_service_with_connect_info::<Peer>();
        Box::pin(async move {
            settings.apply(&listener)?;
            let listener = Sockets { listener, settings };
            let server =
                |begun| axum::serve(listener, app).with_graceful_shutdown(begun).into_future();
            graceful.run(close, server).await
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
