//! Reading what a client missed from the hub's log, where memory does not reach back so far.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::beginning::{LogStart, Whole};
use super::look_back::{Answer, LookBack, PendingLook, Question};
use super::out_of_band::{Announcement, NextStep};
use super::start_point::StartPoint;
use super::{Ready, Subscription};
use crate::backend::{Epoch, LogError, LogErrorKind, Read, Receiver, Reply, Start};
use crate::client::Client;
use crate::clock;
use crate::heartbeat::timer::Call;
use crate::hub::journal::Head;
use crate::hub::pages::{EncodedPage, Ends, Reading};
use crate::hub::replication::Replication;
use crate::hub::shared::Shared;
use crate::log::feed::Feed;
use crate::log::filtered::filter_of;
use crate::log::reset_reason::ResetReason;
use crate::status::Status;
use crate::telling::tell;

/// A subscription that is further back than the hub's memory reaches, or ahead of it.
///
/// It reads page after page from the log, and looks after each whether memory has what follows. No page reaches past
/// the hub's head, so there is a position at which the two meet.
///
/// When the stream's topics are to change, it reads on in the log up to where the change is due.
#[derive(Debug)]
pub(super) struct CatchUp {
    replication: Arc<Replication>,
    /// The client's status, which is announced as soon as it is certain.
    announce: Option<Status>,
    /// That is, or was, a reset.
    is_reset: bool,
    start: Start,
    /// Up to where the newest events are read, if not up to the head.
    to: Option<u64>,
    /// When it is all that a fresh client has asked for.
    whole: Whole,
    is_complete: bool,
    /// Looks first where these begin.
    newest_passing: Option<NewestPassing>,
    /// The offset at which the history began that `start` is of.
    began: u64,
    /// The log has reached the position at which the client is.
    is_reached: bool,
    /// The topics whose last events were read.
    ends: Ends,
    state: CatchUpState,
    /// Since the stream is to end.
    closing: Option<Closing>,
}

/// A stream is sent what was published until it was told to end, as long as the log gives that.
#[derive(Debug)]
struct Closing {
    /// The newest position that the hub knew of when it was told.
    end: u64,
    /// The retry generation since which it waits for the log. `None`: what came is its client's to take, in its time.
    since: Option<u64>,
}

/// The newest events that pass the client's filter, at most so many: how many events of the log these are is only known when
/// they were looked through.
#[derive(Debug)]
struct NewestPassing {
    count: usize,
    /// Where the look begins.
    start: Start,
    /// Where it ends, since it began to look.
    end: u64,
    /// Of those that were found.
    positions: VecDeque<u64>,
}

#[derive(Debug)]
enum CatchUpState {
    /// Looks whether memory has what follows.
    Look,
    /// The look takes long.
    LookBack(PendingLook),
    /// Asks for the log's end.
    AskEnd(Receiver<u64>),
    /// Reads a page of this history.
    ReadPage(Epoch, Reading),
    /// Sends a page whose status was announced.
    SendPage(EncodedPage),
    /// Waits for another retry generation than this.
    WaitForRetry(u64),
}

pub(super) enum Progress {
    /// The stream's topics change here, at a position, before it looks further.
    ChangeTopics(u64),
    /// The client's status is certain; there is more to come.
    Announce(Announcement),
    /// Some events, perhaps none.
    Page(EncodedPage),
    /// Memory has the rest.
    Arrived(StartPoint, Option<Announcement>),
    /// The log does not have all of it.
    Reset(ResetReason),
}

impl CatchUp {
    /// A page of the log, in bytes of data.
    const PAGE_BYTES: usize = 256 * 1024;

    /// `began` is the offset at which the history began.
    pub(super) fn new(
        replication: Arc<Replication>,
        start: LogStart,
        began: u64,
        announce: Option<Status>,
    ) -> Box<Self> {
        let is_reached = matches!(start, LogStart::After(_));
        let (to, whole, passing) = match start {
            LogStart::Newest { to, whole, passing, .. } => (to, whole, passing),
            _ => (None, Whole::All, None),
        };
        let start = match start {
            LogStart::AfterClaim(position) | LogStart::After(position) => Start::After(position),
            LogStart::Newest { count, age, .. } => {
                Start::Newest { count, since: clock::unix_millis().saturating_sub(age) }
            }
        };
        let positions = VecDeque::new();
        let newest_passing = passing.map(|count| NewestPassing { count, start, end: 0, positions });
        Box::new(Self {
            replication,
            announce,
            is_reset: matches!(announce, Some(Status::Reset(_))),
            start,
            to,
            whole,
            is_complete: true,
            newest_passing,
            began,
            is_reached,
            ends: Ends::new(),
            state: CatchUpState::Look,
            closing: None,
        })
    }

