use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use tidings_net::Hubs;
use tokio::runtime::Handle;

use crate::handoff::NewStream;
use crate::inbox::{Inbox, Message};
use crate::writer;

/// The writers of a server, each a thread.
pub(crate) struct Writers<B> {
    inboxes: Vec<Arc<Inbox<B>>>,
    next: AtomicUsize,
}

impl<B: Send + 'static> Writers<B> {
    /// No writers: hyper sends every response.
    pub(crate) fn none() -> Self {
        Self { inboxes: Vec::new(), next: AtomicUsize::new(0) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inboxes.is_empty()
    }

    /// Starts one for every two processors: most of a write is the kernel's work, and the application
    /// needs processors too.
    pub(crate) fn start(write_timeout: Option<Duration>, hubs: &Hubs) -> io::Result<Self> {
        let count = available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
        let mut writers = Self::none();
        for number in 0..count {
            match writer::start(number, write_timeout, hubs.clone(), Handle::current()) {
                Ok(inbox) => writers.inboxes.push(inbox),
                Err(error) => {
                    writers.stop();
                    return Err(error);
                }
            }
        }
        Ok(writers)
    }

    /// Gives a stream to one of them.
    pub(crate) fn serve(&self, stream: NewStream<B>) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(inbox) = self.inboxes.get(next % self.inboxes.len().max(1)) {
            inbox.send(Message::Serve(Box::new(stream)));
        }
    }

    /// The server shuts down: streams that end from now on end their connections.
    pub(crate) fn close(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.send(Message::Close));
    }

    /// Stops them when the server is dropped: its connections may keep them alive for longer.
    pub(crate) fn stop_on_drop(self: &Arc<Self>) -> StopOnDrop<B> {
        StopOnDrop(self.clone())
    }
}

impl<B> Writers<B> {
    fn stop(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.send(Message::Stop));
    }
}

/// See [`Writers::stop_on_drop`].
pub(crate) struct StopOnDrop<B>(Arc<Writers<B>>);

impl<B> Drop for StopOnDrop<B> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
