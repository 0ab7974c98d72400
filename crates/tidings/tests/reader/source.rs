//! A stream of items that a test hands out one by one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

struct SourceState<T> {
    items: VecDeque<T>,
    ended: bool,
    waker: Option<Waker>,
}

/// Both ends of the stream: clones share it.
pub(crate) struct Source<T>(Arc<Mutex<SourceState<T>>>);

impl<T> Source<T> {
    pub(crate) fn new() -> Self {
        let state = SourceState { items: VecDeque::new(), ended: false, waker: None };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn send(&self, item: T) {
        self.change(|state| state.items.push_back(item));
    }

    pub(crate) fn end(&self) {
        self.change(|state| state.ended = true);
    }

    fn change(&self, change: impl FnOnce(&mut SourceState<T>)) {
        let mut state = self.0.lock().expect("no test panics while it holds this");
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        waker.inspect(Waker::wake_by_ref);
    }
}

impl<T> Clone for Source<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Stream for Source<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock().expect("no test panics while it holds this");
        match state.items.pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if state.ended => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