    /// Whether a stream that is to end has what was published until it was told that.
    fn has_the_rest(&mut self, shared: &Shared) -> bool {
        let closing = self.closing.get_or_insert_with(|| {
            let end = shared.head().newest_known();
            Closing { end, since: None }
        });
        closing.since.get_or_insert(self.replication.retry_generation());
        let is_there = matches!(self.start, Start::After(position) if position >= closing.end);
        is_there && self.announce.is_none() && matches!(self.state, CatchUpState::Look)
    }

    /// Something has come: the log gives something, and its client may take it in its time.
    fn has_come(&mut self) {
        if let Some(closing) = &mut self.closing {
            closing.since = None;
        }
    }

    /// Whether a stream that is to end should wait for this no longer: the log does not answer.
    fn is_hopeless(&self) -> bool {
        let since = self.closing.as_ref().and_then(|closing| closing.since);
        let Some(since) = since else { return false };
        matches!(self.state, CatchUpState::WaitForRetry(_))
            || self.replication.retry_generation() > since + 1
    }

    /// `client.heartbeat` has the waker of `cx`. `is_listed`: whether it is a client's, and not the application's.
    fn poll(
        &mut self,
        shared: &Arc<Shared>,
        (client, is_listed): (&Arc<Client>, bool),
        feed: &Arc<Feed>,
        cx: &mut Context<'_>,
    ) -> Poll<Progress> {
        loop {
            match &mut self.state {
                CatchUpState::Look => {
                    if let Poll::Ready(progress) = self.look(shared, client, feed) {
                        return Poll::Ready(progress);
                    }
                    if let CatchUpState::Look = self.state {
                        return Poll::Pending;
                    }
                }
                CatchUpState::LookBack(look) => {
                    let Some(outcome) = look.take() else { return Poll::Pending };
                    self.state = CatchUpState::Look;
                    let Ok((answer, head)) = outcome else {
                        self.wait_for_retry();
                        continue;
                    };
                    if let Poll::Ready(progress) = self.looked(answer, head, shared, feed, client) {
                        return Poll::Ready(progress);
                    }
                }
                CatchUpState::AskEnd(end) => {
                    let end = std::task::ready!(Pin::new(end).poll(cx));
                    self.state = CatchUpState::Look;
                    match (end, self.start) {
                        // The log has never reached it.
                        (Ok(end), Start::After(position)) if position > end => {
                            return Poll::Ready(Progress::Reset(ResetReason::Unknown));
                        }
                        (Ok(_), _) => self.is_reached = true,
                        (Err(_), _) => self.wait_for_retry(),
                    }
                }
                CatchUpState::ReadPage(epoch, page) => {
                    let (epoch, to) = (epoch.clone(), page.to());
                    let page = std::task::ready!(Pin::new(page).poll(cx));
                    self.state = CatchUpState::Look;
                    match page {
                        Ok(page) if page.epoch == epoch => {
                            self.has_come();
                            if self.look_through(&page) {
                                continue;
                            }
                            let is_fresh = self.announce == Some(Status::Fresh);
                            let is_newest = matches!(self.start, Start::Newest { .. });
                            if is_fresh && is_newest {
                                self.is_complete = self.whole.is_reached(page.reach);
                            }
                            let is_complete = self.is_complete;
                            self.start = Start::After(page.to);
                            self.ends.clone_from(&page.ends);
                            let (position, status) = (page.from, self.announce.take());
                            self.state = CatchUpState::SendPage(page);
                            if let Some(status) = status {
                                let announcement =
                                    Announcement { status, position, epoch, is_complete };
                                return Poll::Ready(Progress::Announce(announcement));
                            }
                        }
                        // The hub will learn of the other history.
                        Ok(_) => self.wait_for_retry(),
                        Err(error) => {
                            if self.has_lost(&error, to, client, is_listed) {
                                return Poll::Ready(Progress::Reset(ResetReason::Trimmed));
                            }
                        }
                    }
                }
                CatchUpState::SendPage(page) => {
                    let page = page.clone();
                    self.state = CatchUpState::Look;
                    return Poll::Ready(Progress::Page(page));
                }
                CatchUpState::WaitForRetry(since) => {
                    let since = *since;
                    self.replication.wait_for_progress(client);
                    if self.replication.retry_generation() == since {
                        return Poll::Pending;
                    }
                    self.state = CatchUpState::Look;
                }
            }
        }
    }

