//! Reading what a client missed from the hub's log, where memory does not reach back so far.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Subscription;
use super::apart::{Next, Ready};
use super::history::{self, Beginning, History};
use super::status::{ResetReason, Status};
use crate::backend::{Epoch, LogErrorKind, Read, Receiver, Reply, Start};
use crate::hub::pages::{EncodedPage, Reading};
use crate::hub::replication::Replication;
use crate::hub::shared::{Present, Shared};
use crate::log::TopicLog;
use crate::registry::Client;

/// A subscription that stands somewhere behind what the hub has in memory, or before what it has yet.
///
/// It reads page after page from the log, and after each of them looks whether memory has what follows.
/// No page reaches beyond the hub's present, so there is a place where the two meet.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// What the client is to be told as soon as it is known to be so.
    announce: Option<Status>,
    start: Start,
    /// When the history began that `start` is a part of.
    began: u64,
    /// The client's place lies before the hub's present, but it is one that the log has reached.
    is_ahead: bool,
    step: Step,
    /// The occasion since which the hub is closing.
    closing: Option<u64>,
}

#[derive(Debug)]
enum Step {
    Look,
    /// For the log's end.
    Asking(Receiver<u64>),
    /// For a page of this history.
    Reading(Epoch, Reading),
    /// A page that was announced, and is to be sent.
    Sending(EncodedPage),
    /// For another occasion than the one with this number.
    Waiting(u64),
}

/// What has come of it.
pub(super) enum Progress {
    /// How the client stands is known; there is more to come.
    Announce(Announce),
    /// Some events, perhaps none.
    Page(EncodedPage),
    /// Memory has the rest.
    Arrived(Beginning, Option<Announce>),
    /// The log has not got all of it.
    Reset(ResetReason),
}

/// To be said before what follows.
pub(super) struct Announce {
    pub(super) status: Status,
    pub(super) position: u64,
    pub(super) epoch: Epoch,
}

impl CatchUp {
    /// A page of the log, in bytes of data.
    const PAGE_BYTES: usize = 256 * 1024;

    /// Goes on behind a position of the history that began at an offset.
    pub(super) fn after(position: u64, began: u64, announce: Option<Status>) -> Box<Self> {
        Self::from(Start::After(position), began, announce)
    }

    /// Begins fresh behind a position that the replica is going to reach.
    pub(super) fn from_news(position: u64, began: u64) -> Box<Self> {
        let mut this = Self::after(position, began, Some(Status::Fresh));
        this.is_ahead = true;
        this
    }

