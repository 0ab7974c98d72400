//! One client's stream: from its cursor in the hub's logs to the bytes of its response.

pub(crate) mod application_task;
pub(crate) mod attached;
mod beginning;
mod catch_up;
mod ends;
pub(crate) mod event_history;
mod handing_out;
pub(crate) mod history;
pub(crate) mod lifetime;
mod look_back;
pub(crate) mod messages;
mod out_of_band;
mod polling;
pub(crate) mod read_history;
mod replay;
mod revalidation;
pub(crate) mod rights;
pub(crate) mod snapshot;
mod start_point;
pub(crate) mod subscribe;
mod topics;
mod turned_away;

#[cfg(test)]
mod beginning_tests;
#[cfg(test)]
mod cut_tests;
#[cfg(test)]
mod end_tests;
#[cfg(test)]
mod wait_tests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tracing::span::Id;

use crate::client::Client;
use crate::client_id::ClientId;
use crate::encode;
use crate::end_reason::EndReason;
use crate::error::StreamError;
use crate::heartbeat::{EMPTY_COMMENT, Heartbeat};
use crate::hub::journal::Head;
use crate::hub::shared::Shared;
use crate::log::feed::{Cursor, TopicCursor};
use crate::log::reset_reason::ResetReason;
use crate::pace::Pace;
use crate::retry::jittered;
use crate::status::Status;
use crate::telling::tell;
use attached::Attached;
use beginning::{Beginning, First, LogStart, Request};
use catch_up::CatchUp;
use lifetime::Lifetime;
use look_back::{Answer, LookBack, Question};
use out_of_band::{Announcement, OutOfBand, Ready};
use polling::Rejoin;
use rights::{Rights, RightsOptions};
use snapshot::SharedSnapshot;
use start_point::StartPoint;

/// How a subscription behaves.
#[derive(Debug, Clone)]
pub(crate) struct SubscriptionOptions {
    pub(crate) sends_status: bool,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) retry: Option<Duration>,
    /// The least between two writes of events; the topics' if it is not set.
    pub(crate) interval: Option<Duration>,
    /// Whether it is a client's, and so in the registry.
    pub(crate) is_listed: bool,
}

/// An open subscription: a stream of the bytes of an event stream.
///
/// It is a cursor into the logs of its topics, not a queue: a client that reads slowly costs no memory. A client that
/// lags so far that its next event is gone gets a status event that says so (a reset), and goes on with what is
/// retained.
///
/// The stream begins with the status event, sends heartbeats while it is idle, and ends when the hub is closed or the
/// client is closed through the registry, or with an [`END_EVENT`](crate::END_EVENT) that says why. It ends with an error
/// when a snapshot fails, when too much memory is [pinned](crate::HubBuilder::pinned_limit), when a client that is sent
/// [no status](crate::Subscribe::status) would have to be reset, and where
/// [the hub wants its end to be one](crate::Hub::end_streams_by_reset). Dropping the subscription removes the client from
/// the registry at once.
///
/// # Chunks
///
/// The first poll yields the first bytes: `retry` and the status event as one block, or what is set of them; a comment
/// (`:`) if nothing is. If the hub must ask its log first, or the application for a snapshot, `retry` or the comment comes
/// at once, and the status later.
///
/// After that, each chunk is one or several whole events, or a heartbeat. Only what is more than 4 KiB and not several events that
/// readers share comes in pieces of 4 KiB, with nothing between them, which may end within an event: a large event, a snapshot, a
/// page of the hub's log, history of a topic that was added. An error comes after a whole event, except where the stream is cut
/// because of its memory.
///
/// Adapters send it as a response body. An application that reads topics itself takes the
/// [messages](Subscription::into_messages). To read the bytes by hand, poll it as a [`Stream`](futures_core::Stream), or, with
/// the feature `http-body`, as an `http_body::Body`.
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    shared: Arc<Shared>,
    client: Arc<Client>,
    cursor: Cursor,
    topic_cursors: Box<[TopicCursor]>,
    attached: Option<Box<Attached>>,
    /// Most of the time there is nothing out of band, and thousands of idle streams pay for their size: so a box.
    out_of_band: Option<Box<OutOfBand>>,
    /// How the subscription was opened.
    status: Status,
    sends_status: bool,
    is_listed: bool,
    /// The least interval between two writes is the stream's, and not that of the topics that it has.
    has_own_interval: bool,
    ended: bool,
    rejoin: Rejoin,
    /// The client's outlet has the rest of an event.
    has_rest: bool,
    pace: Pace,
    /// See [`Feed::wait`](crate::log::feed::Feed::wait).
    waited: u64,
}

