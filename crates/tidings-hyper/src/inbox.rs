use std::io;
use std::sync::{Arc, PoisonError};
#[cfg(not(shuttle))]
use std::sync::{Mutex, MutexGuard};
use std::task::{Wake, Waker};

#[cfg(not(shuttle))]
use mio::Waker as Bell;
use mio::{Registry, Token};
#[cfg(shuttle)]
use models::Bell;
#[cfg(shuttle)]
use shuttle::sync::{Mutex, MutexGuard};

use crate::handoff::NewStream;

/// What others have to say to a writer.
pub(crate) struct Inbox<B> {
    messages: Mutex<Messages<B>>,
    waker: Bell,
}

struct Messages<B> {
    list: Vec<Message<B>>,
    /// There is no writer any more.
    closed: bool,
}

pub(crate) enum Message<B> {
    /// Serve this stream.
    Serve(Box<NewStream<B>>),
    /// There is something for the stream with this key alone.
    Stream(usize),
    /// There is something for all who are in the cohort with this key.
    Cohort(usize),
    /// The server ends: streams that end now end their connections.
    Close,
    /// The server is gone.
    Stop,
}

impl<B> Inbox<B> {
    /// An inbox that wakes a poll with this token.
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let messages = Mutex::new(Messages { list: Vec::new(), closed: false });
        Ok(Self { messages, waker: Bell::new(registry, token)? })
    }

    fn messages(&self) -> MutexGuard<'_, Messages<B>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without a writer, a stream that is sent is dropped, which ends its connection.
    pub(crate) fn send(&self, message: Message<B>) {
        let mut messages = self.messages();
        if messages.closed {
            // The lock first: a stream that is dropped may have more to say.
            drop(messages);
            return drop(message);
        }
        let is_first = messages.list.is_empty();
        messages.list.push(message);
        drop(messages);
        // Behind the first, the writer is on its way. Waking is a write to an event counter, which
        // only fails when the writer is gone.
        if is_first {
            let _ = self.waker.wake();
        }
    }

    /// Takes all messages, in their order, and leaves an empty list of the caller's.
    pub(crate) fn take(&self, messages: &mut Vec<Message<B>>) {
        std::mem::swap(&mut self.messages().list, messages);
    }

    /// The writer ends: drops what was sent to it, and what will be.
    pub(crate) fn close(&self) {
        let mut messages = self.messages();
        messages.closed = true;
        let left = std::mem::take(&mut messages.list);
        drop(messages);
        drop(left);
    }
}

/// Who is woken by a [`Waker`] of the core.
enum Addressee {
    Stream(usize),
    Cohort(usize),
}

struct Call<B> {
    inbox: Arc<Inbox<B>>,
    addressee: Addressee,
}

impl<B: Send + 'static> Wake for Call<B> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.inbox.send(match self.addressee {
            Addressee::Stream(key) => Message::Stream(key),
            Addressee::Cohort(key) => Message::Cohort(key),
        });
    }
}

/// A waker for the stream with this key.
pub(crate) fn stream_waker<B: Send + 'static>(inbox: &Arc<Inbox<B>>, key: usize) -> Waker {
    Waker::from(Arc::new(Call { inbox: inbox.clone(), addressee: Addressee::Stream(key) }))
}

/// A waker for the cohort with this key.
pub(crate) fn cohort_waker<B: Send + 'static>(inbox: &Arc<Inbox<B>>, key: usize) -> Waker {
    Waker::from(Arc::new(Call { inbox: inbox.clone(), addressee: Addressee::Cohort(key) }))
}

#[cfg(shuttle)]
mod models;
