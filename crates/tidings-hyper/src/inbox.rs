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

/// The messages to a writer.
pub(crate) struct Inbox<B> {
    messages: Mutex<Messages<B>>,
    waker: Bell,
}

struct Messages<B> {
    list: Vec<Message<B>>,
    /// The writer has ended.
    closed: bool,
}

pub(crate) enum Message<B> {
    /// Serve this stream.
    Serve(Box<NewStream<B>>),
    /// Something is due to the stream with this key alone.
    Stream(usize),
    /// Something is due to the cohort with this index.
    Cohort(usize),
    /// The server shuts down: streams that end from now on end their connections.
    Close,
    /// The server was dropped: the writer ends.
    Stop,
    #[cfg(test)]
    Panic,
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

    /// Sends a message. If the writer has ended, the message is dropped, and with a stream its
    /// connection.
    pub(crate) fn send(&self, message: Message<B>) {
        let mut messages = self.messages();
        if messages.closed {
            // The lock first: a stream that is dropped may send a message.
            drop(messages);
            return drop(message);
        }
        let is_first = messages.list.is_empty();
        messages.list.push(message);
        drop(messages);
        // After the first, the writer is on its way. Waking is a write to an event counter, which
        // fails only when the writer has ended.
        if is_first {
            let _ = self.waker.wake();
        }
    }

    /// Swaps all messages, in their order, for the caller's empty list.
    pub(crate) fn take(&self, messages: &mut Vec<Message<B>>) {
        std::mem::swap(&mut self.messages().list, messages);
    }

    /// The writer has ended: returns its messages, and drops those to come.
    pub(crate) fn close(&self) -> Vec<Message<B>> {
        let mut messages = self.messages();
        messages.closed = true;
        std::mem::take(&mut messages.list)
    }
}

/// What a [`Waker`] of the core wakes.
enum Addressee {
    Stream(usize),
    Cohort(usize),
}

struct InboxWaker<B> {
    inbox: Arc<Inbox<B>>,
    addressee: Addressee,
}

impl<B: Send + 'static> Wake for InboxWaker<B> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.inbox.send(match self.addressee {
            Addressee::Stream(key) => Message::Stream(key),
            Addressee::Cohort(index) => Message::Cohort(index),
        });
    }
}

/// A waker for the stream with this key.
pub(crate) fn stream_waker<B: Send + 'static>(inbox: &Arc<Inbox<B>>, key: usize) -> Waker {
    Waker::from(Arc::new(InboxWaker { inbox: inbox.clone(), addressee: Addressee::Stream(key) }))
}

/// A waker for the cohort with this index.
pub(crate) fn cohort_waker<B: Send + 'static>(inbox: &Arc<Inbox<B>>, index: usize) -> Waker {
    Waker::from(Arc::new(InboxWaker { inbox: inbox.clone(), addressee: Addressee::Cohort(index) }))
}

#[cfg(shuttle)]
mod models;
