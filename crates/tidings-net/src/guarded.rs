mod lingering;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tidings::ServerEvent;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::connections::{Place, Rank};
use crate::frames::Frames;
use crate::hubs::CONNECTION;
use crate::reception::{TIMEOUT, TOO_LARGE, poll_append};
use crate::writes::Writes;
use crate::{Activity, Connections, Io, Permit, Protocol};
use lingering::Lingering;

/// How many bytes a client may send while its request is answered. They are kept for the next request.
const AHEAD: usize = 8 * 1024;

/// How long a body that the application does not read may get in the way, if there is no limit on writes.
const UNREAD_BODY: Duration = Duration::from_secs(30);

/// How long a connection waits for a request before others may have its place.
const UNDISTURBED: Duration = Duration::from_secs(1);

/// How long a connection of HTTP/2 that was idle for too long, or whose place another needs, may take to end.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection as an HTTP server sees it, with the limits that its [`Limits`](crate::Limits) set.
///
/// It gives the bytes back that were read already. The server says what it does by [`activity`](Self::activity):
///
/// - While it waits for a request, the time for the request's head is limited, and its size; or the time that the connection
///   is idle, whose end the server sees as the connection's end.
/// - While a request's body is wanted, bytes pass; the server must limit the time.
/// - While a request is answered, to the last byte of the answer, what the client sends is kept for later, up to 8 KiB: more
///   of it ends the connection. So does its end, at once.
/// - A body that the server has not read to its end may come during and after the answer for some time, and is no head. What
///   comes after the answer may be one, too: if no request has come of it when that time and the time for a head are over,
///   the connection ends, without an answer.
/// - If the server shuts the connection down then, or after a head that it has refused, or if a head is refused here, the
///   client may still send for a second: what is left unread would reset the connection, and the client might not see the
///   answer.
/// - A connection of HTTP/2 may be idle for as long; and the time to its settings is limited, the time for the head of each
///   request, and the number of its control frames. [`Stall`](crate::Stall) limits the time of its streams.
///
/// At all times, writes must make progress.
///
/// One timer serves all of this. It exists only while there is something to wait for.
#[derive(Debug)]
pub struct Guarded<IO> {
    io: IO,
    protocol: Protocol,
    connections: Connections,
    permit: Permit,
    activity: Activity,
    unflushed: Arc<AtomicBool>,
    /// What was read, and the server does not have yet.
    early: Vec<u8>,
    phase: Phase,
    since: Instant,
    /// The number of changes of the activity when the phase was found.
    changes: usize,
    /// How long the rest of a body that the server has not read may be in the way. Over HTTP/1.
    unread_until: Option<Instant>,
    /// Something has come in that time after the answer: of the body, or of a head.
    has_rest: bool,
    /// Everything was sent.
    lingering: Option<Box<Lingering>>,
    /// How many bytes of a head have come.
    head_length: usize,
    /// The server has not looked yet whether the head is whole.
    has_unseen_head: bool,
    /// Of HTTP/2.
    frames: Option<Box<Frames>>,
    writes: Writes,
    timer: Option<Box<Alarm>>,
    /// Whether the timer is set by what is the case now.
    is_set: bool,
    /// Its place in the lobby, while it waits for a request.
    place: Option<Box<Place>>,
    /// It was idle for too long, or must go for another.
    is_over: bool,
    /// The server has just tried to read, and the client has sent nothing.
    has_looked_ahead: bool,
    /// Bytes that the server was not given before can be read now.
    is_readable: bool,
}

/// What a [`Guarded`] connection consists of.
#[derive(Debug)]
#[non_exhaustive]
pub struct GuardedParts<IO> {
    /// The connection.
    pub io: IO,
    /// Bytes that were read from it, and not by the server.
    pub before: Vec<u8>,
    /// Its right to exist.
    pub permit: Permit,
}

