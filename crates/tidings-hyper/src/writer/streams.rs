//! What a writer does for one stream.

use std::net::Shutdown;
use std::task::{Poll, Waker};

use bytes::Bytes;
use mio::net::TcpStream;
use mio::{Interest, Token};
use tidings::ServerEvent;
use tidings_net::Unsent;

use super::ahead::Ahead;
use super::cohorts::Group;
use super::member::{Member, StreamOutput};
use super::turn::Turn;
use super::{Writer, drop_safely};
use crate::chunk::{self, Outgoing};
use crate::handoff::{NewStream, ReturnedConnection, StreamResponse};
use crate::inbox::{cohort_waker, stream_waker};

impl<B: Send + 'static> Writer<B> {
    /// Takes a new stream, and sends its head together with its first bytes.
    pub(super) fn accept(&mut self, stream: NewStream<B>, turn: &mut Turn) {
        turn.count(Turn::CHANGE);
        let NewStream { response, socket, pipelined, permit, back } = stream;
        let StreamResponse { subscription, head, framing, body } = response;
        self.back = Some(back);
        let group = self.cohorts.join(&subscription, |index| cohort_waker(&self.inbox, index));
        if subscription.is_latest_per_key() {
            // Fails if the client has gone.
            let _ = Unsent::Little.apply(&socket);
        }
        let connection = (TcpStream::from_std(socket), permit, Ahead::of(&pipelined));
        let member = Member::new(connection, (group, *subscription), framing, body);
        let key = self.members.insert(member);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let socket = &mut self.members[key].socket;
        if self.poll.registry().register(socket, Token(key), interest).is_err() {
            return self.remove(key);
        }
        let mut first = head;
        let waker = stream_waker(&self.inbox, key);
        let output = self.poll_stream(key, &waker);
        match &output {
            Poll::Ready(StreamOutput::Bytes(bytes)) if framing.chunked => {
                chunk::write(bytes, &mut first);
            }
            Poll::Ready(StreamOutput::Bytes(bytes)) => first.extend_from_slice(bytes),
            Poll::Ready(StreamOutput::End) if framing.chunked => {
                first.extend_from_slice(chunk::END);
            }
            _ => {}
        }
        self.members[key].is_ending = matches!(output, Poll::Ready(StreamOutput::End));
        match self.members[key].send(Outgoing::raw(first.into(), 0), &waker) {
            Ok(_) if matches!(output, Poll::Ready(StreamOutput::Failed)) => self.remove(key),
            Ok(true) => self.serve(key, turn),
            Ok(false) => {}
            Err(_) => self.remove(key),
        }
    }

    /// Does what is due to a stream alone: until it must wait or is caught up with its cohort, or until it has had some
    /// batches and the rest is for its next turn.
    pub(super) fn serve(&mut self, key: usize, turn: &mut Turn) {
        turn.count(1);
        let waker = stream_waker(&self.inbox, key);
        let member = &mut self.members[key];
        if member.is_over() {
            turn.count(Turn::end(member.subscription.topic_count()));
            if member.is_flooded() {
                self.hubs.report(ServerEvent::ConnectionFlooded);
            }
            return self.remove(key);
        }
        let group = member.group as usize;
        self.cohorts.groups[group].leave_roster(key, &mut self.members);
        for _ in 0..Turn::BATCHES {
            match self.members[key].flush(&waker) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.remove(key),
            }
            if self.members[key].is_ending {
                turn.count(Turn::CHANGE);
                return self.complete(key);
            }
            let bytes = match self.poll_stream(key, &waker) {
                Poll::Ready(StreamOutput::Bytes(bytes)) => bytes,
                Poll::Ready(StreamOutput::End) => return self.end(key, &waker),
                Poll::Ready(StreamOutput::Failed) => return self.remove(key),
                Poll::Pending if self.changes_cohort(key) => return self.enqueue(key),
                Poll::Pending => return self.join_roster(key),
            };
            turn.count(Turn::cost(bytes.len()));
            let member = &mut self.members[key];
            match member.send(member.framed(bytes, 0), &waker) {
                Ok(true) if turn.is_spent() => break,
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.remove(key),
            }
        }
        // A fast client that missed much is not all that a writer serves.
        self.enqueue(key);
    }

    fn poll_stream(&mut self, key: usize, waker: &Waker) -> Poll<StreamOutput> {
        let member = &mut self.members[key];
        let Group { cohort, .. } = &self.cohorts.groups[member.group as usize];
        let output = member.poll(cohort, waker);
        while let Some(task) = member.subscription.take_application_task() {
            self.runtime.spawn(task);
        }
        output
    }

    /// Moves a stream that has changed its topics to their cohort. Returns whether it has.
    fn changes_cohort(&mut self, key: usize) -> bool {
        let Self { inbox, cohorts, members, .. } = self;
        let member = &mut members[key];
        let moved = cohorts.move_changed(member.group as usize, &member.subscription, |index| {
            cohort_waker(inbox, index)
        });
        moved.inspect(|group| member.group = *group as u32).is_some()
    }

    /// The subscription has ended: so does the response.
    fn end(&mut self, key: usize, waker: &Waker) {
        let member = &mut self.members[key];
        member.is_ending = true;
        if !member.framing.chunked {
            return self.complete(key);
        }
        match member.send(Outgoing::raw(Bytes::from_static(chunk::END), 0), waker) {
            Ok(true) => self.complete(key),
            Ok(false) => {}
            Err(_) => self.remove(key),
        }
    }

    /// Puts a stream that has nothing to send into its cohort's roster, if it is caught up.
    fn join_roster(&mut self, key: usize) {
        let member = &self.members[key];
        let index = member.group as usize;
        let group = &mut self.cohorts.groups[index];
        if group.cohort.is_overtaken_by(&member.subscription) {
            // It was opened or reset at the hub's head. The cohort need not be woken before that: its topics may have nothing
            // new. Or their pace lets nobody read.
            group.ahead.insert(key as u32);
            self.cohorts.wake(index);
        } else if group.cohort.is_caught_up(&member.subscription) {
            group.join_roster(key, &mut self.members);
        }
        // Else it waits for a snapshot.
    }

    /// The response is complete: the connection returns to the server, or ends.
    fn complete(&mut self, key: usize) {
        let Some(member) = self.take(key) else {
            return;
        };
        let Member { mut socket, framing, ahead, subscription, body, permit, .. } = member;
        let is_latest = subscription.is_latest_per_key();
        drop_safely((subscription, body));
        let requests = ahead.map_or_else(|| Some(Bytes::new()), |ahead| ahead.into_requests());
        // The next request on this connection would be turned away by a hub that drains.
        let is_closing = self.closing || self.hubs.is_draining();
        if let Some(pipelined) = requests.filter(|_| framing.keep_alive && !is_closing)
            && self.poll.registry().deregister(&mut socket).is_ok()
        {
            // A server that has ended takes nothing back.
            if let Some(back) = &self.back {
                if is_latest {
                    let _ = Unsent::Usual.apply(&socket);
                }
                let socket = socket.into();
                let _ = back.send(ReturnedConnection { socket, pipelined, permit });
            }
            return;
        }
        let _ = socket.shutdown(Shutdown::Write);
    }

    /// Ends a connection at the stream's next turn.
    pub(super) fn dismiss(&mut self, key: usize) {
        self.members[key].is_gone = true;
        self.enqueue(key);
    }

    /// Ends a connection at once.
    pub(super) fn remove(&mut self, key: usize) {
        drop_safely(self.take(key));
    }

    fn take(&mut self, key: usize) -> Option<Member<B>> {
        let group = self.members.get(key)?.group as usize;
        self.cohorts.groups[group].leave_roster(key, &mut self.members);
        self.cohorts.leave(group);
        Some(self.members.remove(key))
    }
}