    /// Looks for the newest events that pass the client's filter, if that is to be done first: then this page is not sent.
    fn look_through(&mut self, page: &EncodedPage) -> bool {
        let Some(newest) = &mut self.newest_passing else { return false };
        newest.positions.extend(page.positions.iter());
        let excess = newest.positions.len().saturating_sub(newest.count);
        newest.positions.drain(..excess);
        self.start = Start::After(page.to);
        self.ends.clone_from(&page.ends);
        if page.to >= newest.end {
            let found = newest.positions.front().filter(|_| newest.positions.len() == newest.count);
            self.start = match found {
                Some(first) => Start::After(first - 1),
                None if newest.count == 0 => self.start,
                None => newest.start,
            };
            self.newest_passing = None;
            self.ends.clear();
        }
        true
    }

    /// The log could not read a page up to a position: whether the client has missed what was to be in it. If not, it is
    /// read again, or passed over.
    fn has_lost(&mut self, error: &LogError, to: u64, client: &Client, is_listed: bool) -> bool {
        let is_newest = matches!(self.start, Start::Newest { .. });
        if error.kind() == LogErrorKind::Trimmed {
            // Of the newest events none can be missed: the hub will learn of the other history.
            if is_newest {
                self.wait_for_retry();
            }
            return !is_newest;
        }
        if self.replication.is_news(error) {
            tell!(WARN, client, None, reason = %error, "hub's log cannot be read");
        }
        // What is damaged remains so. The application gets an error in place of a history with a hole.
        if error.kind() != LogErrorKind::Corrupt || !is_listed {
            self.wait_for_retry();
            return false;
        }
        // A client that was reset for the damage would be reset for it again and again.
        if !is_newest && self.newest_passing.is_none() && !self.is_reset {
            return true;
        }
        self.is_complete &= self.announce != Some(Status::Fresh);
        self.start = Start::After(to);
        self.newest_passing = None;
        self.ends.clear();
        false
    }

    fn wait_for_retry(&mut self) {
        self.state = CatchUpState::WaitForRetry(self.replication.retry_generation());
    }

    /// Looks whether memory has what follows, and asks the log if not.
    fn look(
        &mut self,
        shared: &Arc<Shared>,
        client: &Arc<Client>,
        feed: &Arc<Feed>,
    ) -> Poll<Progress> {
        // First, so that nothing that happens after the look is missed.
        self.replication.wait_for_progress(client);
        let head = shared.head();
        let Some(history) = head.replica.filter(|history| history.began == self.began) else {
            return Poll::Ready(Progress::Reset(ResetReason::Unknown));
        };
        // After that: a change that comes now has a later head.
        let is_changing = client.heartbeat.calls().has(Call::Topics);
        let due = client.outlet.topic_changes().filter(|_| is_changing);
        let due = due.and_then(|changes| changes.next(client)).map(|due| due.after);
        // What is not followed yet would only have to be read again.
        if due.is_none() && !feed.is_followed() {
            return Poll::Pending;
        }
        let mut to = head.position;
        match (self.start, due) {
            (Start::Newest { .. }, _) if head.position < history.end => return Poll::Pending,
            (Start::Newest { .. }, due) => {
                to = due.map_or(to, |due| due.max(history.end));
                if let Some(newest) = &mut self.newest_passing {
                    newest.end = to;
                }
            }
            (Start::After(_), _) if self.newest_passing.is_some() => {
                to = self.newest_passing.as_ref().map_or(to, |newest| newest.end);
            }
            // The client's status is its first event.
            (Start::After(position), Some(due)) if position >= due && self.announce.is_none() => {
                return Poll::Ready(Progress::ChangeTopics(position));
            }
            (Start::After(position), Some(due)) if position <= to || self.is_reached => {
                to = due.max(position);
            }
            (Start::After(position), _) if position > head.position => {
                if !self.is_reached {
                    let (reply, end) = Reply::new();
                    self.replication.log.end(reply);
                    self.state = CatchUpState::AskEnd(end);
                }
                return Poll::Pending;
            }
            (Start::After(position), _) => {
                let question = Question::AfterPosition(position);
                return match LookBack::begin(question, head, shared, (client, feed)) {
                    LookBack::Done(answer, head) => self.looked(answer, head, shared, feed, client),
                    LookBack::Pending(look) => {
                        self.state = CatchUpState::LookBack(look);
                        Poll::Pending
                    }
                };
            }
        }
        self.read_page(head.epoch, to, shared, feed, client);
        Poll::Pending
    }