impl Subscription {
    fn new(
        shared: Arc<Shared>,
        client: Arc<Client>,
        options: SubscriptionOptions,
        (snapshot, rights): (Option<SharedSnapshot>, RightsOptions),
        (request, head): (Request, Head),
    ) -> Self {
        let rights = Rights::new(rights, &shared, &client);
        let heartbeat = options.heartbeat.bytes;
        let mut this = Self {
            cursor: StartPoint::live(&head).cursor,
            topic_cursors: TopicCursor::for_each_of(&client.feed.topics),
            attached: Attached::new(snapshot, heartbeat, rights, &client, options.is_listed),
            out_of_band: None,
            status: Status::Pending,
            sends_status: options.sends_status,
            is_listed: options.is_listed,
            has_own_interval: options.interval.is_some(),
            ended: false,
            rejoin: Rejoin::All,
            has_rest: false,
            pace: Pace::default(),
            waited: 0,
            shared,
            client,
        };
        this.set_retry(options.retry);
        let mut ready = Ready::default();
        if let Some(retry) = options.retry {
            encode::retry(jittered(retry), &mut ready.bytes);
        }
        if this.begins_with_ends(request, &head) {
            ready.end_event();
            this.send(ready);
        } else {
            this.look_back(Question::Begin(request), head, ready);
        }
        if this.is_listed {
            tell!(DEBUG, &this.client, this.span(), status = ?this.status, "stream opened");
        }
        // The first bytes leave at once, or proxies would hold back the headers.
        this.out_of_band().ready.get_or_insert_with(Ready::comment);
        this
    }

    fn set_retry(&mut self, retry: Option<Duration>) {
        if retry != self.shared.defaults.retry {
            self.attached.get_or_insert_default().retry = Some(retry);
        }
    }

    /// How long its client is told to wait before it comes back.
    fn retry(&self) -> Option<Duration> {
        let own = self.attached.as_ref().and_then(|attached| attached.retry);
        own.unwrap_or(self.shared.defaults.retry)
    }

    /// Does what is due to a stream that the registry has, under this name, too.
    fn on_entered(&mut self, client_key: Option<Arc<str>>) {
        let Self { shared, client, attached, .. } = self;
        if let Some(lifetime) = shared.defaults.max_lifetime {
            attached.get_or_insert_default().lifetime =
                Some(Lifetime::begin(lifetime, shared, client));
        }
        shared.note_presence(client);
        shared.count_everywhere(client, client_key.as_ref());
        if client_key.is_some() {
            attached.get_or_insert_default().client_key = client_key;
        }
        // A drain that has begun meanwhile may not know of it.
        if shared.turns_away() {
            shared.end(client, EndReason::Drained);
        }
    }

    /// Starts as a beginning says: when it is opened, and again after a reset.
    fn begin(&mut self, beginning: Beginning, head: Head, mut ready: Ready) {
        let Beginning { status, first, then, waits_for_topics, is_complete } = beginning;
        let position = then.position;
        let began = head.replica.map_or(0, |history| history.began);
        self.client.set_position(position);
        self.seek(then);
        let announcement = Announcement { status, position, epoch: head.epoch, is_complete };
        let hook = self.attached.as_ref().and_then(|attached| attached.snapshot.as_ref());
        match (first, hook) {
            (First::Log(start), _) => {
                ready.end_event();
                self.send(ready);
                self.read_log(start, began, Some(status));
            }
            (First::Snapshot, Some(hook)) => {
                let hook = hook.clone();
                self.announce_snapshot(announcement, hook, ready);
            }
            (First::Status | First::Snapshot, _) => self.announce(announcement, ready),
        }
        if waits_for_topics {
            self.read_log(LogStart::After(position), began, None);
        }
    }

