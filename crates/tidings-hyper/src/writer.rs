//! A writer: one thread that serves many streams, each from its cursor in the log.

mod cohorts;
mod deadlines;
mod member;
mod roster;
mod turn;

use std::io;
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Token};
use slab::Slab;
use tidings::Batch;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::chunk::{self, Outgoing};
use crate::handoff::{NewStream, ReturnedConnection, StreamResponse};
use crate::inbox::{Inbox, Message, cohort_waker, stream_waker};
use cohorts::{Cohorts, Group};
use deadlines::Deadlines;
use member::{Member, StreamOutput};
use turn::Turn;

/// The token of the inbox. A stream's token is its key.
const INBOX: Token = Token(usize::MAX);

/// How much room a writer keeps for framed batches, in bytes.
const KEPT: usize = 128 * 1024;

/// Starts a writer on its own thread, which ends at [`Message::Stop`].
pub(crate) fn start<B: Send + 'static>(
    number: usize,
    write_timeout: Option<Duration>,
    runtime: Handle,
) -> io::Result<Arc<Inbox<B>>> {
    let writer = Writer::new(write_timeout)?;
    let inbox = writer.inbox.clone();
    std::thread::Builder::new().name(format!("tidings-writer-{number}")).spawn(move || {
        // Snapshots are made by tasks of the runtime.
        let _runtime = runtime.enter();
        writer.run();
    })?;
    Ok(inbox)
}

struct Writer<B> {
    poll: mio::Poll,
    inbox: Arc<Inbox<B>>,
    /// Empty between rounds; it keeps its room.
    messages: Vec<Message<B>>,
    members: Slab<Member<B>>,
    cohorts: Cohorts,
    deadlines: Deadlines,
    /// How many writes a turn has.
    turn_writes: usize,
    /// A batch as a chunk, for all streams that are sent it.
    framed: Vec<u8>,
    closing: bool,
    /// Takes connections that outlive their streams. It is dropped with the last stream, because a
    /// server that shuts down waits for that.
    back: Option<UnboundedSender<ReturnedConnection>>,
}