    /// Begins with what the log retains of these topics. As much as `history` says, and no more than
    /// their retention would keep in memory; of a family, as of one topic.
    pub(super) fn retained(
        history: History,
        (shared, topics): (&Shared, &[Arc<TopicLog>]),
        began: u64,
        status: Status,
    ) -> Box<Self> {
        let (mut count, mut age) = (0, 0);
        for topic in topics {
            let retention = shared.topics.retention_of(&topic.name);
            count = retention.events.saturating_add(count);
            age = retention.age_millis().max(age);
        }
        match history {
            History::None => count = 0,
            History::All => {}
            History::Last(last) => count = count.min(last),
            History::Within(within) => {
                age = age.min(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
            }
        }
        let since = crate::clock::unix_millis().saturating_sub(age);
        Self::from(Start::Newest { count, since }, began, Some(status))
    }

    fn from(start: Start, began: u64, announce: Option<Status>) -> Box<Self> {
        Box::new(Self { announce, start, began, is_ahead: false, step: Step::Look, closing: None })
    }

    /// Whether a hub that is closing should wait for this no longer: the log does not answer.
    pub(super) fn is_hopeless(&mut self, replication: &Replication) -> bool {
        let since = *self.closing.get_or_insert(replication.occasion());
        matches!(self.step, Step::Waiting(_)) || replication.occasion() > since + 1
    }

    /// `client.pulse` has the waker of `cx`.
    pub(super) fn poll(
        &mut self,
        shared: &Shared,
        replication: &Replication,
        client: &Arc<Client>,
        cx: &mut Context<'_>,
    ) -> Poll<Progress> {
        loop {
            match &mut self.step {
                Step::Look => {
                    if let Poll::Ready(progress) = self.look(shared, replication, client) {
                        return Poll::Ready(progress);
                    }
                    if let Step::Look = self.step {
                        return Poll::Pending;
                    }
                }
                Step::Asking(end) => {
                    let end = std::task::ready!(Pin::new(end).poll(cx));
                    self.step = Step::Look;
                    match (end, self.start) {
                        // Nobody was ever there.
                        (Ok(end), Start::After(position)) if position > end => {
                            return Poll::Ready(Progress::Reset(ResetReason::Unknown));
                        }
                        (Ok(_), _) => self.is_ahead = true,
                        (Err(_), _) => self.step = Step::Waiting(replication.occasion()),
                    }
                }
                Step::Reading(epoch, page) => {
                    let epoch = epoch.clone();
                    let page = std::task::ready!(Pin::new(page).poll(cx));
                    self.step = Step::Look;
                    match page {
                        Ok(page) if page.epoch == epoch => {
                            self.start = Start::After(page.to);
                            let (position, status) = (page.from, self.announce.take());
                            self.step = Step::Sending(page);
                            if let Some(status) = status {
                                let announce = Announce { status, position, epoch };
                                return Poll::Ready(Progress::Announce(announce));
                            }
                        }
                        Err(LogErrorKind::Trimmed) => {
                            return Poll::Ready(Progress::Reset(ResetReason::Trimmed));
                        }
                        // The link will be back, or the hub will learn of the other history.
                        _ => self.step = Step::Waiting(replication.occasion()),
                    }
                }
                Step::Sending(page) => {
                    let page = page.clone();
                    self.step = Step::Look;
                    return Poll::Ready(Progress::Page(page));
                }
                Step::Waiting(since) => {
                    let since = *since;
                    replication.stand_by(client);
                    if replication.occasion() == since {
                        return Poll::Pending;
                    }
                    self.step = Step::Look;
                }
            }
        }
    }

    /// Looks whether the hub has what follows, and asks the log if it has not.
    fn look(
        &mut self,
        shared: &Shared,
        replication: &Replication,
        client: &Arc<Client>,
    ) -> Poll<Progress> {
        // First, so that nothing that happens behind the look is missed.
        replication.stand_by(client);
        let Present { mark: now, epoch, began } = shared.present();
        if began != self.began {
            return Poll::Ready(Progress::Reset(ResetReason::Unknown));
        }
        let topics = &client.feed.topics;
        // What is not followed yet would only have to be read again.
        if topics.iter().any(|topic| topic.lock().floor.is_unfollowed()) {
            return Poll::Pending;
        }
        if let Start::Newest { .. } = self.start {
            if now.position < replication.end() {
                return Poll::Pending;
            }
        }
        if let Start::After(position) = self.start {
            if position > now.position {
                if !self.is_ahead {
                    let (reply, end) = Reply::new();
                    replication.log.end(reply);
                    self.step = Step::Asking(end);
                }
                return Poll::Pending;
            }
            let past = shared.topics.past_of(topics);
            if let Ok(beginning) = history::resumed(past, Some(position), now) {
                let announce = self.announce.take();
                let announce = announce.map(|status| Announce { status, position, epoch });
                return Poll::Ready(Progress::Arrived(beginning, announce));
            }
        }
        let read = Read {
            topics: topics.iter().map(|log| log.name.clone()).collect(),
            start: self.start,
            to: now.position,
            max_bytes: Self::PAGE_BYTES,
        };
        let asked = || shared.counters.read_log();
        let page = replication.pages.read(read, &*replication.log, asked);
        self.step = Step::Reading(epoch, page);
        Poll::Pending
    }
}

impl Subscription {
    /// Has what is in the hub's log read first, if there is any need to.
    pub(super) fn catch_up(&mut self, catch_up: Option<Box<CatchUp>>) {
        if catch_up.is_some() {
            self.apart().catch_up = catch_up;
        }
    }

    /// The next event is not in memory any more. The hub's log may have it.
    pub(super) fn fall_off(&mut self, reason: ResetReason) {
        let began = self.shared.replication.as_ref().map(|log| log.history_began());
        match began {
            None if self.go_back() => {}
            None => self.restart(reason),
            Some(began) if self.cursor.offset >= began => {
                let position = self.client.position();
                self.apart().catch_up = Some(CatchUp::after(position, began, None));
            }
            Some(_) => self.restart(ResetReason::Unknown),
        }
    }

    /// Reads on in the hub's log. `None` when something else is next.
    pub(super) fn poll_catch_up(
        &mut self,
        mut catch_up: Box<CatchUp>,
        closing: bool,
        cx: &mut Context<'_>,
    ) -> Option<Next> {
        let shared = self.shared.clone();
        let replication = shared.replication.as_ref()?;
        self.client.pulse.register(cx.waker());
        let Poll::Ready(progress) = catch_up.poll(&shared, replication, &self.client, cx) else {
            // The client comes back, here or elsewhere.
            if closing && catch_up.is_hopeless(replication) {
                self.ended = true;
                return Some(Next::Send(None));
            }
            self.apart().catch_up = Some(catch_up);
            return Some(Next::Making);
        };
        let announce = match progress {
            Progress::Reset(reason) => {
                self.restart(reason);
                return None;
            }
            Progress::Page(EncodedPage { bytes, events, to, .. }) => {
                self.apart().catch_up = Some(catch_up);
                self.client.count(bytes.len(), events, Some(to));
                if bytes.is_empty() {
                    return None;
                }
                self.client.pulse.wrote();
                return Some(Next::Send(Some(Ok(bytes))));
            }
            Progress::Announce(announce) => {
                self.apart().catch_up = Some(catch_up);
                Some(announce)
            }
            Progress::Arrived(beginning, announce) => {
                self.client.count(0, 0, Some(beginning.position));
                self.go_to(beginning);
                announce
            }
        };
        let mut ready = Ready::default();
        if let Some(announce) = announce {
            self.announce(announce, false, &mut ready);
        }
        if !ready.bytes.is_empty() {
            self.apart().ready = Some(ready);
        }
        None
    }
}