    /// Looks into the past of its topics, for how to begin or go on.
    fn look_back(&mut self, question: Question, head: Head, mut ready: Ready) {
        match LookBack::begin(question, head, &self.shared, (&self.client, self.feed())) {
            LookBack::Done(answer, head) => self.on_answer(answer, head, ready),
            LookBack::Pending(look) => {
                self.out_of_band().look_back = Some(look);
                ready.end_event();
                self.send(ready);
            }
        }
    }

    fn on_answer(&mut self, answer: Answer, head: Head, ready: Ready) {
        match answer {
            Answer::Begin(beginning) => self.begin(beginning, head, ready),
            Answer::GoOn(start) => self.seek(start),
            Answer::Lost(reason) => self.reset(reason),
        }
    }

    /// Reads on in the hub's log, in the history that began at an offset, and announces a status when it is certain.
    fn read_log(&mut self, start: LogStart, began: u64, announce: Option<Status>) {
        let Some(replication) = self.shared.replication.clone() else { return };
        let catch_up = CatchUp::new(replication, start, began, announce);
        self.out_of_band().catch_up = Some(catch_up);
    }

    /// Sets the heartbeats of the open stream, as [`Subscribe::heartbeat`](crate::Subscribe::heartbeat) does before.
    pub fn set_heartbeat(&mut self, heartbeat: impl Into<Heartbeat>) {
        let Heartbeat { interval, bytes } = heartbeat.into();
        Attached::set_heartbeat(&mut self.attached, bytes);
        self.client.heartbeat.restart(interval, &self.client);
    }

    /// The bytes of a heartbeat.
    #[cold]
    fn heartbeat(&self) -> Bytes {
        // Clients rely on it that the status is their first event.
        if self.sends_status && !self.client.has_events() {
            return EMPTY_COMMENT;
        }
        let heartbeat = self.attached.as_ref();
        let heartbeat = heartbeat.map_or(EMPTY_COMMENT, |attached| attached.heartbeat.get());
        match self.client.filter() {
            Some(_) => self.with_position(heartbeat),
            None => heartbeat,
        }
    }

    /// A heartbeat, and the position that the client has reached without being sent an event: what was published may be
    /// hidden from it by its filter. It need not be reset if that is gone when it comes back.
    fn with_position(&self, heartbeat: Bytes) -> Bytes {
        // First: what is up to here was read, unless it is news.
        let head = self.shared.head();
        let is_current = self.out_of_band.is_none()
            && !self.is_changing()
            && !self.feed().has_news(self.cursor.offset);
        if !is_current || head.position <= self.client.position() {
            return heartbeat;
        }
        let mut bytes = heartbeat.to_vec();
        encode::id(&head.epoch, head.position, &mut bytes);
        bytes.push(b'\n');
        self.client.set_position(head.position);
        bytes.into()
    }

    /// The client's id in the registry.
    pub fn client_id(&self) -> ClientId {
        self.client.id
    }

    /// Whether the client was fresh, resumed or reset when the subscription was opened. On a hub with a log, or with
    /// patterns over thousands of topics, or [`History::Last`](crate::History::Last) of thousands of events with a filter, this may
    /// be [`Pending`](Status::Pending) until the stream's first event.
    pub fn status(&self) -> Status {
        self.status
    }

    /// How many topics and patterns it has: a transport that ends many streams needs as much time.
    pub fn topic_count(&self) -> usize {
        self.feed().topics.len()
    }

    /// Whether a topic keeps only the newest event of each key: what waits for the client in the kernel may be superseded
    /// meanwhile, so a transport keeps little there.
    pub fn is_latest_per_key(&self) -> bool {
        self.feed().is_latest()
    }

