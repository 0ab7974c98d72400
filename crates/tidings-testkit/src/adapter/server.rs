use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::mpsc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio_rustls::rustls::ServerConfig;

use super::App;
use crate::limit::within;

/// A framework, as far as the suite needs one.
pub trait Adapter: 'static {
    /// Whether headers are sent in the order in which the response has them.
    const HEADERS_IN_ORDER: bool = true;

    /// How many tasks an open stream has on the runtime that serves it. `None` where the server has runtimes of
    /// its own.
    const TASKS_PER_STREAM: Option<usize>;

    /// Serves the application until `shutdown` resolves; then shuts down gracefully within
    /// [`App::SHUTDOWN_TIMEOUT`].
    ///
    /// [`App::answer`] answers GET and HEAD requests to every path. The listener does not block. Writes may
    /// stall for [`App::write_timeout`].
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

    /// Serves the application over TLS until the future is dropped. The configuration offers HTTP/2 and
    /// HTTP/1.1.
    fn serve_tls(
        app: App,
        listener: TcpListener,
        config: ServerConfig,
    ) -> impl Future<Output = io::Result<()>>;
}

/// Resolves when a server must shut down.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server on its own thread and runtime. Dropping it begins its shutdown and waits for nothing.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    runtime: Handle,
    /// Dropping it begins the shutdown.
    shutdown: oneshot::Sender<()>,
    ended: oneshot::Receiver<io::Result<()>>,
    left: Left,
}

/// The runtime of a server that has ended. It goes on until this is dropped, with what the server has left there.
#[derive(Debug)]
pub struct Left {
    _runtime: mpsc::Sender<Infallible>,
}

impl Server {
    /// Runs `serve` on a free port of 127.0.0.1.
    pub fn start(
        serve: impl AsyncFnOnce(TcpListener, Shutdown) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let addr = listener.local_addr().expect("the address of a listener");
        let (shutdown, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (keep, dropped) = mpsc::channel();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let handle = runtime.handle().clone();
        std::thread::spawn(move || {
            let begun = Box::pin(async {
                // Fails when the sender is dropped, which begins the shutdown.
                let _ = begun.await;
            });
            // Some frameworks' servers are not `Send`.
            let outcome = LocalSet::new().block_on(&runtime, serve(listener, begun));
            let _ = end.send(outcome);
            // Fails when the sender is dropped.
            let _ = dropped.recv();
            runtime.shutdown_background();
        });
        Self { addr, runtime: handle, shutdown, ended, left: Left { _runtime: keep } }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many tasks its runtime has.
    pub fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// Shuts down gracefully, and waits until the server has ended. Returns its runtime.
    pub async fn shutdown(self) -> Left {
        let Self { shutdown, ended, left, .. } = self;
        drop(shutdown);
        outcome(within("the end of the server", ended).await);
        left
    }

    /// Waits until the server has ended by itself, without a time limit.
    pub async fn ended(self) {
        outcome(self.ended.await);
    }
}

fn outcome(ended: Result<io::Result<()>, oneshot::error::RecvError>) {
    ended.expect("the server did not panic").expect("it served to its end");
}
