use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use mio::net::TcpStream;
use tidings::{Cohort, Subscription};
use tidings_net::Permit;

use super::deadlines::Deadlines;
use crate::chunk::Outgoing;
use crate::head::Framing;

/// One stream of a writer.
pub(super) struct Member<B> {
    pub(super) socket: TcpStream,
    /// The index of its cohort's group.
    pub(super) group: u32,
    /// Its index in the group's roster, if it is there.
    pub(super) roster_index: Option<u32>,
    pub(super) framing: Framing,
    pub(super) is_ending: bool,
    pub(super) subscription: Subscription,
    pub(super) stalled: Option<Box<Stalled>>,
    /// What the client has sent after its request.
    pub(super) pipelined: Option<Box<Bytes>>,
    pub(super) body: B,
    /// The connection's right to exist.
    pub(super) permit: Permit,
}

/// What the socket did not take yet, and when the stream is evicted.
pub(super) struct Stalled {
    outgoing: Outgoing,
    pub(super) deadline: Option<Instant>,
}

/// What is due to a stream alone.
pub(super) enum StreamOutput {
    Bytes(Bytes),
    End,
    Failed,
}

impl<B> Member<B> {
    /// Polls the subscription for what is due to this stream alone.
    pub(super) fn poll(&mut self, cohort: &Cohort, waker: &Waker) -> Poll<StreamOutput> {
        let mut cx = Context::from_waker(waker);
        match cohort.poll_member(&mut self.subscription, &mut cx) {
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(StreamOutput::Bytes(bytes)),
            Poll::Ready(None) => Poll::Ready(StreamOutput::End),
            Poll::Ready(Some(Err(_))) => Poll::Ready(StreamOutput::Failed),
            Poll::Pending => {
                // The application's code does not run on a writer.
                if let Some(task) = self.subscription.take_snapshot_task() {
                    tokio::spawn(task);
                }
                Poll::Pending
            }
        }
    }

    /// Events in this stream's framing, of which `written` bytes were sent.
    pub(super) fn framed(&self, bytes: Bytes, written: usize) -> Outgoing {
        match self.framing.chunked {
            true => Outgoing::chunk(bytes, written),
            false => Outgoing::raw(bytes, written),
        }
    }

    /// Writes, and keeps what the socket does not take. Returns whether it took all.
    pub(super) fn send(
        &mut self,
        mut outgoing: Outgoing,
        key: usize,
        deadlines: &mut Deadlines,
    ) -> io::Result<bool> {
        if outgoing.write_to(&self.socket)? {
            return Ok(true);
        }
        self.stall(outgoing, key, deadlines);
        Ok(false)
    }

    /// Keeps what the socket did not take.
    pub(super) fn stall(&mut self, outgoing: Outgoing, key: usize, deadlines: &mut Deadlines) {
        let deadline = deadlines.set(key);
        self.stalled = Some(Box::new(Stalled { outgoing, deadline }));
    }

    /// Writes what the socket did not take before. Returns whether it took all.
    pub(super) fn flush(&mut self, key: usize, deadlines: &mut Deadlines) -> io::Result<bool> {
        let Some(mut stalled) = self.stalled.take() else {
            return Ok(true);
        };
        let before = stalled.outgoing.written();
        let outcome = stalled.outgoing.write_to(&self.socket);
        let is_stuck = matches!(outcome, Ok(false)) && stalled.outgoing.written() == before;
        if let Some(deadline) = stalled.deadline.take_if(|_| !is_stuck) {
            // Also where writing failed, or the deadline would end the next stream with this key.
            deadlines.cancel(deadline, key);
        }
        if outcome? {
            return Ok(true);
        }
        if stalled.deadline.is_none() {
            stalled.deadline = deadlines.set(key);
        }
        self.stalled = Some(stalled);
        Ok(false)
    }
}
