//! A writer: one thread that serves many streams, each from its cursor in the log.

mod ahead;
mod cohorts;
mod member;
mod roster;
mod send;
mod streams;
mod sweep;
mod turn;

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Token};
use slab::Slab;
use tidings::{ServerEvent, transport::Batch};
use tidings_net::Hubs;
use tidings_sys::Progress;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::chunk;
use crate::handoff::{NewStream, ReturnedConnection};
use crate::inbox::{Inbox, Message, stream_waker};
use cohorts::{Cohorts, Group};
use member::Member;
use sweep::Sweep;
use turn::{Clock, Turn};

/// The token of the inbox. A stream's token is its key.
const INBOX: Token = Token(usize::MAX);

/// How much room a writer keeps for framed batches, in bytes.
const KEPT: usize = 128 * 1024;

/// How long a writer waits when the system refuses to tell it what is ready.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts a writer on its own thread, which ends at [`Message::Stop`].
pub(crate) fn start<B: Send + 'static>(
    number: usize,
    write_timeout: Option<Duration>,
    hubs: Hubs,
    runtime: Handle,
) -> io::Result<Arc<Inbox<B>>> {
    let mut writer = Writer::new(write_timeout, hubs, runtime)?;
    let inbox = writer.inbox.clone();
    let name = format!("tidings-writer-{number}");
    std::thread::Builder::new().name(name).spawn(move || {
        // What bodies keep may spawn a task when it is dropped.
        let runtime = writer.runtime.clone();
        let _entered = runtime.enter();
        writer.run_until_stopped();
        drop(writer);
    })?;
    Ok(inbox)
}

struct Writer<B> {
    poll: mio::Poll,
    inbox: Arc<Inbox<B>>,
    /// Learn what happens to connections.
    hubs: Hubs,
    /// Makes snapshots: no code of the application runs on a writer.
    runtime: Handle,
    /// Empty between rounds; it keeps its room.
    messages: Vec<Message<B>>,
    /// New streams, in their order.
    arrivals: VecDeque<Box<NewStream<B>>>,
    members: Slab<Member<B>>,
    cohorts: Cohorts,
    /// Streams whose connections are over. One that is gone already is passed over.
    leaving: VecDeque<u32>,
    sweep: Sweep,
    /// How many writes a turn has.
    turn_writes: usize,
    clock: Clock,
    progress: fn(&TcpStream) -> Option<Progress>,
    /// A batch as a chunk, for all streams that are sent it.
    framed: Vec<u8>,
    closing: bool,
    is_stopped: bool,
    /// Takes connections that outlive their streams. It is dropped with the last stream, because a
    /// server that shuts down waits for that.
    back: Option<UnboundedSender<ReturnedConnection>>,
}