/// What a connection is for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// HTTP/1: a head is awaited.
    Head,
    /// HTTP/1: a request's body is wanted.
    Body,
    /// HTTP/1: a request is answered, and nothing that the client sends is wanted.
    Answer,
    /// HTTP/2: the client's settings are awaited.
    Settings,
    /// HTTP/2: there is no open stream.
    Idle,
    /// HTTP/2: there are open streams; or it is another protocol.
    Open,
}

impl<IO: Io> Guarded<IO> {
    pub(crate) fn new(
        io: IO,
        early: Vec<u8>,
        protocol: Protocol,
        connections: Connections,
        permit: Permit,
    ) -> Self {
        let control_frames = connections.limits().h2_control_frames;
        let is_http2 = protocol == Protocol::Http2;
        Self {
            io,
            protocol,
            permit,
            activity: Activity::default(),
            unflushed: Arc::default(),
            early,
            phase: if is_http2 { Phase::Settings } else { Phase::Head },
            since: Instant::now(),
            changes: 0,
            unread_until: None,
            has_rest: false,
            lingering: None,
            head_length: 0,
            has_unseen_head: false,
            frames: is_http2.then(|| Box::new(Frames::new(control_frames))),
            writes: Writes::new(connections.limits().write_timeout),
            connections,
            timer: None,
            is_set: false,
            place: None,
            is_over: false,
            has_looked_ahead: false,
            is_readable: false,
        }
    }

    /// Where the server says what it does.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Whether something was written and not flushed.
    pub fn unflushed(&self) -> Arc<AtomicBool> {
        self.unflushed.clone()
    }

    /// Whether it is [TCP and nothing more](Io::is_tcp).
    pub fn is_tcp(&self) -> bool {
        self.io.is_tcp()
    }

    /// What it consists of.
    pub fn into_parts(self) -> GuardedParts<IO> {
        GuardedParts { io: self.io, before: self.early, permit: self.permit }
    }

    /// What it is for now.
    #[inline]
    fn phase(&mut self) -> Phase {
        // An answer may have been sent since.
        let may_be_sent = self.phase == Phase::Answer && self.activity.is_idle();
        let has_changed = self.activity.changes() != self.changes;
        if has_changed || may_be_sent || self.protocol == Protocol::Http2 {
            self.find_phase();
        }
        self.phase
    }

    fn find_phase(&mut self) {
        let activity = &self.activity;
        let changes = activity.changes();
        // A server may let go of a body when it has queued it.
        let is_sending = self.unflushed.load(Ordering::Relaxed);
        let has_settings = || self.frames.as_ref().is_none_or(|frames| frames.has_settings());
        let phase = match self.protocol {
            _ if activity.is_upgraded() => Phase::Open,
            Protocol::Http1 if activity.is_reading() => Phase::Body,
            Protocol::Http1 if !activity.is_idle() || is_sending => Phase::Answer,
            Protocol::Http1 => Phase::Head,
            Protocol::Http2 if !has_settings() => Phase::Settings,
            Protocol::Http2 if !activity.is_idle() => Phase::Open,
            Protocol::Http2 => Phase::Idle,
        };
        if phase != self.phase || changes != self.changes {
            self.phase = phase;
            self.changes = changes;
            self.begin_waiting();
            let has_unread = self.protocol == Protocol::Http1 && self.activity.has_unread_body();
            let limit = self.connections.limits().write_timeout.unwrap_or(UNREAD_BODY);
            self.unread_until = has_unread.then(|| self.since + limit);
            self.has_rest = false;
            self.head_length = 0;
            self.is_over = false;
            self.has_unseen_head = false;
            self.is_readable = phase == Phase::Head && !self.early.is_empty();
        }
    }

    /// Time begins again.
    fn begin_waiting(&mut self) {
        self.since = Instant::now();
        self.is_set = false;
        self.place = None;
    }

