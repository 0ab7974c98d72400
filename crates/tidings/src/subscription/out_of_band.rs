//! What a stream sends that does not come from the topics' logs: status events, snapshots, and what is read from the
//! hub's log or from a pattern's past.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::Subscription;
use super::application_task::ApplicationTask;
use super::catch_up::CatchUp;
use super::ends::AskedEnds;
use super::handing_out::Item;
use super::look_back::{Failed, PendingLook};
use super::replay::Replay;
use super::snapshot::{AwaitedSnapshot, SharedSnapshot, Snapshot};
use super::topics::AddedHistory;
use crate::encode;
use crate::epoch::Epoch;
use crate::error::{StreamError, StreamErrorKind};
use crate::heartbeat::EMPTY_COMMENT;
use crate::heartbeat::timer::Call;
use crate::log::coalesce::Slice;
use crate::log::feed::PastRead;
use crate::log::reset_reason::ResetReason;
use crate::status::Status;
use crate::telling::tell;

/// What is to be sent before the stream reads on in its topics' logs, in this order.
#[derive(Debug, Default)]
pub(super) struct OutOfBand {
    pub(super) ready: Option<Ready>,
    snapshot: Option<AnnouncedSnapshot>,
    /// Of new topics.
    pub(super) added: VecDeque<AddedHistory>,
    pub(super) look_back: Option<PendingLook>,
    pub(super) catch_up: Option<Box<CatchUp>>,
    pub(super) replay: Option<Arc<Replay>>,
    /// The stream reads on meanwhile, unless it [waits for this](AskedEnds::is_waited_for).
    pub(super) ends: Option<AskedEnds>,
    /// An error that waits until the server has sent what comes before it: see [`EventStream`](crate::EventStream).
    failed: Option<StreamError>,
    /// The server has been given time for that.
    has_let_send: bool,
}

/// What a stream does next.
pub(super) enum NextStep {
    Yield(Item),
    /// Ends.
    End,
    /// Waits for a snapshot, a look into the past, or a page of the hub's log.
    Wait,
    /// Lets the server send what it has, and is polled again.
    LetServerSend,
    /// Reads its topics' logs.
    Read,
}

/// Bytes that are ready to be sent.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) bytes: Vec<u8>,
    pub(super) events: usize,
    /// The position that they leave the client with, if they have any.
    pub(super) position: Option<u64>,
}

/// A client's status, and the position from which it follows.
pub(super) struct Announcement {
    pub(super) status: Status,
    pub(super) position: u64,
    pub(super) epoch: Epoch,
    /// Whether the history that follows is all that was asked for.
    pub(super) is_complete: bool,
}

/// A snapshot that the application is making, and the status that is sent with it.
struct AnnouncedSnapshot {
    snapshot: AwaitedSnapshot,
    announcement: Announcement,
}

impl OutOfBand {
    /// Whether the stream goes on in its topics' logs meanwhile.
    pub(super) fn is_only_asking(&self) -> bool {
        let Self { ready, snapshot, added, look_back, catch_up, replay, ends, failed, .. } = self;
        ends.as_ref().is_some_and(|ends| !ends.is_waited_for())
            && ready.is_none()
            && snapshot.is_none()
            && added.is_empty()
            && look_back.is_none()
            && catch_up.is_none()
            && replay.is_none()
            && failed.is_none()
    }
}

impl Ready {
    pub(super) fn comment() -> Self {
        Self { bytes: EMPTY_COMMENT.to_vec(), ..Self::default() }
    }

    /// The blank line that ends the fields of an event, if there are any.
    pub(super) fn end_event(&mut self) {
        if !self.bytes.is_empty() {
            self.bytes.push(b'\n');
        }
    }
}

impl Subscription {
    pub(super) fn out_of_band(&mut self) -> &mut OutOfBand {
        self.out_of_band.get_or_insert_default()
    }

    /// Sends the client's status.
    pub(super) fn announce(&mut self, announcement: Announcement, mut ready: Ready) {
        let Announcement { status, position, epoch, is_complete } = announcement;
        self.set_status(status);
        if self.sends_status {
            let event = status.event(self.client.id, epoch.id(position), is_complete);
            ready.bytes.extend_from_slice(&event.encode());
            ready.events = 1;
            ready.position = Some(position);
        } else {
            ready.end_event();
        }
        self.send(ready);
    }

    /// Has the application make a snapshot, which is sent with the client's status.
    pub(super) fn announce_snapshot(
        &mut self,
        announcement: Announcement,
        hook: SharedSnapshot,
        mut ready: Ready,
    ) {
        self.set_status(announcement.status);
        let snapshot = AwaitedSnapshot::new(hook, self.shared.clone(), self.client.clone());
        self.out_of_band().snapshot = Some(AnnouncedSnapshot { snapshot, announcement });
        ready.end_event();
        self.send(ready);
    }

