//! The threads that serve connections.
//!
//! They are what `actix-server` has, and behave alike: each has a runtime of one thread and its own
//! instance of the application. Its accept loop, though, cannot choose which connection must go when
//! there are too many, pauses for half a second when there are no files, and outlives its future.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::thread;

use actix_rt::{Arbiter, System};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// A future that stays on its thread.
pub(crate) type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// Serves connections to their end.
pub(crate) type Serving<C> = Rc<dyn Fn(C) -> Local<()>>;

/// Makes an instance of the application, on the thread that will run it.
pub(crate) type Start<C> = Box<dyn FnOnce() -> Local<io::Result<Serving<C>>> + Send>;

/// Threads that serve connections. When it is dropped, they end, and their connections with them.
pub(crate) struct Workers<C> {
    workers: Vec<Worker<C>>,
    next: usize,
}

struct Worker<C> {
    connections: mpsc::UnboundedSender<C>,
    /// Ends when the worker has ended.
    alive: mpsc::Receiver<Infallible>,
    /// Ends the worker when it is dropped.
    _end: oneshot::Sender<Infallible>,
}

impl<C: Send + 'static> Workers<C> {
    /// Starts this many threads, and waits until each has its application.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started, or its application cannot be made.
    pub(crate) async fn start(count: usize, start: impl Fn() -> Start<C>) -> io::Result<Self> {
        let mut workers = Vec::with_capacity(count);
        for _ in 0..count {
            let (connections, accepted) = mpsc::unbounded_channel();
            let (end, ended) = oneshot::channel();
            let (started, has_started) = oneshot::channel();
            let (is_alive, alive) = mpsc::channel(1);
            let start = start();
            run_on_thread(move || {
                Box::pin(async move {
                    tokio::select! {
                        () = work(start, accepted, started) => {}
                        _ = ended => {}
                    }
                    drop(is_alive);
                })
            })?;
            has_started.await.unwrap_or_else(|_| Err(cannot_start("it has panicked")))?;
            workers.push(Worker { connections, alive, _end: end });
        }
        Ok(Self { workers, next: 0 })
    }

    /// Gives a connection to the next worker.
    pub(crate) fn serve(&mut self, connection: C) {
        // An error means that the worker has panicked; then its connections are closed.
        let _ = self.workers[self.next].connections.send(connection);
        self.next = (self.next + 1) % self.workers.len();
    }

    /// Waits until all connections have ended.
    pub(crate) async fn finish(self) {
        for Worker { connections, mut alive, _end } in self.workers {
            drop(connections);
            alive.recv().await;
        }
    }
}

async fn work<C: 'static>(
    start: Start<C>,
    mut accepted: mpsc::UnboundedReceiver<C>,
    started: oneshot::Sender<io::Result<()>>,
) {
    let (serve, outcome) = match start().await {
        Ok(serve) => (Some(serve), Ok(())),
        Err(error) => (None, Err(error)),
    };
    // An error means that the server is gone already.
    let _ = started.send(outcome);
    let Some(serve) = serve else { return };
    let (is_open, mut open) = mpsc::channel::<Infallible>(1);
    while let Some(connection) = accepted.recv().await {
        let (served, is_open) = (serve(connection), is_open.clone());
        actix_rt::spawn(async move {
            served.await;
            drop(is_open);
        });
    }
    drop(is_open);
    open.recv().await;
}

/// Runs a future on a thread of its own: an [`Arbiter`], if there is a [`System`] to which it can
/// belong.
fn run_on_thread(main: impl FnOnce() -> Local<()> + Send + 'static) -> io::Result<()> {
    if System::is_registered() {
        // It panics where it could fail, for a lack of resources.
        let arbiter = Arbiter::with_tokio_rt(|| runtime().expect("a runtime for a worker"));
        let run = move || {
            actix_rt::spawn(async {
                main().await;
                Arbiter::current().stop();
            });
        };
        return if arbiter.spawn_fn(run) { Ok(()) } else { Err(cannot_start("it has ended")) };
    }
    let runtime = runtime()?;
    let run = move || LocalSet::new().block_on(&runtime, main());
    thread::Builder::new().name("tidings worker".to_owned()).spawn(run)?;
    Ok(())
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn cannot_start(why: &str) -> io::Error {
    io::Error::other(format!("worker cannot start: {why}"))
}