    /// Goes on in memory, or reads a page of the log if memory does not have what follows.
    fn looked(
        &mut self,
        answer: Answer,
        head: Head,
        shared: &Shared,
        feed: &Feed,
        client: &Arc<Client>,
    ) -> Poll<Progress> {
        let (Answer::GoOn(start), Start::After(position)) = (answer, self.start) else {
            self.read_page(head.epoch, head.position, shared, feed, client);
            return Poll::Pending;
        };
        let (status, epoch) = (self.announce.take(), head.epoch);
        let is_complete = self.is_complete;
        let announcement =
            status.map(|status| Announcement { status, position, epoch, is_complete });
        Poll::Ready(Progress::Arrived(start, announcement))
    }

    /// Asks the log for a page up to a position.
    fn read_page(
        &mut self,
        epoch: Epoch,
        to: u64,
        shared: &Shared,
        feed: &Feed,
        client: &Arc<Client>,
    ) {
        let names = feed.topics.iter().map(|log| &log.name);
        let is_before = |to: &u64| match self.start {
            Start::After(position) => position < *to,
            Start::Newest { .. } => true,
        };
        let read = Read {
            topics: names.cloned().collect(),
            start: self.start,
            to: self.to.filter(is_before).map_or(to, |it| it.min(to)),
            max_bytes: Self::PAGE_BYTES,
        };
        let (pages, asked) = (&self.replication.pages, (read, self.ends.clone()));
        let limit = shared.defaults.max_event_bytes;
        let of_records = (filter_of(&feed.topics).cloned(), &shared.retention, limit);
        let pinned = &shared.pinned;
        let page = pages.read(&epoch, asked, of_records, pinned, client, |read, reply| {
            shared.counters.log_reads.add();
            self.replication.log.read(read, reply);
        });
        // Else it is woken when it is its turn, and looks again.
        if let Some(page) = page {
            self.state = CatchUpState::ReadPage(epoch, page);
        }
    }
}

impl Subscription {
    /// Reads on in the hub's log. `None` when something else is next.
    pub(super) fn poll_catch_up(
        &mut self,
        mut catch_up: Box<CatchUp>,
        closing: bool,
        cx: &mut Context<'_>,
    ) -> Option<NextStep> {
        if closing && catch_up.has_the_rest(&self.shared) {
            return Some(NextStep::End);
        }
        self.client.heartbeat.register(cx.waker());
        let client = (&self.client, self.is_listed);
        let progress = catch_up.poll(&self.shared, client, self.feed(), cx);
        let Poll::Ready(progress) = progress else {
            if closing {
                // This has the stream woken in time.
                catch_up.replication.wait_for_progress(&self.client);
                // The client comes back, here or elsewhere.
                if catch_up.is_hopeless() {
                    return Some(NextStep::End);
                }
            }
            self.out_of_band().catch_up = Some(catch_up);
            return Some(NextStep::Wait);
        };
        catch_up.has_come();
        let announcement = match progress {
            Progress::ChangeTopics(position) => {
                self.out_of_band().catch_up = Some(catch_up);
                self.make_next_change(position);
                return None;
            }
            Progress::Reset(reason) => {
                self.reset(reason);
                return None;
            }
            Progress::Page(EncodedPage { bytes, events, to, .. }) => {
                self.out_of_band().catch_up = Some(catch_up);
                if bytes.is_empty() {
                    self.client.set_position(to);
                    return None;
                }
                return Some(self.send_now(bytes.into(), events, Some(to)));
            }
            Progress::Announce(announcement) => {
                self.out_of_band().catch_up = Some(catch_up);
                Some(announcement)
            }
            Progress::Arrived(start, announcement) => {
                self.on_ends_read(&catch_up.ends);
                self.client.set_position(start.position);
                self.seek(start);
                announcement
            }
        };
        if let Some(announcement) = announcement {
            self.announce(announcement, Ready::default());
        }
        None
    }
}