impl<B: Send + 'static> Writer<B> {
    fn new(write_timeout: Option<Duration>) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let inbox = Arc::new(Inbox::new(poll.registry(), INBOX)?);
        Ok(Self {
            poll,
            inbox,
            messages: Vec::new(),
            members: Slab::new(),
            cohorts: Cohorts::default(),
            deadlines: Deadlines::new(write_timeout),
            turn_writes: Turn::WRITES,
            framed: Vec::new(),
            closing: false,
            back: None,
        })
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Without a poll, streams end here, and their clients reconnect.
                Err(_) => return,
            }
            if self.round(&events).is_break() {
                return;
            }
        }
    }

    /// How long the poll may wait; `None` until something happens.
    fn timeout(&self) -> Option<Duration> {
        if self.cohorts.queued() > 0 {
            return Some(Duration::ZERO);
        }
        // Rounded up, because the poll counts whole milliseconds.
        let until = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        self.deadlines.next().map(|deadline| until(deadline) + Duration::from_millis(1))
    }

    /// Handles what has become ready, then gives each queued cohort one turn: a topic that always
    /// has new events delays everything else by no more than that.
    fn round(&mut self, events: &Events) -> ControlFlow<()> {
        for event in events {
            if event.token() != INBOX {
                self.socket_event(event);
            }
        }
        let mut messages = std::mem::take(&mut self.messages);
        self.inbox.take(&mut messages);
        for message in messages.drain(..) {
            match message {
                Message::Serve(stream) => self.accept(*stream),
                Message::Stream(key) => self.stream_woken(key),
                Message::Cohort(index) => self.cohorts.enqueue(index),
                Message::Close => self.closing = true,
                Message::Stop => return ControlFlow::Break(()),
            }
        }
        self.messages = messages;
        for _ in 0..self.cohorts.queued() {
            if let Some(index) = self.cohorts.dequeue() {
                self.serve_cohort(index);
            }
        }
        while let Some(key) = self.deadlines.pop_overdue() {
            self.remove(key);
        }
        if self.members.is_empty() {
            self.back = None;
        }
        ControlFlow::Continue(())
    }

    fn socket_event(&mut self, event: &Event) {
        let Token(key) = event.token();
        let Some(member) = self.members.get(key) else {
            return;
        };
        // What the client sends is not read, so it takes no more than the system's buffer.
        if event.is_read_closed() || event.is_write_closed() || event.is_error() {
            self.remove(key);
        } else if event.is_writable() && member.stalled.is_some() {
            self.serve(key);
        }
    }

    fn stream_woken(&mut self, key: usize) {
        // A stalled stream must first send what it has.
        if self.members.get(key).is_some_and(|member| member.stalled.is_none()) {
            self.serve(key);
        }
    }

    /// Takes a new stream, and sends its head together with its first bytes.
    fn accept(&mut self, stream: NewStream<B>) {
        let NewStream { response, socket, pipelined, permit, back } = stream;
        let StreamResponse { subscription, head, framing, body } = response;
        let subscription = *subscription;
        self.back = Some(back);
        let group = self.cohorts.join(&subscription, |index| cohort_waker(&self.inbox, index));
        let key = self.members.insert(Member {
            socket: TcpStream::from_std(socket),
            group: group as u32,
            roster_index: None,
            framing,
            is_ending: false,
            subscription,
            stalled: None,
            pipelined: Some(pipelined).filter(|bytes| !bytes.is_empty()).map(Box::new),
            body,
            permit,
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        let socket = &mut self.members[key].socket;
        if self.poll.registry().register(socket, Token(key), interest).is_err() {
            self.remove(key);
            return;
        }
        let mut first = head;
        let output = self.poll_stream(key);
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
        match self.send(key, Outgoing::raw(first.into(), 0)) {
            Ok(_) if matches!(output, Poll::Ready(StreamOutput::Failed)) => self.remove(key),
            Ok(true) => self.serve(key),
            Ok(false) => {}
            Err(_) => self.remove(key),
        }
    }

    /// Serves a cohort's streams for one turn. If that is not enough, it is queued again.
    fn serve_cohort(&mut self, index: usize) {
        let is_caught_up = self.send_batches(index);
        self.serve_waiting(index);
        let waits = |group: &Group| !is_caught_up || !group.waiting.is_empty();
        if self.cohorts.groups.get(index).is_some_and(waits) {
            self.cohorts.enqueue(index);
        }
    }

    /// Sends a cohort's new events to its roster. Returns whether it is caught up.
    fn send_batches(&mut self, index: usize) -> bool {
        let mut turn = Turn::new(self.turn_writes);
        while !turn.is_spent() {
            let Some(group) = self.cohorts.groups.get_mut(index) else {
                return true;
            };
            match group.next_batch() {
                Ok(Some(batch)) => self.send_batch(index, batch, &mut turn),
                Ok(None) => return true,
                // Each stream learns by itself that it has missed events.
                Err(_) => {
                    let keys = group.roster.take();
                    for key in &keys {
                        self.members[*key as usize].roster_index = None;
                    }
                    group.waiting.extend(keys);
                }
            }
            turn.count(1);
        }
        false
    }

    fn send_batch(&mut self, index: usize, batch: Batch, turn: &mut Turn) {
        let Self { cohorts, members, deadlines, framed, .. } = self;
        let group = &mut cohorts.groups[index];
        framed.clear();
        chunk::write(batch.bytes(), framed);
        let mut gone = Vec::new();
        while let Some((key, outcome)) = group.write(&batch, framed, members, turn) {
            group.leave_roster(key, members);
            let written = match outcome {
                Ok(written) => written,
                Err(error) if is_temporary(&error) => 0,
                Err(_) => {
                    gone.push(key);
                    continue;
                }
            };
            let member = &mut members[key];
            member.stall(member.framed(batch.bytes().clone(), written), key, deadlines);
            group.cohort.mark_sent(&batch, &mut member.subscription);
        }
        if group.roster.is_due() {
            group.unfinished = Some(Box::new(batch));
        }
        // A burst of large events must not occupy memory for ever.
        framed.shrink_to(KEPT);
        for key in gone {
            self.remove(key);
        }
    }

    /// Serves the streams that wait for this cohort's turn.
    fn serve_waiting(&mut self, index: usize) {
        let Some(group) =
            self.cohorts.groups.get_mut(index).filter(|group| !group.waiting.is_empty())
        else {
            return;
        };
        let mut turn = Turn::new(self.turn_writes);
        let mut waiting = std::mem::take(&mut group.waiting).into_iter();
        for key in waiting.by_ref().map(|key| key as usize) {
            // It may have been served meanwhile, or be gone.
            let waits = |member: &Member<B>| {
                member.group as usize == index
                    && member.roster_index.is_none()
                    && member.stalled.is_none()
            };
            if self.members.get(key).is_some_and(waits) {
                self.serve(key);
                turn.count(1);
            }
            if turn.is_spent() {
                break;
            }
        }
        if let Some(group) = self.cohorts.groups.get_mut(index) {
            group.waiting.extend(waiting);
        }
    }

    /// Sends a stream what is due to it alone, for one turn, or until it must wait or is caught up with
    /// its cohort.
    fn serve(&mut self, key: usize) {
        let group = self.members[key].group as usize;
        self.cohorts.groups[group].leave_roster(key, &mut self.members);
        let mut turn = Turn::new(self.turn_writes);
        while !turn.is_spent() {
            match self.members[key].flush(key, &mut self.deadlines) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.remove(key),
            }
            if self.members[key].is_ending {
                return self.complete(key);
            }
            let outgoing = match self.poll_stream(key) {
                Poll::Ready(StreamOutput::Bytes(bytes)) => self.members[key].framed(bytes, 0),
                Poll::Ready(StreamOutput::End) => return self.end(key),
                Poll::Ready(StreamOutput::Failed) => return self.remove(key),
                Poll::Pending => return self.join_roster(key),
            };
            match self.send(key, outgoing) {
                Ok(true) => turn.count(1),
                Ok(false) => return,
                Err(_) => return self.remove(key),
            }
        }
        // A fast client that missed much is not all that a writer serves.
        self.wait_for_turn(key);
    }

    fn poll_stream(&mut self, key: usize) -> Poll<StreamOutput> {
        let member = &mut self.members[key];
        let Group { cohort, .. } = &self.cohorts.groups[member.group as usize];
        member.poll(cohort, &stream_waker(&self.inbox, key))
    }

    fn send(&mut self, key: usize, outgoing: Outgoing) -> io::Result<bool> {
        self.members[key].send(outgoing, key, &mut self.deadlines)
    }

    /// The subscription has ended: so does the response.
    fn end(&mut self, key: usize) {
        let member = &mut self.members[key];
        member.is_ending = true;
        if !member.framing.chunked {
            return self.complete(key);
        }
        match self.send(key, Outgoing::raw(Bytes::from_static(chunk::END), 0)) {
            Ok(true) => self.complete(key),
            Ok(false) => {}
            Err(_) => self.remove(key),
        }
    }

    /// Puts a stream that has nothing to send into its cohort's roster, if it is caught up.
    fn join_roster(&mut self, key: usize) {
        let member = &self.members[key];
        let group = &mut self.cohorts.groups[member.group as usize];
        if group.cohort.is_overtaken_by(&member.subscription) {
            // It was opened or reset at the hub's head, and the cohort need not be woken: its topics
            // may have nothing new.
            self.wait_for_turn(key);
        } else if group.cohort.is_caught_up(&member.subscription) {
            group.join_roster(key, &mut self.members);
        }
        // Else it waits for a snapshot.
    }

    /// Has a stream served in its cohort's next turn.
    fn wait_for_turn(&mut self, key: usize) {
        let group = self.members[key].group as usize;
        self.cohorts.groups[group].waiting.push(key as u32);
        self.cohorts.enqueue(group);
    }

    /// The response is complete: the connection returns to the server, or ends.
    fn complete(&mut self, key: usize) {
        let Some(member) = self.take(key) else {
            return;
        };
        let Member { mut socket, framing, pipelined, subscription, body, permit, .. } = member;
        drop_safely((subscription, body));
        let is_reusable = framing.keep_alive && !self.closing;
        if is_reusable && self.poll.registry().deregister(&mut socket).is_ok() {
            let pipelined = pipelined.map_or_else(Bytes::new, |bytes| *bytes);
            // A server that has ended takes nothing back.
            if let Some(back) = &self.back {
                let _ = back.send(ReturnedConnection { socket: socket.into(), pipelined, permit });
            }
        } else {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Ends a connection at once.
    fn remove(&mut self, key: usize) {
        drop_safely(self.take(key));
    }

    fn take(&mut self, key: usize) -> Option<Member<B>> {
        let group = self.members.get(key)?.group as usize;
        self.cohorts.groups[group].leave_roster(key, &mut self.members);
        self.cohorts.leave(group);
        let member = self.members.remove(key);
        if let Some(deadline) = member.stalled.as_ref().and_then(|stalled| stalled.deadline) {
            self.deadlines.cancel(deadline, key);
        }
        Some(member)
    }
}

impl<B> Drop for Writer<B> {
    /// What comes too late is dropped and does not wait for ever, however the writer ends.
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Drops values of the application: a snapshot's hook, and what layers keep in a body. If that panics,
/// the writer's other streams go on.
fn drop_safely<T>(what: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(what)));
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