    fn span(&self) -> Option<Id> {
        Attached::span(self.attached.as_deref())
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    #[cfg(test)]
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Whether everything up to this offset was delivered, and nothing else is due.
    pub(crate) fn is_caught_up_to(&self, offset: u64) -> bool {
        self.cursor.offset == offset
            && self.is_in_band()
            && !self.ended
            && !self.has_rest
            && !self.holds_back()
    }

    /// Whether there is nothing to be sent that is not in the topics' logs.
    pub(crate) fn is_in_band(&self) -> bool {
        self.out_of_band.as_ref().is_none_or(|out_of_band| out_of_band.is_only_asking())
    }

    /// Whether an event after this offset was delivered.
    pub(crate) fn is_ahead_of(&self, offset: u64) -> bool {
        self.cursor.offset > offset
    }

    /// Records events that a cohort has read and the transport has delivered for this subscription. They end at
    /// offset `to`; the clock was read at `at`.
    pub(crate) fn mark_sent(
        &mut self,
        bytes: usize,
        events: usize,
        position: Option<u64>,
        to: u64,
        at: u64,
    ) {
        self.cursor.offset = to;
        self.client.sent(bytes, events, position);
        self.client.heartbeat.on_write_at(at);
    }

    pub(super) fn rights(&mut self) -> Option<&mut Rights> {
        self.attached.as_mut()?.rights.as_deref_mut()
    }

    /// Moves the cursor.
    fn seek(&mut self, start: StartPoint) {
        let StartPoint { cursor, starts_after, replay, .. } = start;
        // Its tickets in the wait lists are of where it was.
        self.rejoin = Rejoin::All;
        self.waited = 0;
        if replay.is_some() {
            self.cursor = Cursor { offset: cursor.joined, ..cursor };
            self.out_of_band().replay = replay;
            self.need_replay();
            return;
        }
        self.cursor = cursor;
        if self.topic_cursors.is_empty() && starts_after.is_some() {
            self.topic_cursors = TopicCursor::for_each_of(&self.feed().topics);
        }
        let mut offsets = starts_after.iter().flat_map(|offsets| offsets.iter().copied());
        for topic_cursor in &mut self.topic_cursors {
            topic_cursor.starts_after = offsets.next().unwrap_or_default();
        }
    }

    /// The next event is not in the topics' logs any more: the hub's log may have it, or the logs of a pattern's topics.
    fn on_overrun(&mut self, reason: ResetReason) {
        match self.shared.head().replica {
            Some(history) if self.cursor.offset >= history.began => {
                self.read_log(LogStart::AfterClaim(self.client.position()), history.began, None);
            }
            Some(_) => self.reset(ResetReason::Unknown),
            None => {
                // A change of its topics is made when it has come there.
                let head = self.head_before_change();
                let question = Question::AfterOffset(self.cursor.offset, reason);
                self.look_back(question, head, Ready::default());
            }
        }
    }

    /// The logs of a pattern's topics have lost what was being read there.
    fn on_past_lost(&mut self, reason: ResetReason) {
        match &self.shared.replication {
            Some(_) => self.on_overrun(reason),
            None => self.reset(reason),
        }
    }

    /// The client has missed something that is gone: begins again with what there is.
    ///
    /// A client that is sent no status cannot be told in mid-stream: its stream ends with an error.
    fn reset(&mut self, reason: ResetReason) {
        if !self.sends_status && self.status != Status::Pending {
            self.shared.counters.streams_untold.add();
            return self.fail(StreamError::reset(reason));
        }
        let has_snapshot = self.attached.as_ref().is_some_and(|it| it.snapshot.is_some());
        let head = self.head();
        if let Some(out_of_band) = &mut self.out_of_band {
            // It is sent that, too, and all that it was about to be sent.
            out_of_band.added.clear();
            (out_of_band.look_back, out_of_band.catch_up) = (None, None);
        }
        self.drop_replay();
        let question = Question::BeginAgain { reason, has_snapshot };
        self.look_back(question, head, Ready::default());
    }
}

impl Stream for Subscription {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_body(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.heartbeat.stop();
        self.abandon_changes();
        self.feed().stop_waiting(&self.topic_cursors);
        self.shared.unsubscribe_as(&self.feed().topics, self.is_listed);
        // When the registry is empty, no topic counts a subscriber any more.
        if self.is_listed {
            let client_key = self.attached.as_ref().and_then(|it| it.client_key.as_ref());
            self.shared.registry.leave(&self.client, client_key);
            self.shared.on_stream_gone();
            self.shared.note_presence(&self.client);
            let (bytes, events) = self.client.sent_so_far();
            tell!(DEBUG, &self.client, self.span(), bytes, events, "stream ended");
        }
    }
}
