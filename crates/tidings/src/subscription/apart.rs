//! What a stream sends that its cursor does not come to: status events, snapshots, and what is read from the
//! hub's log or from the topics of a family.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::catch_up::{Announce, CatchUp};
use super::replay::Replay;
use super::snapshot::{Making, Snapshot};
use super::status::Status;
use super::{Subscription, jittered};
use crate::encode;
use crate::error::StreamError;
use crate::keep_alive::HEARTBEAT;
use crate::log::coalesce::Slice;
use crate::resume::Epoch;

/// What is to be sent that is not from the log.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// Before anything else.
    pub(super) ready: Option<Ready>,
    /// Events of the hub's log that are not in memory.
    pub(super) catch_up: Option<Box<CatchUp>>,
    /// Events of a family's topics that are not in its own log.
    pub(super) replay: Option<Replay>,
    /// A snapshot, before the log is read on.
    making: Option<Announced>,
    /// An error that waits for a turn, for the server to send what came before it first: see
    /// [`EventStream`](crate::EventStream).
    failed: Option<StreamError>,
}

/// What there is apart from the log.
pub(super) enum Next {
    Send(Option<Result<Bytes, StreamError>>),
    /// Something that is not there yet: a snapshot, or a page of the hub's log.
    Making,
    /// Something that waits for a turn.
    Turn,
    /// Nothing: the log is next.
    Log,
}

/// Bytes that are not from the log.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) bytes: Vec<u8>,
    events: usize,
    /// The position that they leave the client with, if they have any.
    position: Option<u64>,
}

/// A snapshot that the application is making, and what is to be said with it.
pub(super) struct Announced {
    making: Making,
    status: Status,
    /// Where the stream goes on behind the snapshot.
    position: u64,
    epoch: Epoch,
}

impl Subscription {
    /// Prepares the first bytes.
    pub(super) fn begin(
        &mut self,
        announce: Announce,
        with_snapshot: bool,
        retry: Option<Duration>,
    ) {
        self.status = announce.status;
        let mut first = Ready::default();
        if let Some(retry) = retry {
            encode::retry(jittered(retry), &mut first.bytes);
        }
        if self.status == Status::Pending {
            end_block(&mut first.bytes);
        } else {
            self.announce(announce, with_snapshot, &mut first);
        }
        // The first bytes leave at once, or proxies would hold back the headers.
        if first.bytes.is_empty() {
            first.bytes.extend_from_slice(&HEARTBEAT);
        }
        self.apart().ready = Some(first);
    }

    pub(super) fn apart(&mut self) -> &mut Apart {
        self.apart.get_or_insert_default()
    }

    /// Says how the subscription stands from here on, or has that said with a snapshot.
    pub(super) fn announce(&mut self, announce: Announce, with_snapshot: bool, out: &mut Ready) {
        let Announce { status, position, epoch } = announce;
        self.shared.counters.told(status);
        if self.status == Status::Pending {
            self.status = status;
        }
        match &self.snapshot {
            Some(hook) if with_snapshot => {
                let making = hook.call();
                self.apart().making = Some(Announced { making, status, position, epoch });
                end_block(&mut out.bytes);
            }
            _ if self.tells_status => {
                let event = status.event(self.client.id, epoch.id(position));
                out.bytes.extend_from_slice(&event.encode());
                out.events = 1;
                out.position = Some(position);
            }
            _ => end_block(&mut out.bytes),
        }
    }

    /// What is to be sent before the log is read on.
    pub(super) fn poll_apart(&mut self, closing: bool, cx: &mut Context<'_>) -> Next {
        loop {
            let Some(apart) = &mut self.apart else {
                return Next::Log;
            };
            if let Some(error) = apart.failed.take() {
                self.ended = true;
                return Next::Send(Some(Err(error)));
            }
            if let Some(Ready { bytes, events, position }) = apart.ready.take() {
                self.client.count(bytes.len(), events, position);
                self.client.pulse.wrote();
                return Next::Send(Some(Ok(bytes.into())));
            }
            if let Some(catch_up) = apart.catch_up.take() {
                match self.poll_catch_up(catch_up, closing, cx) {
                    Some(next) => return next,
                    None => continue,
                }
            }
            if let Some(replay) = &mut apart.replay {
                match replay.read() {
                    Ok(Some(Slice { bytes, events, position, .. })) => {
                        self.client.count(bytes.len(), events, position);
                        self.client.pulse.wrote();
                        return Next::Send(Some(Ok(bytes)));
                    }
                    Ok(None) => apart.replay = None,
                    Err(reason) => {
                        apart.replay = None;
                        self.lose_past(reason);
                    }
                }
                continue;
            }
            let Some(announced) = &mut apart.making else {
                self.apart = None;
                return Next::Log;
            };
            match announced.making.as_mut().poll(cx) {
                Poll::Ready(Ok(snapshot)) => self.take_snapshot(snapshot),
                Poll::Ready(Err(error)) => {
                    apart.making = None;
                    apart.failed = Some(StreamError::snapshot(error));
                    cx.waker().wake_by_ref();
                    return Next::Turn;
                }
                // A shutdown does not wait for the application.
                Poll::Pending if closing => {
                    self.ended = true;
                    return Next::Send(None);
                }
                Poll::Pending => return Next::Making,
            }
        }
    }

    /// Writes a snapshot that the application has made, with the status event before it.
    ///
    /// Only the last event carries the position behind the snapshot. Who is cut off earlier comes
    /// back with an id that has none, and gets another snapshot.
    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot) {
        let Some(Announced { status, position, epoch, .. }) = self.apart().making.take() else {
            return;
        };
        let mut bytes = Vec::new();
        let mut events = 0;
        if self.tells_status {
            let id = match snapshot.events.is_empty() {
                true => epoch.id(position),
                false => epoch.id_without_position(),
            };
            bytes.extend_from_slice(&status.event(self.client.id, id).encode());
            events += 1;
        }
        let last = snapshot.events.len().saturating_sub(1);
        for (index, event) in snapshot.events.iter().enumerate() {
            bytes.extend(encode::fields_without_id(event, 0));
            if index == last {
                encode::id(&epoch, position, &mut bytes);
            }
            end_block(&mut bytes);
            events += 1;
        }
        if !bytes.is_empty() {
            self.apart().ready = Some(Ready { bytes, events, position: Some(position) });
        }
    }
}

/// The empty line behind the fields of an event, if there are any.
fn end_block(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b'\n');
    }
}

impl fmt::Debug for Announced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announced").field("status", &self.status).finish_non_exhaustive()
    }
}