impl<B: Send + 'static> Writer<B> {
    fn new(write_timeout: Option<Duration>, hubs: Hubs, runtime: Handle) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let inbox = Arc::new(Inbox::new(poll.registry(), INBOX)?);
        Ok(Self {
            poll,
            inbox,
            hubs,
            runtime,
            messages: Vec::new(),
            arrivals: VecDeque::new(),
            members: Slab::new(),
            cohorts: Cohorts::default(),
            leaving: VecDeque::new(),
            sweep: Sweep::new(write_timeout),
            turn_writes: Turn::WRITES,
            clock: Instant::now,
            progress: |socket| tidings_sys::progress(socket),
            framed: Vec::new(),
            closing: false,
            is_stopped: false,
            back: None,
        })
    }

    /// Runs, and after a panic runs again.
    fn run_until_stopped(&mut self) {
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.run())) {
                Ok(Ok(())) => return,
                Ok(Err(_)) => std::thread::sleep(PAUSE),
                Err(_) => {}
            }
            self.restart();
        }
    }

    /// Ends all streams, whose clients reconnect: what has failed may have left them in any state. New streams are
    /// served.
    fn restart(&mut self) {
        self.members.drain().for_each(drop_safely);
        drop_safely(std::mem::take(&mut self.cohorts));
        self.leaving.clear();
        self.let_server_end();
        self.hubs.report(ServerEvent::WriterRestarted);
    }

    /// A server that shuts down does not wait for a writer without streams.
    fn let_server_end(&mut self) {
        if self.members.is_empty() && self.arrivals.is_empty() {
            self.back = None;
        }
    }

    /// Returns at [`Message::Stop`].
    ///
    /// # Errors
    ///
    /// If the system does not tell what is ready.
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.round(&events).is_break() {
                return Ok(());
            }
        }
    }

    /// How long the poll may wait; `None` until something happens.
    fn timeout(&self) -> Option<Duration> {
        let has_more = self.cohorts.queued() > 0 || !self.leaving.is_empty();
        if self.is_stopped || !self.arrivals.is_empty() || has_more {
            return Some(Duration::ZERO);
        }
        if self.members.is_empty() {
            return None;
        }
        let wait = self.sweep.wait((self.clock)())?;
        // Rounded up, because the poll counts whole milliseconds.
        Some(if wait.is_zero() { wait } else { wait + Duration::from_millis(1) })
    }

    /// Queues what has become ready, then gives each kind of work a turn. What a turn leaves waits after what was
    /// there before it, so nothing is delayed by more than the turns of that.
    fn round(&mut self, events: &Events) -> ControlFlow<()> {
        for event in events {
            if event.token() != INBOX {
                self.socket_event(event);
            }
        }
        self.read_inbox();
        if self.is_stopped {
            return ControlFlow::Break(());
        }
        self.accept_arrivals();
        self.serve_cohorts();
        self.end_streams();
        self.look_at_streams();
        self.let_server_end();
        ControlFlow::Continue(())
    }

    fn turn(&self) -> Turn {
        Turn::new(self.turn_writes, self.clock)
    }

    fn socket_event(&mut self, event: &Event) {
        let Token(key) = event.token();
        let Some(member) = self.members.get_mut(key) else {
            return;
        };
        member.is_gone |= event.is_read_closed() || event.is_write_closed() || event.is_error();
        member.is_readable |= event.is_readable();
        let goes_on = event.is_writable() && member.stalled.is_some();
        if member.is_gone || member.is_readable || goes_on {
            self.enqueue(key);
        }
    }

    fn read_inbox(&mut self) {
        let mut messages = std::mem::take(&mut self.messages);
        self.inbox.take(&mut messages);
        for message in messages.drain(..) {
            match message {
                Message::Serve(stream) => self.arrivals.push_back(stream),
                // A stalled stream must first send what it has.
                Message::Stream(key) => {
                    let is_due = |member: &Member<B>| member.stalled.is_none() || member.is_cut();
                    if self.members.get(key).is_some_and(is_due) {
                        self.enqueue(key);
                    }
                }
                Message::Cohort(index) => self.cohorts.wake(index),
                Message::Close => self.closing = true,
                Message::Stop => self.is_stopped = true,
                #[cfg(test)]
                Message::Panic => panic!("on purpose, in a writer"),
            }
        }
        self.messages = messages;
    }

    /// Has a stream served by itself, in a turn of its cohort. Until then, it is sent no batch: it may have been called to end.
    fn enqueue(&mut self, key: usize) {
        let index = self.members[key].group as usize;
        let group = &mut self.cohorts.groups[index];
        group.leave_roster(key, &mut self.members);
        let member = &mut self.members[key];
        if std::mem::replace(&mut member.is_queued, true) {
            return;
        }
        if member.is_gone {
            // Cohorts do not wait for those of others.
            self.leaving.push_back(key as u32);
        } else {
            group.queue.push_back(key as u32);
            self.cohorts.enqueue(index);
        }
    }

    /// Takes new streams for one turn.
    fn accept_arrivals(&mut self) {
        let mut turn = self.turn();
        while !turn.is_spent() {
            let Some(stream) = self.arrivals.pop_front() else {
                return;
            };
            self.accept(*stream, &mut turn);
        }
    }

    /// Ends streams whose connections are over, for one turn.
    fn end_streams(&mut self) {
        let mut turn = self.turn();
        while !turn.is_spent() {
            let Some(key) = self.leaving.pop_front() else {
                return;
            };
            let member = self.members.get_mut(key as usize).filter(|member| member.is_gone);
            if member.is_some_and(|member| std::mem::take(&mut member.is_queued)) {
                self.serve(key as usize, &mut turn);
            }
        }
    }

    /// Serves cohorts, each for a turn at most, and together for little more than one.
    fn serve_cohorts(&mut self) {
        let mut all = self.turn();
        for _ in 0..self.cohorts.queued() {
            if all.is_spent() {
                return;
            }
            let Some(index) = self.cohorts.dequeue() else {
                return;
            };
            all.count(self.serve_cohort(index));
        }
    }

    /// Serves a cohort's streams: together, then those that have something to do for themselves. What takes longer than
    /// a turn waits for the next one. Returns how many writes it took.
    fn serve_cohort(&mut self, index: usize) -> usize {
        let (mut together, mut alone) = (self.turn(), self.turn());
        self.send_batches(index, &mut together);
        self.serve_queue(index, &mut alone);
        let has_more = |group: &Group| group.is_awake || !group.queue.is_empty();
        if self.cohorts.groups.get(index).is_some_and(has_more) {
            self.cohorts.enqueue(index);
        }
        together.counted() + alone.counted()
    }

    /// Sends a cohort's new events to its roster.
    fn send_batches(&mut self, index: usize, turn: &mut Turn) {
        for _ in 0..Turn::BATCHES {
            let group = &mut self.cohorts.groups[index];
            if !group.is_awake || turn.is_spent() {
                return;
            }
            let batch = group.next_batch();
            // A stream that was called before the events were published is not sent them.
            self.read_inbox();
            let group = &self.cohorts.groups[index];
            let alone = match batch {
                Ok(_) => group.to_be_served_alone(&self.members),
                // Each stream learns by itself that it has missed events, or that its topics are finished.
                Err(_) => group.waiting(),
            };
            for key in alone {
                self.enqueue(key as usize);
            }
            if let Ok(Some(batch)) = batch {
                self.send_batch(index, batch, turn);
            }
            turn.count(1);
        }
    }

    fn send_batch(&mut self, index: usize, batch: Batch, turn: &mut Turn) {
        let Self { inbox, cohorts, members, framed, .. } = self;
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
            let rest = member.framed(batch.bytes().clone(), written);
            member.stall(rest, &stream_waker(inbox, key));
            group.cohort.mark_sent(&batch, &mut member.subscription);
        }
        if group.roster.is_due() {
            group.unfinished = Some(Box::new(batch));
        }
        // A burst of large events must not occupy memory for ever.
        framed.shrink_to(KEPT);
        for key in gone {
            self.dismiss(key);
        }
    }

    /// Serves the streams of a cohort that have something to do for themselves. Those that have more wait after the
    /// others.
    fn serve_queue(&mut self, index: usize, turn: &mut Turn) {
        let Some(mut left) = self.cohorts.groups.get(index).map(|group| group.queue.len()) else {
            return;
        };
        while left > 0 && !turn.is_spent() {
            // The cohort may have ended with its last stream.
            let queue = self.cohorts.groups.get_mut(index).map(|group| &mut group.queue);
            let Some(key) = queue.and_then(VecDeque::pop_front) else {
                return;
            };
            left -= 1;
            let is_of_cohort = |member: &&mut Member<B>| member.group as usize == index;
            let member = self.members.get_mut(key as usize).filter(is_of_cohort);
            if member.is_some_and(|member| std::mem::take(&mut member.is_queued)) {
                self.serve(key as usize, turn);
            }
        }
        if let Some(group) = self.cohorts.groups.get_mut(index)
            && group.queue.is_empty()
        {
            group.queue = VecDeque::new();
        }
    }

    /// Looks for one turn at clients' progress, if it is time, and dismisses those that make none.
    fn look_at_streams(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let Some(first) = self.sweep.begin((self.clock)()) else {
            return;
        };
        let mut turn = self.turn();
        for key in first..self.members.capacity() {
            if turn.is_spent() {
                return self.sweep.pause(key);
            }
            let Some(member) = self.members.get_mut(key) else {
                continue;
            };
            turn.count(1);
            if member.look((self.progress)(&member.socket)) {
                self.hubs.report(ServerEvent::ConnectionTimedOut);
                self.dismiss(key);
            }
        }
        self.sweep.end((self.clock)());
    }
}

impl<B> Drop for Writer<B> {
    /// What comes too late is dropped and does not wait for ever, however the writer ends.
    fn drop(&mut self) {
        self.inbox.close().into_iter().for_each(drop_safely);
        self.arrivals.drain(..).for_each(drop_safely);
        self.members.drain().for_each(drop_safely);
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