    /// Gives back what was read already, or reads.
    fn poll_pass(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..length]);
        if length == self.early.len() {
            self.early = Vec::new();
        } else {
            self.early.drain(..length);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Servers may read all that there is before they look: bodies and further requests, which are not
        // of this head.
        if std::mem::take(&mut self.has_unseen_head) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let is_rest = self.has_unread_body();
        if !is_rest && self.head_length >= self.connections.limits().head_size.max(1) {
            let error = invalid("request's head has too many bytes");
            let error = flooded(&self.connections, error);
            if self.unread_until.is_some() {
                // It may be the rest of a body, whose request was answered.
                return Poll::Ready(Ok(()));
            }
            self.refuse(TOO_LARGE, error, cx)?;
            return self.poll_linger(cx);
        }
        let before = buf.filled().len();
        match self.poll_pass(cx, buf) {
            Poll::Ready(outcome) => {
                if self.head_length == 0 {
                    self.begin_waiting();
                }
                let length = buf.filled().len() - before;
                if is_rest {
                    self.has_rest |= length > 0;
                } else {
                    self.head_length += length;
                    self.has_unseen_head = length > 0;
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                self.check(cx)?;
                // The end of the connection.
                if self.is_over { self.poll_linger(cx) } else { Poll::Pending }
            }
        }
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = self.poll_pass(cx, buf);
        if let Some(frames) = &mut self.frames {
            let head_since = frames.head_since();
            let read = frames.read(&buf.filled()[before..], Instant::now);
            read.map_err(|error| flooded(&self.connections, error))?;
            self.is_set &= frames.head_since() == head_since;
        }
        if outcome.is_pending() {
            self.phase();
            self.check(cx)?;
        }
        outcome
    }

    /// Reads what the client sends while it is answered. It is ready when the client has closed.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.io.poll_readable(cx))?;
            if !ready!(poll_append(&mut self.io, &mut self.early, cx))? {
                return Poll::Ready(Ok(()));
            }
            if self.early.len() > AHEAD {
                let error = invalid("client sends much while it is answered");
                return Poll::Ready(Err(flooded(&self.connections, error)));
            }
        }
    }

    /// Reads what the client still sends when everything was sent. The server gets nothing of it.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.lingering {
            Some(lingering) => lingering.poll(&mut self.io, cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// From now on, nothing is awaited but the client's end.
    fn linger(&mut self, why: Option<io::Error>) {
        self.lingering = Some(Box::new(Lingering::new(why)));
        self.is_over = true;
        self.timer = None;
        self.place = None;
    }

    /// Whether the rest of a body that the application did not read may still be in the way of the next request.
    fn has_unread_body(&self) -> bool {
        self.unread_until.is_some_and(|until| Instant::now() < until)
    }

    /// Answers a head without the server, as much as the connection takes. When its client has had the time to read that, the
    /// server gets the error; at once if something is in the way of an answer.
    fn refuse(&mut self, answer: &[u8], error: io::Error, cx: &mut Context<'_>) -> io::Result<()> {
        if self.unflushed.load(Ordering::Relaxed) {
            return Err(error);
        }
        let _ = Pin::new(&mut self.io).poll_write(cx, answer);
        let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        self.linger(Some(error));
        Ok(())
    }

    /// Looks whether time is up for something, and has the task woken when it may be.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            if let Some(lingering) = &mut self.lingering {
                // A server that writes, and does not read, sees the end here.
                let ended = lingering.poll(&mut self.io, cx);
                return if let Poll::Ready(ended) = ended { ended } else { Ok(()) };
            }
            self.poll_place(cx)?;
            if self.is_set {
                let timer = self.timer.as_mut();
                if timer.is_none_or(|timer| timer.poll(cx).is_pending()) {
                    return Ok(());
                }
            }
            let next = self.look(Instant::now(), cx).inspect_err(|error| {
                tracing::debug!(target: CONNECTION, %error, "a connection ends");
                if error.kind() == io::ErrorKind::TimedOut {
                    self.connections.hubs().report(ServerEvent::ConnectionTimedOut);
                }
            })?;
            self.is_set = true;
            if self.protocol == Protocol::Http2 && self.phase == Phase::Open {
                // Its last stream may end after the server has looked at it.
                self.activity.wake_when_idle(cx.waker().clone());
                self.phase();
            }
            match (next, &mut self.timer) {
                (None, _) => self.timer = None,
                (Some(at), Some(timer)) => timer.reset(at),
                (Some(at), None) => self.timer = Some(Box::new(Alarm::at(at))),
            }
        }
    }

    /// Returns when to look again, or an error if time is up.
    fn look(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<Option<Instant>> {
        let limits = self.connections.limits();
        let timeout = match self.phase {
            Phase::Idle if self.is_over => Some(GOODBYE),
            Phase::Head if self.head_length > 0 => limits.head_timeout,
            Phase::Head | Phase::Idle => limits.idle_timeout,
            Phase::Settings => limits.handshake_timeout,
            Phase::Answer => self.unread_until.map(|until| until - self.since),
            Phase::Body | Phase::Open => None,
        };
        let due = timeout.map(|timeout| self.since + timeout);
        // What has come may be a head. It is as good as idle if it was the rest of a body.
        let rest = self.unread_until.filter(|_| self.has_rest && self.head_length == 0);
        let rest = rest.zip(limits.head_timeout).map(|(until, timeout)| until + timeout);
        let mut due = [due, rest].into_iter().flatten().min();
        // Over HTTP/2, beside everything else.
        let head_since = self.frames.as_ref().and_then(|frames| frames.head_since());
        let head = head_since.zip(limits.head_timeout).map(|(since, timeout)| since + timeout);
        if due.is_some_and(|due| due <= now) {
            due = self.time_is_up(now, cx)?;
        }
        if head.is_some_and(|due| due <= now) {
            return Err(timed_out("request's head takes too long"));
        }
        let writes = self.writes.look(&self.io, now)?;
        Ok([due, head, self.look_at_place(now), writes].into_iter().flatten().min())
    }

    /// Gives others a claim to the place of a connection that waits for a request. Returns when to look again.
    fn look_at_place(&mut self, now: Instant) -> Option<Instant> {
        let rank = match self.phase {
            Phase::Head if self.head_length > 0 => Rank::Begun,
            Phase::Settings => Rank::Begun,
            Phase::Head | Phase::Idle => Rank::Idle,
            Phase::Body | Phase::Answer | Phase::Open => return None,
        };
        let at = self.since + UNDISTURBED;
        if self.place.is_none() && !self.is_over && at <= now {
            // Its time is limited here.
            let place = self.connections.place(rank, self.since.into_std(), None);
            self.place = Some(Box::new(place));
        }
        Some(at).filter(|at| *at > now)
    }

    /// Ends the connection if another needs its place.
    fn poll_place(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(Poll::Ready(ending)) = self.place.as_mut().map(|place| place.poll_ending(cx))
        else {
            return Ok(());
        };
        self.place = None;
        match self.phase {
            // The server ends, and does so with its connections itself.
            _ if ending.is_none() => {}
            Phase::Head if self.head_length == 0 => self.end_idle(cx),
            Phase::Idle => self.end_idle(cx),
            _ => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
        Ok(())
    }

    /// Has the server end a connection that is idle.
    fn end_idle(&mut self, cx: &mut Context<'_>) {
        self.begin_waiting();
        self.is_over = true;
        // Its client has had the time to read what it was sent.
        self.unread_until = None;
        self.head_length = 0;
        match self.phase {
            Phase::Idle => self.activity.set_must_end(),
            // If this is a write, a read sees it.
            _ => cx.waker().wake_by_ref(),
        }
    }

    /// The time of a phase is up. Returns when to look again.
    fn time_is_up(&mut self, now: Instant, cx: &mut Context<'_>) -> io::Result<Option<Instant>> {
        match self.phase {
            Phase::Head if self.head_length > 0 && self.unread_until.is_none() => {
                self.refuse(TIMEOUT, timed_out("request's head takes too long"), cx)?;
                tracing::debug!(target: CONNECTION, "a head takes too long, and is answered 408");
                self.connections.hubs().report(ServerEvent::ConnectionTimedOut);
                Ok(None)
            }
            Phase::Head if self.is_over => Ok(None),
            Phase::Settings => Err(timed_out("settings of HTTP/2 take too long")),
            // It was counted.
            Phase::Idle if self.is_over => Err(io::ErrorKind::ConnectionAborted.into()),
            Phase::Head | Phase::Idle => {
                self.connections.hubs().report(ServerEvent::ConnectionTimedOut);
                self.end_idle(cx);
                Ok(Some(now + GOODBYE))
            }
            Phase::Body | Phase::Answer | Phase::Open => Ok(None),
        }
    }

    /// The server has sent some of these bytes.
    fn has_sent<'a>(
        &mut self,
        bufs: impl Iterator<Item = &'a [u8]>,
        mut length: usize,
    ) -> io::Result<()> {
        if let Some(frames) = &mut self.frames {
            for buf in bufs {
                let part = buf.len().min(length);
                length -= part;
                let wrote = frames.wrote(&buf[..part], Instant::now);
                wrote.map_err(|error| flooded(&self.connections, error))?;
            }
        }
        Ok(())
    }

    /// After a write.
    fn watch<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        self.activity.set_full(outcome.is_pending());
        if self.writes.after(outcome.is_pending()) {
            self.is_set = false;
        }
        if outcome.is_pending() {
            // The server may not read meanwhile.
            self.phase();
            self.check(cx)?;
        }
        outcome
    }
}

