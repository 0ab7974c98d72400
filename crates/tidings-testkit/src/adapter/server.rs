use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio_rustls::rustls::ServerConfig;

use super::App;
use crate::limit::within;

/// A framework, as far as the suite needs one.
pub trait Adapter {
    /// Whether the server drops the response as soon as its client cancels a stream of HTTP/2;
    /// else it does so at the next heartbeat or event.
    const CANCELS_AT_ONCE: bool = true;

    /// Serves the application until `shutdown` resolves; then shuts down gracefully, for no longer
    /// than [`App::SHUTDOWN_TIMEOUT`].
    ///
    /// GET and HEAD of every path are [`App::answer`]. The listener does not block. Writes may be
    /// stalled for [`App::write_timeout`].
    fn serve(
        app: App,
        listener: TcpListener,
        shutdown: Shutdown,
    ) -> impl Future<Output = io::Result<()>>;

    /// The same, for clients of HTTP/1.1 and for those that begin with HTTP/2.
    fn serve_h2c(
        app: App,
        listener: TcpListener,
        shutdown: Shutdown,
    ) -> impl Future<Output = io::Result<()>> {
        Self::serve(app, listener, shutdown)
    }

    /// Serves the application over TLS, until it is dropped. The configuration offers HTTP/2 and
    /// HTTP/1.1.
    fn serve_tls(
        app: App,
        listener: TcpListener,
        config: ServerConfig,
    ) -> impl Future<Output = io::Result<()>>;
}

/// Resolves when a server is to shut down.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server that runs, on a thread and a runtime of its own. Dropping it begins its shutdown and
/// waits for nothing.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    // Dropping the one begins the shutdown; the other tells how it ended.
    shutdown: oneshot::Sender<()>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Server {
    /// Has `serve` serve on a free port of 127.0.0.1.
    pub fn start(
        serve: impl AsyncFnOnce(TcpListener, Shutdown) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let addr = listener.local_addr().expect("the address of a listener");
        let (shutdown, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let begun = Box::pin(async {
                // An error is the sender's drop, which is how it begins.
                let _ = begun.await;
            });
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            // Not every framework's server may leave its thread.
            let outcome = LocalSet::new().block_on(&runtime, serve(listener, begun));
            let _ = end.send(outcome);
            runtime.shutdown_background();
        });
        Self { addr, shutdown, ended }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Shuts down gracefully, and returns when the server has ended.
    pub async fn shutdown(self) {
        drop(self.shutdown);
        let outcome = within("the end of the server", self.ended).await;
        outcome.expect("the server did not panic").expect("it served to its end");
    }
}
