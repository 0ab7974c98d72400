use std::future::Future;
use std::io;
use std::net::TcpListener;

/// Runs a server on tokio's multi-thread runtime, as applications do, with one worker for its one
/// core. `serve` runs on that worker.
pub(super) fn run<F, Fut>(listener: TcpListener, serve: F) -> io::Result<()>
where
    F: FnOnce(tokio::net::TcpListener) -> Fut + Send + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    let runtime = multi_thread()?;
    let serving =
        runtime.spawn(async move { serve(tokio::net::TcpListener::from_std(listener)?).await });
    runtime.block_on(serving).map_err(io::Error::other)?
}

/// As [`run`], for a future that is not `Send`: it accepts connections on the main thread, and the
/// worker serves them.
pub(super) fn run_here<F, Fut>(listener: TcpListener, serve: F) -> io::Result<()>
where
    F: FnOnce(tokio::net::TcpListener) -> Fut,
    Fut: Future<Output = io::Result<()>>,
{
    let runtime = multi_thread()?;
    runtime.block_on(async move { serve(tokio::net::TcpListener::from_std(listener)?).await })
}

fn multi_thread() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}