    fn set_status(&mut self, status: Status) {
        if self.is_listed {
            self.shared.counters.announced(status);
        }
        if self.status == Status::Pending {
            self.status = status;
            if let Status::Reset(reason) = status {
                tell!(DEBUG, &self.client, self.span(), %reason, "stream begins with a reset");
            }
        } else if let Status::Reset(reason) = status {
            tell!(INFO, &self.client, self.span(), %reason, "client lagged too far, and is reset");
        }
    }

    pub(super) fn send(&mut self, ready: Ready) {
        if !ready.bytes.is_empty() {
            self.out_of_band().ready = Some(ready);
        }
    }

    /// What is to be sent, or waited for, before the topics' logs are read.
    pub(super) fn poll_out_of_band(
        &mut self,
        closing: bool,
        makes_snapshots: bool,
        cx: &mut Context<'_>,
    ) -> NextStep {
        loop {
            let Some(out_of_band) = &mut self.out_of_band else {
                return NextStep::Read;
            };
            if out_of_band.failed.is_some() {
                if std::mem::replace(&mut out_of_band.has_let_send, true) {
                    return NextStep::End;
                }
                cx.waker().wake_by_ref();
                return NextStep::LetServerSend;
            }
            if let Some(Ready { bytes, events, position }) = out_of_band.ready.take() {
                let bytes = self.shared.pinned.hold(bytes);
                return self.send_now(bytes.into(), events, position);
            }
            if let Some(AnnouncedSnapshot { snapshot, .. }) = &mut out_of_band.snapshot {
                // The waker first: an outcome or the time limit that comes from here on wakes it.
                self.client.heartbeat.register(cx.waker());
                match snapshot.poll(makes_snapshots) {
                    Poll::Ready(Ok(snapshot)) => self.send_snapshot(&snapshot),
                    Poll::Ready(Err(error)) => {
                        out_of_band.snapshot = None;
                        self.shared.counters.snapshots_failed.add();
                        self.fail(StreamError::snapshot(error));
                    }
                    // A shutdown does not wait for the application.
                    Poll::Pending if closing => return NextStep::End,
                    Poll::Pending => return NextStep::Wait,
                }
                continue;
            }
            if let Some(added) = out_of_band.added.front_mut() {
                // The waker first, as above.
                self.client.heartbeat.register(cx.waker());
                let Poll::Ready(events) = added.poll(cx) else {
                    return if closing { NextStep::End } else { NextStep::Wait };
                };
                out_of_band.added.pop_front();
                match events {
                    Ok(ready) => self.send(ready),
                    // The client was to be sent it, and is told that it is not.
                    Err(_) => self.reset(ResetReason::Trimmed),
                }
                continue;
            }
            if let Some(look) = &out_of_band.look_back {
                // The waker first, as above.
                self.client.heartbeat.register(cx.waker());
                let Some(outcome) = look.take() else { return NextStep::Wait };
                out_of_band.look_back = None;
                match outcome {
                    Ok((answer, head)) => self.on_answer(answer, head, Ready::default()),
                    Err(Failed) => self.fail(StreamError::ended()),
                }
                continue;
            }
            if let Some(catch_up) = out_of_band.catch_up.take() {
                match self.poll_catch_up(catch_up, closing, cx) {
                    Some(step) => return step,
                    None => continue,
                }
            }
            if let Some(replay) = &out_of_band.replay {
                match replay.read() {
                    Ok(Some(PastRead::Slice(slice))) => {
                        let Slice { bytes, is_chunk, events, position, .. } = slice;
                        self.need_replay();
                        return self.send_now(Item { bytes, is_chunk }, events, position);
                    }
                    Ok(Some(PastRead::LookOn)) => {
                        self.need_replay();
                        cx.waker().wake_by_ref();
                        return NextStep::LetServerSend;
                    }
                    Ok(Some(PastRead::End)) => self.drop_replay(),
                    // The stream is cut.
                    Ok(None) => return NextStep::End,
                    Err(reason) => {
                        self.drop_replay();
                        self.on_past_lost(reason);
                    }
                }
                continue;
            }
            if let Some(ends) = &mut out_of_band.ends {
                match ends.poll(cx) {
                    Poll::Ready(answer) => {
                        if let Some(asked) = out_of_band.ends.take() {
                            self.on_ends(asked, answer);
                        }
                        continue;
                    }
                    Poll::Pending if !ends.is_waited_for() => return NextStep::Read,
                    // The client comes back, here or elsewhere.
                    Poll::Pending if closing => return NextStep::End,
                    Poll::Pending => return NextStep::Wait,
                }
            }
            self.out_of_band = None;
            return NextStep::Read;
        }
    }

    pub(super) fn drop_replay(&mut self) {
        let out_of_band = self.out_of_band.as_mut();
        if out_of_band.and_then(|out_of_band| out_of_band.replay.take()).is_some() {
            self.client.outlet.need_nothing();
        }
    }

