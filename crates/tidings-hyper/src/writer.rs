//! A writer: one thread that serves many streams, each from where it stands in the log.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Token};
use slab::Slab;
use tidings::{Batch, Cohort, CohortKey, Subscription};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::chunk::{self, Outgoing};
use crate::connection::{Returned, Taken};
use crate::head::Framing;
use crate::inbox::{Inbox, Message, cohort_waker, stream_waker};

/// A stream that was taken from its server, as a writer gets it.
pub(crate) struct Stream<B> {
    pub(crate) taken: Taken<B>,
    pub(crate) socket: std::net::TcpStream,
    /// What the client has sent behind its request.
    pub(crate) pipelined: Bytes,
    pub(crate) back: UnboundedSender<Returned>,
}

/// The inbox's events; streams have those of their keys.
const INBOX: Token = Token(usize::MAX);

/// The framed batch keeps this much room, in bytes.
const KEPT: usize = 128 * 1024;

/// Starts a writer on a thread of its own, which ends when it is told to stop.
pub(crate) fn start<B: Send + 'static>(
    number: usize,
    write_timeout: Option<Duration>,
    runtime: Handle,
) -> io::Result<Arc<Inbox<B>>> {
    let writer = Writer::new(write_timeout)?;
    let inbox = writer.inbox.clone();
    std::thread::Builder::new().name(format!("tidings-writer-{number}")).spawn(move || {
        // A snapshot that an application makes may need its runtime's timers and sockets.
        let _runtime = runtime.enter();
        writer.run();
    })?;
    Ok(inbox)
}

struct Writer<B> {
    poll: mio::Poll,
    inbox: Arc<Inbox<B>>,
    members: Slab<Member<B>>,
    cohorts: Slab<Group>,
    keys: HashMap<CohortKey, usize>,
    /// Of stalled streams, with their keys.
    deadlines: BTreeSet<(Instant, usize)>,
    write_timeout: Option<Duration>,
    /// A batch with its framing: the same for all.
    framed: Vec<u8>,
    closing: bool,
    /// Where connections go that outlive their streams. There only as long as there are streams: a
    /// server that shuts down waits for it to be dropped.
    back: Option<UnboundedSender<Returned>>,
}

/// A cohort, and who is in it.
struct Group {
    cohort: Cohort,
    key: CohortKey,
    /// Who stands where the cohort stands, by their keys.
    level: Vec<u32>,
    /// All who belong to it.
    size: usize,
}

/// One stream.
struct Member<B> {
    socket: TcpStream,
    group: u32,
    /// Where it is among those who are level.
    level: Option<u32>,
    framing: Framing,
    is_ending: bool,
    subscription: Subscription,
    stalled: Option<Box<Stalled>>,
    /// What the client has sent behind its request, if anything.
    pipelined: Option<Box<Bytes>>,
    _body: B,
}

/// What the socket did not take yet, and when it is given up.
struct Stalled {
    outgoing: Outgoing,
    deadline: Option<Instant>,
}

/// What a subscription has to say by itself.
enum Next {
    Bytes(Bytes),
    End,
    Failed,
}

