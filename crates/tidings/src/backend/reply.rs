use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::error::LogError;
use crate::sync::Mutex;

/// Where a log puts the answer to a question. Dropping it answers, too: with an error.
#[derive(Debug)]
#[must_use = "the asker waits for the answer"]
pub struct Reply<T> {
    answer: Option<Arc<Answer<T>>>,
    /// What the asker has given away until there is an answer, whether anybody waits for it or not.
    deposit: Option<Box<dyn Any + Send + Sync>>,
}

/// Waits for the answer to a question.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Receiver<T>(Arc<Answer<T>>);

#[derive(Debug)]
struct Answer<T>(Mutex<AnswerState<T>>);

#[derive(Debug)]
enum AnswerState<T> {
    Waiting(Option<Waker>),
    Answered(Result<T, LogError>),
    Taken,
}

impl<T> Reply<T> {
    /// The two ends of a question: the reply, and the receiver that waits for it.
    ///
    /// ```
    /// use tidings::backend::Reply;
    ///
    /// let (reply, answer) = Reply::<u64>::new();
    /// reply.send(Ok(17));
    /// assert_eq!(answer.wait().unwrap(), 17);
    /// ```
    pub fn new() -> (Self, Receiver<T>) {
        let answer = Arc::new(Answer(Mutex::new(AnswerState::Waiting(None))));
        (Self { answer: Some(answer.clone()), deposit: None }, Receiver(answer))
    }

    /// Keeps something until it has answered.
    pub(crate) fn with_deposit(mut self, deposit: impl Any + Send + Sync) -> Self {
        self.deposit = Some(Box::new(deposit));
        self
    }

    /// Whether anybody waits for the answer: a log may give up a long search for what nobody wants any more.
    ///
    /// ```
    /// use tidings::backend::Reply;
    ///
    /// let (reply, answer) = Reply::<u64>::new();
    /// assert!(reply.is_awaited());
    /// drop(answer);
    /// assert!(!reply.is_awaited());
    /// ```
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| Arc::strong_count(answer) > 1)
    }

    /// Answers.
    pub fn send(mut self, answer: Result<T, LogError>) {
        self.put(answer);
    }

    fn put(&mut self, answer: Result<T, LogError>) {
        let Some(place) = self.answer.take() else { return };
        let before = std::mem::replace(&mut *place.0.lock(), AnswerState::Answered(answer));
        if let AnswerState::Waiting(Some(waker)) = before {
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
    /// Blocks the thread until the log has answered.
    ///
    /// # Errors
    ///
    /// The error with which the log answered.
    pub fn wait(self) -> Result<T, LogError> {
        crate::waking::block_on(self)
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, LogError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Cloned before the lock is taken, and the old one dropped after it: a waker is an executor's code.
        let mut waker = Some(cx.waker().clone());
        let mut state = self.0.0.lock();
        match std::mem::replace(&mut *state, AnswerState::Taken) {
            AnswerState::Answered(answer) => Poll::Ready(answer),
            AnswerState::Waiting(before) => {
                *state = AnswerState::Waiting(waker.take());
                drop(state);
                drop(before);
                Poll::Pending
            }
            // Polled again after it was ready.
            AnswerState::Taken => Poll::Pending,
        }
    }
}
