use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tidings::backend::{LogError, LogErrorKind, Page, Read, Reply};

use crate::page;
use crate::shared_store::SharedStore;

/// The reads that wait for a thread.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    state: Mutex<ReadQueue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ReadQueue {
    waiting: VecDeque<(Read, Reply<Page>)>,
    is_closed: bool,
}

impl Reads {
    /// More clients than this do not come back at once, or have to try again.
    const MAX: usize = 100_000;

    pub(crate) fn push(&self, read: Read, reply: Reply<Page>) {
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
            return reply.send(Err(LogError::new(kind, message)));
        }
        state.waiting.push_back((read, reply));
        drop(state);
        self.changed.notify_one();
    }

    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        for (_, reply) in waiting {
            reply.send(Err(LogError::new(LogErrorKind::Closed, "redb: the log is closed")));
        }
    }

    fn next(&self) -> Option<(Read, Reply<Page>)> {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| state.waiting.is_empty() && !state.is_closed);
        state.waiting.pop_front()
    }
}

/// A thread that answers reads until the queue is closed.
pub(crate) fn run(shared: &Arc<SharedStore>, reads: &Arc<Reads>) {
    while let Some((read, reply)) = reads.next() {
        let page = shared.with(|store| page::read(store, &read));
        reply.send(page.map_err(|fault| shared.error(fault)));
    }
}
