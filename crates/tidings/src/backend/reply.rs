use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::error::LogError;
use crate::sync::Mutex;

/// Where a log puts the answer to a question. Dropping it answers as well, with an error.
#[derive(Debug)]
#[must_use = "whoever has asked waits for the answer"]
pub struct Reply<T>(Option<Arc<Slot<T>>>);

/// Waits for the answer to a question.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Receiver<T>(Arc<Slot<T>>);

#[derive(Debug)]
struct Slot<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Answered(Result<T, LogError>),
    Taken,
}

impl<T> Reply<T> {
    /// A question: its reply, and who waits for it.
    ///
    /// ```
    /// use tidings::backend::Reply;
    ///
    /// let (reply, answer) = Reply::<u64>::new();
    /// reply.send(Ok(17));
    /// assert_eq!(answer.wait().unwrap(), 17);
    /// ```
    pub fn new() -> (Self, Receiver<T>) {
        let slot = Arc::new(Slot(Mutex::new(State::Waiting(None))));
        (Self(Some(slot.clone())), Receiver(slot))
    }

    /// Answers.
    pub fn send(mut self, answer: Result<T, LogError>) {
        self.put(answer);
    }

    fn put(&mut self, answer: Result<T, LogError>) {
        let Some(slot) = self.0.take() else { return };
        let before = std::mem::replace(&mut *slot.0.lock(), State::Answered(answer));
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.put(Err(LogError::unanswered()));
    }
}

impl<T> Receiver<T> {
    /// Blocks the thread until the answer is there.
    ///
    /// # Errors
    ///
    /// What the log has answered.
    pub fn wait(self) -> Result<T, LogError> {
        crate::waking::block_on(self)
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, LogError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.0.lock();
        match std::mem::replace(&mut *state, State::Taken) {
            State::Answered(answer) => Poll::Ready(answer),
            State::Waiting(waker) => {
                let waker = waker.filter(|waker| waker.will_wake(cx.waker()));
                *state = State::Waiting(Some(waker.unwrap_or_else(|| cx.waker().clone())));
                Poll::Pending
            }
            // Polled after it was ready: there is nothing left to give.
            State::Taken => Poll::Pending,
        }
    }
}
