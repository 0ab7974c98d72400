use std::io;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use mio::net::TcpStream;
use tidings::{Subscription, transport::Cohort};
use tidings_net::Permit;
use tidings_sys::Progress;

use super::ahead::Ahead;
use super::roster::Seat;
use super::sweep::Sweep;
use crate::chunk::Outgoing;
use crate::head::Framing;

/// One stream of a writer.
pub(super) struct Member<B> {
    pub(super) socket: TcpStream,
    /// The index of its cohort's group.
    pub(super) group: u32,
    /// Where it is in the group's roster, if it is there.
    pub(super) seat: Option<Seat>,
    pub(super) framing: Framing,
    pub(super) is_ending: bool,
    /// It is in the queue of streams.
    pub(super) is_queued: bool,
    /// Its client has sent something that was not read yet, or was not judged.
    pub(super) is_readable: bool,
    /// Its connection has ended: it is removed at its turn.
    pub(super) is_gone: bool,
    /// How many looks in a row have found bytes that are not acknowledged, the last `looks - 1` without progress.
    ///
    /// If it is negative, so many more of them are allowed to a client that answers but has no room: it has the time to
    /// read what it has taken up.
    looks: i8,
    /// How many bytes the client had acknowledged at the last look: the lower half.
    acknowledged: u32,
    pub(super) subscription: Subscription,
    /// What the socket did not take yet.
    pub(super) stalled: Option<Box<Outgoing>>,
    /// What the client has sent after its request.
    pub(super) ahead: Option<Box<Ahead>>,
    pub(super) body: B,
    /// The connection's right to exist.
    pub(super) permit: Permit,
}

/// What is due to a stream alone.
pub(super) enum StreamOutput {
    Bytes(Bytes),
    End,
    Failed,
}

impl<B> Member<B> {
    pub(super) fn new(
        (socket, permit, ahead): (TcpStream, Permit, Option<Box<Ahead>>),
        (group, subscription): (usize, Subscription),
        framing: Framing,
        body: B,
    ) -> Self {
        Self {
            socket,
            group: group as u32,
            seat: None,
            framing,
            is_ending: false,
            is_queued: false,
            is_readable: ahead.is_some(),
            is_gone: false,
            looks: 0,
            acknowledged: 0,
            subscription,
            stalled: None,
            ahead,
            body,
            permit,
        }
    }

    /// Polls the subscription for what is due to this stream alone.
    pub(super) fn poll(&mut self, cohort: &Cohort, waker: &Waker) -> Poll<StreamOutput> {
        match cohort.poll_member(&mut self.subscription, &mut Context::from_waker(waker)) {
            Poll::Ready(Some(Ok(bytes))) => Poll::Ready(StreamOutput::Bytes(bytes)),
            Poll::Ready(None) => Poll::Ready(StreamOutput::End),
            Poll::Ready(Some(Err(_))) => Poll::Ready(StreamOutput::Failed),
            Poll::Pending => Poll::Pending,
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
    pub(super) fn send(&mut self, mut outgoing: Outgoing, waker: &Waker) -> io::Result<bool> {
        if outgoing.write_to(&self.socket)? {
            return Ok(true);
        }
        self.stall(outgoing, waker);
        Ok(false)
    }

    /// Keeps what the socket did not take, until the hub needs the memory.
    pub(super) fn stall(&mut self, outgoing: Outgoing, waker: &Waker) {
        self.subscription.hold(outgoing.size(), waker);
        self.stalled = Some(Box::new(outgoing));
    }

    /// Writes what the socket did not take before. Returns whether it took all.
    pub(super) fn flush(&mut self, waker: &Waker) -> io::Result<bool> {
        let Some(outgoing) = &mut self.stalled else {
            return Ok(true);
        };
        let before = outgoing.written();
        let is_done = outgoing.write_to(&self.socket)?;
        if outgoing.written() > before {
            // A socket that was full has room because something was acknowledged.
            self.looks = self.looks.min(0);
            self.subscription.hold(outgoing.size(), waker);
        }
        if is_done {
            self.stalled = None;
            self.subscription.release();
        }
        Ok(is_done)
    }

    /// Whether its connection has ended, or must end.
    pub(super) fn is_over(&mut self) -> bool {
        self.is_gone || self.is_cut() || (self.is_readable && !self.read().unwrap_or(false))
    }

    /// Whether its client has sent more than it may.
    pub(super) fn is_flooded(&self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| !ahead.is_tolerable())
    }

    /// Whether the hub needs the memory of what the socket does not take.
    pub(super) fn is_cut(&self) -> bool {
        self.stalled.is_some() && self.subscription.is_cut()
    }

    /// Reads what the client sends. Returns whether the stream may go on.
    fn read(&mut self) -> io::Result<bool> {
        self.is_readable = false;
        let ahead = self.ahead.get_or_insert_default();
        let goes_on = ahead.read_from(&self.socket);
        self.ahead.take_if(|ahead| ahead.is_empty());
        goes_on
    }

    /// Looks at the client's progress. Returns whether it has made none for too long, although there are bytes for it.
    ///
    /// A system that does not tell the progress leaves what the socket takes: see [`flush`](Self::flush).
    pub(super) fn look(&mut self, progress: Option<Progress>) -> bool {
        let (is_outstanding, answers, acknowledged) = match progress {
            Some(Progress { acknowledged, is_outstanding, is_in_flight, .. }) => {
                (is_outstanding, !is_in_flight, acknowledged as u32)
            }
            None => (self.stalled.is_some(), false, self.acknowledged),
        };
        let more = acknowledged.wrapping_sub(self.acknowledged);
        let more_looks = (more / Sweep::BYTES).min(Sweep::MOST_PATIENCE as u32) as i8;
        self.acknowledged = acknowledged;
        self.looks = if more > 0 {
            (self.looks.min(0) + 1 - more_looks).max(1 - Sweep::MOST_PATIENCE)
        } else if answers || self.looks > 0 {
            self.looks + 1
        } else {
            1
        };
        if !is_outstanding {
            self.looks = self.looks.min(0);
        }
        self.looks > Sweep::LOOKS
    }
}
