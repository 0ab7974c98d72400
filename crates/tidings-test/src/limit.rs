//! Waiting at most so long.

use std::pin::Pin;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::Sleep;

/// How many parts of a body are read before its task yields: one that is always ready would outlast every limit.
pub(crate) const TURN: usize = 64;

/// A limit in the machine's time, by a thread.
///
/// Not a timer of tokio: where its clock is paused, tokio fires the next timer as soon as all tasks are idle, and an event may
/// still come from another thread.
#[derive(Debug)]
pub(crate) struct Limit {
    /// `None` for one that is too far to be reached.
    at: Option<Instant>,
    /// To the thread, which ends when this is dropped.
    wakers: Option<Sender<Waker>>,
}

impl Limit {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), wakers: None }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        match &self.wakers {
            // If the thread has ended, it has woken the task.
            Some(wakers) => drop(wakers.send(waker)),
            None => self.wakers = Some(wake_at(at, waker)),
        }
        Poll::Pending
    }
}

fn wake_at(at: Instant, mut waker: Waker) -> Sender<Waker> {
    let (wakers, newer) = channel();
    thread::spawn(move || {
        loop {
            match newer.recv_timeout(at.saturating_duration_since(Instant::now())) {
                Ok(newer) => waker = newer,
                Err(RecvTimeoutError::Timeout) => return waker.wake(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    wakers
}

/// A duration in tokio's time, which a test may have paused; without tokio, in the machine's.
#[derive(Debug)]
pub(crate) enum Pause {
    Tokio(Pin<Box<Sleep>>),
    Machine(Limit),
}

impl Pause {
    pub(crate) fn new(duration: Duration) -> Self {
        match Handle::try_current() {
            Ok(_) => Self::Tokio(Box::pin(tokio::time::sleep(duration))),
            Err(_) => Self::Machine(Limit::new(duration)),
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tokio(sleep) => sleep.as_mut().poll(cx),
            Self::Machine(limit) => limit.poll(cx),
        }
    }
}
