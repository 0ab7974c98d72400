use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use http_body::Body;
use tidings_net::{Graceful, Listener, Options};

use crate::connection::App;

/// An application on its listener, for [`tidings_net::Serve`]: the server of the adapters on hyper.
pub struct Server<L> {
    listener: L,
    run: Box<dyn FnOnce(L, Options, Graceful) -> Running + Send>,
}

type Running = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl<L: Listener> Server<L> {
    /// Serves an application as [`serve`](crate::serve()) does.
    pub fn new<A, B>(listener: L, app: A) -> Self
    where
        A: App<L::Addr, B>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let run = |listener, options: Options, graceful: Graceful| -> Running {
            let hubs = options.hubs.clone();
            let server = |begun| crate::serve(listener, app, options, begun);
            Box::pin(graceful.run(hubs, server))
        };
        Self { listener, run: Box::new(run) }
    }
}

impl<L: Listener> tidings_net::Server for Server<L> {
    type Addr = L::Addr;
    type Running = Running;

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }

    fn run(self, options: Options, graceful: Graceful) -> Running {
        (self.run)(self.listener, options, graceful)
    }
}

impl<L: fmt::Debug> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}