/// The client has sent more than it may.
fn flooded(connections: &Connections, error: io::Error) -> io::Error {
    tracing::debug!(target: CONNECTION, %error, "a connection ends");
    connections.hubs().report(ServerEvent::ConnectionFlooded);
    error
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<IO: Io> AsyncRead for Guarded<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_some() {
            return this.poll_linger(cx);
        }
        let is_http1 = this.protocol == Protocol::Http1;
        if is_http1 && this.activity.must_end() && this.activity.is_idle() {
            // A server shuts down in order when its client has closed.
            return Poll::Ready(Ok(()));
        }
        match this.phase() {
            Phase::Head => this.poll_head(cx, buf),
            Phase::Answer if !this.has_unread_body() => {
                let ahead = this.poll_ahead(cx);
                this.has_looked_ahead = ahead.is_pending();
                ahead
            }
            Phase::Body | Phase::Answer => this.poll_pass(cx, buf),
            Phase::Settings | Phase::Idle | Phase::Open => this.poll_frames(cx, buf),
        }
    }
}

impl<IO: Io> AsyncWrite for Guarded<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.unflushed.store(true, Ordering::Relaxed);
        let outcome = Pin::new(&mut this.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(length)) = outcome {
            this.has_sent(std::iter::once(buf), length)?;
        }
        this.watch(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.unflushed.store(true, Ordering::Relaxed);
        let outcome = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(length)) = outcome {
            this.has_sent(bufs.iter().map(|buf| &**buf), length)?;
        }
        this.watch(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Servers flush only when they have written everything, and whenever they were polled. So here is where the connection
    /// is watched, too, while the server reads nothing.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx)?;
        if flushed.is_ready() {
            this.unflushed.store(false, Ordering::Relaxed);
        }
        let has_looked = std::mem::take(&mut this.has_looked_ahead);
        if this.phase() == Phase::Answer
            && !has_looked
            && !this.has_unread_body()
            && this.poll_ahead(cx)?.is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if std::mem::take(&mut this.is_readable) {
            // The server waits for its reads to be woken.
            cx.waker().wake_by_ref();
        }
        this.check(cx)?;
        flushed.map(Ok)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let outcome = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.watch(outcome, cx))?;
            this.phase();
            // Also after a head that the server has refused.
            if this.unread_until.is_none() && this.head_length == 0 {
                return Poll::Ready(Ok(()));
            }
            this.linger(None);
        }
        this.poll_linger(cx)
    }
}

#[cfg(test)]
mod tests;
