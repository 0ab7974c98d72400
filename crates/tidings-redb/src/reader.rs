use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tidings::Topic;
use tidings::backend::{LogError, LogErrorKind, Page, Read, Reply};

use crate::page;
use crate::shared_store::SharedStore;

/// What is asked of the file.
#[derive(Debug)]
pub(crate) enum Question {
    Read(Read, Reply<Page>),
    /// Which of these topics are finished.
    Finished(Vec<Topic>, Reply<Vec<(Topic, u64)>>),
}

impl Question {
    fn refuse(self, error: LogError) {
        match self {
            Self::Read(_, reply) => reply.send(Err(error)),
            Self::Finished(_, reply) => reply.send(Err(error)),
        }
    }
}

/// The questions that wait for a thread.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    state: Mutex<ReadQueue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ReadQueue {
    waiting: VecDeque<Question>,
    is_closed: bool,
}

impl Reads {
    /// More clients than this do not come back at once, or have to try again.
    const MAX: usize = 100_000;

    pub(crate) fn push(&self, question: Question) {
        let mut state = self.state.lock();
        let refused = match state.is_closed {
            true => Some((LogErrorKind::Closed, "redb: the log is closed")),
            false if state.waiting.len() >= Self::MAX => {
                Some((LogErrorKind::Busy, "redb: too many reads are waiting already"))
            }
            false => None,
        };
        if let Some((kind, message)) = refused {
            drop(state);
            return question.refuse(LogError::new(kind, message));
        }
        state.waiting.push_back(question);
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        for question in waiting {
            question.refuse(LogError::new(LogErrorKind::Closed, "redb: the log is closed"));
        }
    }

    fn next(&self) -> Option<Question> {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.waiting.is_empty() && !state.is_closed);
        state.waiting.pop_front()
    }
}

/// A thread that answers reads until the queue is closed.
pub(crate) fn run(shared: &Arc<SharedStore>, reads: &Arc<Reads>) {
    while let Some(question) = reads.next() {
        match question {
            Question::Read(read, reply) => {
                let page = shared.with(|store| page::read(store, &read));
                reply.send(page.map_err(|fault| shared.error(fault)));
            }
            Question::Finished(topics, reply) => {
                let finished = shared.with(|store| page::finished(store, &topics));
                reply.send(finished.map_err(|fault| shared.error(fault)));
            }
        }
    }
}
