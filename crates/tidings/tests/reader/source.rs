//! A stream of items that a test hands out one by one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::task::AtomicWaker;

/// Both ends of the stream: clones share it. After the items comes `None`, the end.
#[derive(Clone)]
pub(crate) struct Source<T>(Arc<(Mutex<VecDeque<Option<T>>>, AtomicWaker)>);

impl<T> Source<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn send(&self, item: T) {
        self.push(Some(item));
    }

    pub(crate) fn end(&self) {
        self.push(None);
    }

    fn push(&self, item: Option<T>) {
        self.0.0.lock().expect("no test panics while it holds this").push_back(item);
        self.0.1.wake();
    }
}

impl<T> Stream for Source<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.1.register(cx.waker());
        let next = self.0.0.lock().expect("no test panics while it holds this").pop_front();
        next.map_or(Poll::Pending, Poll::Ready)
    }
}