impl<B: Send + 'static> Writer<B> {
    fn new(write_timeout: Option<Duration>) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let inbox = Arc::new(Inbox::new(poll.registry(), INBOX)?);
        Ok(Self {
            poll,
            inbox,
            members: Slab::new(),
            cohorts: Slab::new(),
            keys: HashMap::new(),
            deadlines: BTreeSet::new(),
            write_timeout,
            framed: Vec::new(),
            closing: false,
            back: None,
        })
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut messages = Vec::new();
        loop {
            let timeout = self.deadlines.first().map(|(deadline, _)| {
                // Rounded up, or the last millisecond would be polled away.
                deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
            });
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A poll that is broken serves nobody; clients come back to a new one.
                Err(_) => return,
            }
            for event in &events {
                if event.token() != INBOX {
                    self.socket_event(event);
                }
            }
            self.inbox.take(&mut messages);
            for message in messages.drain(..) {
                match message {
                    Message::Serve(stream) => self.accept(*stream),
                    Message::Stream(key) => self.stream_woken(key),
                    Message::Cohort(key) => self.advance(key),
                    Message::Close => self.closing = true,
                    Message::Stop => return,
                }
            }
            self.give_up_stalled();
            if self.members.is_empty() {
                self.back = None;
            }
        }
    }

    fn socket_event(&mut self, event: &Event) {
        let Token(key) = event.token();
        let Some(member) = self.members.get(key) else {
            return;
        };
        // What the client sends is left where it is, so it takes no more than the system's buffer.
        if event.is_read_closed() || event.is_write_closed() || event.is_error() {
            self.remove(key);
        } else if event.is_writable() && member.stalled.is_some() {
            self.serve(key);
        }
    }

    fn stream_woken(&mut self, key: usize) {
        // Who is stalled has to take what it was sent first.
        if self.members.get(key).is_some_and(|member| member.stalled.is_none()) {
            self.serve(key);
        }
    }

    /// Takes a new stream: sends its head, and its first bytes with it.
    fn accept(&mut self, stream: Stream<B>) {
        let Stream { taken, socket, pipelined, back } = stream;
        let Taken { subscription, head, framing, body } = taken;
        let subscription = *subscription;
        self.back = Some(back);
        let group = self.group_of(&subscription);
        // Before anything is sent: whoever is found gone must not take the cohort along.
        self.cohorts[group].size += 1;
        // Up to the present, which is where the new stream begins at the latest.
        self.advance(group);
        let key = self.members.insert(Member {
            socket: TcpStream::from_std(socket),
            group: group as u32,
            level: None,
            framing,
            is_ending: false,
            subscription,
            stalled: None,
            pipelined: Some(pipelined).filter(|bytes| !bytes.is_empty()).map(Box::new),
            _body: body,
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        let socket = &mut self.members[key].socket;
        if self.poll.registry().register(socket, Token(key), interest).is_err() {
            self.remove(key);
            return;
        }
        let mut first = head;
        let next = self.poll_stream(key);
        match &next {
            Poll::Ready(Next::Bytes(bytes)) if framing.chunked => chunk::write(bytes, &mut first),
            Poll::Ready(Next::Bytes(bytes)) => first.extend_from_slice(bytes),
            Poll::Ready(Next::End) if framing.chunked => first.extend_from_slice(chunk::END),
            _ => {}
        }
        self.members[key].is_ending = matches!(next, Poll::Ready(Next::End));
        match self.send(key, Outgoing::raw(first.into(), 0)) {
            Ok(_) if matches!(next, Poll::Ready(Next::Failed)) => self.remove(key),
            Ok(true) => self.serve(key),
            Ok(false) => {}
            Err(_) => self.remove(key),
        }
    }

    /// The cohort of a subscription, a new one if there is none.
    fn group_of(&mut self, subscription: &Subscription) -> usize {
        let key = CohortKey::of(subscription);
        if let Some(group) = self.keys.get(&key) {
            return *group;
        }
        let entry = self.cohorts.vacant_entry();
        let group = entry.key();
        let cohort = Cohort::of(subscription, cohort_waker(&self.inbox, group));
        entry.insert(Group { cohort, key, level: Vec::new(), size: 0 });
        self.keys.insert(key, group);
        group
    }

    /// Sends a cohort's new events to all who stand where it stands.
    fn advance(&mut self, group: usize) {
        while let Some(Group { cohort, level, .. }) = self.cohorts.get_mut(group) {
            match cohort.next_batch() {
                Ok(Some(batch)) => self.send_batch(group, &batch),
                Ok(None) => return,
                // Each is told by itself.
                Err(_) => {
                    let level = std::mem::take(level);
                    for key in &level {
                        self.members[*key as usize].level = None;
                    }
                    for key in level {
                        self.serve(key as usize);
                    }
                }
            }
        }
    }

    fn send_batch(&mut self, group: usize, batch: &Batch) {
        let Self { cohorts, members, deadlines, framed, .. } = self;
        let Group { cohort, level, .. } = &mut cohorts[group];
        framed.clear();
        chunk::write(batch.bytes(), framed);
        let mut gone = Vec::new();
        let mut index = 0;
        while let Some(key) = level.get(index) {
            let key = *key as usize;
            let member = &mut members[key];
            let bytes = if member.framing.chunked { &framed[..] } else { batch.bytes() };
            let outcome = (&member.socket).write(bytes);
            if outcome.as_ref().is_ok_and(|written| *written == bytes.len()) {
                cohort.mark_sent(batch, &mut member.subscription);
                index += 1;
                continue;
            }
            match outcome {
                Ok(written) => stall(member, batch, written),
                Err(error) if is_temporary(&error) => stall(member, batch, 0),
                Err(_) => gone.push(key),
            }
            if let Some(stalled) = &mut member.stalled {
                cohort.mark_sent(batch, &mut member.subscription);
                stalled.deadline = self.write_timeout.map(|timeout| Instant::now() + timeout);
                deadlines.extend(stalled.deadline.map(|deadline| (deadline, key)));
            }
            // The last one takes its place, and is next.
            member.level = None;
            level.swap_remove(index);
            if let Some(moved) = level.get(index) {
                members[*moved as usize].level = Some(index as u32);
            }
        }
        // A burst of large events must not be held in memory ever after.
        framed.shrink_to(KEPT);
        for key in gone {
            self.remove(key);
        }
    }

    /// Sends a stream what is due to it alone, until it is level with its cohort or has to wait.
    fn serve(&mut self, key: usize) {
        self.leave_level(key);
        loop {
            match self.flush(key) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.remove(key),
            }
            if self.members[key].is_ending {
                return self.complete(key);
            }
            match self.poll_stream(key) {
                Poll::Ready(Next::Bytes(bytes)) => {
                    let outgoing = match self.members[key].framing.chunked {
                        true => Outgoing::chunk(bytes, 0),
                        false => Outgoing::raw(bytes, 0),
                    };
                    match self.send(key, outgoing) {
                        Ok(true) => {}
                        Ok(false) => return,
                        Err(_) => return self.remove(key),
                    }
                }
                Poll::Ready(Next::End) => return self.end(key),
                Poll::Ready(Next::Failed) => return self.remove(key),
                // A reset has taken it to the hub's present, and nobody has told the cohort: its
                // topics need not have anything new.
                Poll::Pending if self.is_ahead(key) => {
                    self.advance(self.members[key].group as usize);
                }
                Poll::Pending => return self.join_level(key),
            }
        }
    }

    /// Asks a stream's subscription for what is due to it alone.
    fn poll_stream(&mut self, key: usize) -> Poll<Next> {
        let member = &mut self.members[key];
        let cohort = &self.cohorts[member.group as usize].cohort;
        let waker = stream_waker(&self.inbox, key);
        let mut cx = Context::from_waker(&waker);
        // It may run a hook of the application, whose panic is the end of this stream only.
        let next = catch_unwind(AssertUnwindSafe(|| {
            cohort.poll_member(&mut member.subscription, &mut cx)
        }));
        match next {
            Ok(Poll::Ready(Some(Ok(bytes)))) => Poll::Ready(Next::Bytes(bytes)),
            Ok(Poll::Ready(None)) => Poll::Ready(Next::End),
            Ok(Poll::Ready(Some(Err(_)))) | Err(_) => Poll::Ready(Next::Failed),
            Ok(Poll::Pending) => Poll::Pending,
        }
    }

    /// Writes, and notes what the socket does not take. Returns whether it took all.
    fn send(&mut self, key: usize, mut outgoing: Outgoing) -> io::Result<bool> {
        let member = &mut self.members[key];
        if outgoing.write_to(&member.socket)? {
            return Ok(true);
        }
        let deadline = self.write_timeout.map(|timeout| Instant::now() + timeout);
        self.deadlines.extend(deadline.map(|deadline| (deadline, key)));
        member.stalled = Some(Box::new(Stalled { outgoing, deadline }));
        Ok(false)
    }

    /// Writes what the socket did not take before. Returns whether it took all.
    fn flush(&mut self, key: usize) -> io::Result<bool> {
        let Some(mut stalled) = self.members[key].stalled.take() else {
            return Ok(true);
        };
        let before = stalled.outgoing.written();
        let outcome = stalled.outgoing.write_to(&self.members[key].socket);
        let is_stuck = matches!(outcome, Ok(false)) && stalled.outgoing.written() == before;
        if let Some(deadline) = stalled.deadline.take_if(|_| !is_stuck) {
            // Also where it failed, or the deadline would be for the next one with this key.
            self.deadlines.remove(&(deadline, key));
        }
        if outcome? {
            return Ok(true);
        }
        if stalled.deadline.is_none() {
            stalled.deadline = self.write_timeout.map(|timeout| Instant::now() + timeout);
            self.deadlines.extend(stalled.deadline.map(|deadline| (deadline, key)));
        }
        self.members[key].stalled = Some(stalled);
        Ok(false)
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

    fn is_ahead(&self, key: usize) -> bool {
        let member = &self.members[key];
        self.cohorts[member.group as usize].cohort.is_overtaken_by(&member.subscription)
    }

    fn join_level(&mut self, key: usize) {
        let member = &mut self.members[key];
        let Group { cohort, level, .. } = &mut self.cohorts[member.group as usize];
        // Else it waits for a snapshot.
        if cohort.is_caught_up(&member.subscription) {
            member.level = Some(level.len() as u32);
            level.push(key as u32);
        }
    }

    fn leave_level(&mut self, key: usize) {
        let member = &mut self.members[key];
        let Some(index) = member.level.take() else {
            return;
        };
        let level = &mut self.cohorts[member.group as usize].level;
        level.swap_remove(index as usize);
        if let Some(moved) = level.get(index as usize) {
            self.members[*moved as usize].level = Some(index);
        }
    }

    /// A response is sent: the connection goes back to the server, or ends.
    fn complete(&mut self, key: usize) {
        let Some(member) = self.take(key) else {
            return;
        };
        let Member { mut socket, framing, pipelined, subscription, _body: body, .. } = member;
        let_go((subscription, body));
        let goes_on = framing.keep_alive && !self.closing;
        if goes_on && self.poll.registry().deregister(&mut socket).is_ok() {
            let pipelined = pipelined.map_or_else(Bytes::new, |bytes| *bytes);
            // A server that is gone takes nothing back.
            if let Some(back) = &self.back {
                let _ = back.send(Returned { socket: socket.into(), pipelined });
            }
        } else {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Ends a connection where it stands.
    fn remove(&mut self, key: usize) {
        let_go(self.take(key));
    }

    fn take(&mut self, key: usize) -> Option<Member<B>> {
        self.members.get(key)?;
        self.leave_level(key);
        let member = self.members.remove(key);
        if let Some(deadline) = member.stalled.as_ref().and_then(|stalled| stalled.deadline) {
            self.deadlines.remove(&(deadline, key));
        }
        let group = &mut self.cohorts[member.group as usize];
        group.size -= 1;
        if group.size == 0 {
            let group = self.cohorts.remove(member.group as usize);
            self.keys.remove(&group.key);
        }
        Some(member)
    }

    /// Ends the connections that have taken nothing for too long.
    fn give_up_stalled(&mut self) {
        while let Some((deadline, key)) = self.deadlines.first().copied() {
            if deadline > Instant::now() {
                return;
            }
            self.deadlines.remove(&(deadline, key));
            self.remove(key);
        }
    }
}

impl<B> Drop for Writer<B> {
    /// However it ends: whoever comes too late is let go, and does not wait for ever.
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Drops what may be the application's: a snapshot's hook, what layers keep in a body. If that
/// panics, the writer's other streams go on.
fn let_go<T>(what: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(what)));
}

/// What is left of a batch is the stream's own business.
fn stall<B>(member: &mut Member<B>, batch: &Batch, written: usize) {
    let bytes = batch.bytes().clone();
    let outgoing = match member.framing.chunked {
        true => Outgoing::chunk(bytes, written),
        false => Outgoing::raw(bytes, written),
    };
    member.stalled = Some(Box::new(Stalled { outgoing, deadline: None }));
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