    /// Tells the hub that the stream has gone on, if it keeps much memory for its past.
    pub(super) fn need_replay(&self) {
        let replay = self.out_of_band.as_ref().and_then(|out_of_band| out_of_band.replay.as_ref());
        replay.inspect(|replay| replay.note_need(&self.client.outlet, self.shared.clock.recent()));
    }

    pub(super) fn send_now(
        &mut self,
        item: Item,
        events: usize,
        position: Option<u64>,
    ) -> NextStep {
        self.client.sent(item.bytes.len(), events, position);
        self.client.heartbeat.on_write();
        NextStep::Yield(item)
    }

    /// Ends with an error, once the server has sent what it has.
    pub(super) fn fail(&mut self, error: StreamError) {
        match error.kind() {
            StreamErrorKind::Ended => {}
            StreamErrorKind::Reset(_) => {
                tell!(INFO, &self.client, self.span(), reason = %error, "stream failed");
            }
            _ => tell!(WARN, &self.client, self.span(), reason = %error, "stream failed"),
        }
        self.out_of_band().failed = Some(error);
    }

    /// Ends the stream as its hub says: with its last event if there is to be one, and then with its end, or with an error in
    /// place of that. If it has failed already, with its own error.
    #[cold]
    pub(super) fn poll_end(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Item, StreamError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.client.outlet.is_cut() {
            // At once: what the server has is what it must let go of.
            self.ended = true;
            return Poll::Ready(Some(Err(StreamError::cut())));
        }
        if let Some(bytes) = self.last_event() {
            return Poll::Ready(Some(Ok(bytes.into())));
        }
        let failed = self.out_of_band.as_mut().and_then(|out_of_band| out_of_band.failed.take());
        if failed.is_none() && self.shared.ends_streams_by_reset() {
            self.fail(StreamError::ended());
            self.out_of_band().has_let_send = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ended = true;
        self.out_of_band = None;
        Poll::Ready(failed.map(Err))
    }

    /// The event that says why the stream ends, if it was not sent yet, and what is ready to be sent before it.
    fn last_event(&mut self) -> Option<Bytes> {
        let calls = self.client.heartbeat.calls();
        let end = self.client.outlet.how_to_end().filter(|_| !calls.has(Call::Close))?;
        let out_of_band = self.out_of_band.take().unwrap_or_default();
        if out_of_band.failed.is_some() {
            self.out_of_band = Some(out_of_band);
            return None;
        }
        // From here on it is closed.
        self.client.close();
        tell!(DEBUG, &self.client, self.span(), reason = %end.reason, "stream is ended");
        self.shared.counters.ended(end.reason);
        let Ready { mut bytes, events, position } = out_of_band.ready.unwrap_or_default();
        bytes.extend_from_slice(&end.event(self.retry()).encode());
        self.client.sent(bytes.len(), events + 1, position);
        Some(self.shared.pinned.hold(bytes))
    }

    /// The task that runs code of the application for the stream; `None` if there is nothing to run, or if the task was
    /// taken already.
    ///
    /// For transports that poll the stream through a [`Cohort`](crate::transport::Cohort), which runs no code of the application.
    /// After each poll, a transport takes the tasks and has a runtime run them; they wake the stream.
    pub fn take_application_task(&mut self) -> Option<ApplicationTask> {
        let snapshot = self.out_of_band.as_mut().and_then(|it| it.snapshot.as_mut());
        let snapshot = snapshot.and_then(|snapshot| snapshot.snapshot.take_task());
        if let Some(task) = snapshot {
            return Some(task.into());
        }
        self.rights()?.take_task().map(ApplicationTask::from)
    }

    /// Sends a snapshot, and the status event before it.
    ///
    /// Only the last event carries the position after the snapshot. A client that is cut off before comes back with an
    /// id that has none, and gets another snapshot.
    fn send_snapshot(&mut self, snapshot: &Snapshot) {
        let Some(AnnouncedSnapshot { announcement, .. }) = self.out_of_band().snapshot.take()
        else {
            return;
        };
        let Announcement { status, position, epoch, is_complete } = announcement;
        let mut ready = Ready { position: Some(position), ..Ready::default() };
        if self.sends_status {
            let id = match snapshot.events.is_empty() {
                true => epoch.id(position),
                false => epoch.id_without_position(),
            };
            ready.bytes.extend_from_slice(&status.event(self.client.id, id, is_complete).encode());
            ready.events += 1;
        }
        let last = snapshot.events.len().saturating_sub(1);
        for (index, event) in snapshot.events.iter().enumerate() {
            ready.bytes.extend(encode::fields_without_id(event, 0));
            if index == last {
                encode::id(&epoch, position, &mut ready.bytes);
            }
            ready.end_event();
            ready.events += 1;
        }
        self.send(ready);
    }
}

impl fmt::Debug for AnnouncedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = &self.announcement.status;
        f.debug_struct("AnnouncedSnapshot").field("status", status).finish_non_exhaustive()
    }
}
