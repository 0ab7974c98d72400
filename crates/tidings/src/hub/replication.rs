use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::task::Waker;

use super::pages::Pages;
use super::publish;
use super::sequencer::Kind;
use super::shared::Shared;
use crate::backend::record;
use crate::backend::{Append, Appended, Log, LogError, Origin, Record, RecordError};
use crate::clock;
use crate::cluster::{self, Content};
use crate::encode;
use crate::event::Event;
use crate::log::{Floor, TopicLog};
use crate::subscription::status::ResetReason;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{HashMap, Mutex};
use crate::timers::{Timed, TimerSlot};
use crate::topic::{Topic, TopicPattern};
use crate::waking::{self, Waiter, Waiters};

/// What a hub has besides if it is the replica of a log.
#[derive(Debug)]
pub(crate) struct Replication {
    pub(crate) log: Arc<dyn Log>,
    history_began: AtomicU64,
    /// Up to here the log had been filled when the replica began.
    end: AtomicU64,
    /// The newest position that a publication of this node was acknowledged with, in the present history.
    acknowledged: AtomicU64,
    pub(crate) pages: Pages,
    /// Those who wait for something else than the next event of their topics, by their addresses.
    bystanders: Mutex<HashMap<usize, Arc<dyn Waiter>>>,
    has_bystanders: AtomicBool,
    /// Publications of this node that the log has acknowledged and not delivered yet, by position.
    unseen: Mutex<BTreeMap<(u64, u64), Waker>>,
    /// Counts the occasions at which what has failed is tried again.
    occasions: AtomicU64,
    link: Mutex<Link>,
    pub(crate) cluster: cluster::State,
    tick: Arc<Tick>,
}

/// What the log says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    /// Why it is down. Before the log has said anything, it is neither down nor up.
    pub(crate) down: Option<String>,
    pub(crate) is_up: bool,
    /// When that changed, in milliseconds of the hub's clock.
    pub(crate) since: u64,
    /// When the replica last had everything.
    pub(crate) caught_up: Option<u64>,
    pub(crate) rejected: u64,
    /// The last thing that was rejected, and why.
    pub(crate) last_rejected: Option<String>,
}

impl Replication {
    pub(super) fn new(log: Arc<dyn Log>, shared: Weak<Shared>) -> Self {
        Self {
            log,
            history_began: AtomicU64::new(0),
            end: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            pages: Pages::default(),
            bystanders: Mutex::default(),
            has_bystanders: AtomicBool::new(false),
            unseen: Mutex::default(),
            occasions: AtomicU64::new(0),
            link: Mutex::default(),
            cluster: cluster::State::new(),
            tick: Arc::new(Tick { slot: TimerSlot::new(), shared }),
        }
    }

    pub(crate) fn link(&self) -> Link {
        self.link.lock().clone()
    }

    pub(super) fn timer(&self) -> &TimerSlot {
        &self.tick.slot
    }

    /// Where news begins: before the replica has reached this position, it has nothing but history.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Where news begins for topics that are not followed: what this node has published there before is
    /// none, though the replica need not have come so far.
    pub(crate) fn end_of_unfollowed(&self) -> u64 {
        self.end().max(self.acknowledged.load(Ordering::Acquire))
    }

    /// The offset at which the present history began: a cursor before it stands in another.
    pub(crate) fn history_began(&self) -> u64 {
        self.history_began.load(Ordering::Acquire)
    }

    /// Has somebody woken when anything comes from the log. Whoever calls this has to look once more
    /// behind it.
    pub(crate) fn stand_by<W: Waiter + 'static>(&self, waiter: &Arc<W>) {
        let mut bystanders = self.bystanders.lock();
        bystanders.insert(Arc::as_ptr(waiter).addr(), waiter.clone());
        self.has_bystanders.store(true, Ordering::Release);
    }

    /// Has a waker woken when the replica has reached a position. `number` tells apart who waits for the
    /// same one; the caller has to look once more behind this.
    pub(super) fn wait_for(&self, position: u64, number: u64, waker: &Waker) {
        self.unseen.lock().insert((position, number), waker.clone());
    }

    pub(super) fn stop_waiting_for(&self, position: u64, number: u64) {
        let waker = self.unseen.lock().remove(&(position, number));
        drop(waker);
    }

    /// The replica has reached a position.
    fn call_reached(&self, position: u64) {
        let mut unseen = self.unseen.lock();
        if !unseen.is_empty() {
            let rest = unseen.split_off(&(position.saturating_add(1), 0));
            let reached = std::mem::replace(&mut *unseen, rest);
            drop(unseen);
            reached.into_values().for_each(Waker::wake);
        }
        self.call_bystanders();
    }

    fn call_bystanders(&self) {
        if !self.has_bystanders.load(Ordering::Acquire) {
            return;
        }
        let mut bystanders = self.bystanders.lock();
        self.has_bystanders.store(false, Ordering::Release);
        let called = std::mem::take(&mut *bystanders);
        drop(bystanders);
        let mut waiters = Waiters::new();
        for (_, waiter) in called {
            waiters.insert(waiter);
        }
        waking::wake(waiters);
    }

    /// The number of the occasion that has passed: see [`Tick`].
    pub(crate) fn occasion(&self) -> u64 {
        self.occasions.load(Ordering::Acquire)
    }

    fn next_occasion(&self) {
        self.occasions.fetch_add(1, Ordering::AcqRel);
        // Those who wait for a position give up after a while.
        let unseen = std::mem::take(&mut *self.unseen.lock());
        unseen.into_values().for_each(Waker::wake);
        self.call_bystanders();
    }
}

impl Shared {
    /// Begins to follow a log. The hub has just been made, and nobody has seen it.
    pub(super) fn follow(&self, replication: &Replication, start: impl FnOnce() -> Origin) {
        // Held, so that what is delivered from now on waits until it is known what it is a part of.
        let mut sequencer = self.sequencer.lock();
        let Origin { epoch, position, end } = start();
        replication.end.store(end, Ordering::Release);
        sequencer.epoch = epoch;
        sequencer.position = position;
        self.topics.forget(Floor { offset: 0, position, reason: ResetReason::Trimmed });
        drop(sequencer);
        replication.link.lock().since = self.clock.now();
        self.clock.schedule(&replication.tick, self.clock.now() + Tick::INTERVAL);
    }

    /// Notes that a publication of this node is in the log. Returns whether it is in the history that the
    /// hub knows.
    pub(super) fn acknowledged(&self, replication: &Replication, appended: &Appended) -> bool {
        let sequencer = self.sequencer.lock();
        if sequencer.epoch != appended.epoch {
            return false;
        }
        replication.acknowledged.fetch_max(appended.position, Ordering::AcqRel);
        true
    }

    pub(crate) fn deliver(&self, record: Record) {
        let Some(replication) = &self.replication else { return };
        let Record { position, at, topic, event } = record;
        let body = encode::fields_without_id(&event, publish::ID_ROOM);
        let limit = self.defaults.max_event_bytes;
        if body.len() > limit {
            let cause = format!("is {} bytes as encoded, over the limit of {limit}", body.len());
            return self.rejected(position, &RecordError::new("event", cause));
        }
        // How old it is by the wall clock, which may have been set; never from the future.
        let age = clock::unix_millis().saturating_sub(at);
        let at = self.clock.now().saturating_sub(age);
        // The only error is that the hub is closed, and its streams end.
        let _ = publish::append(self, &topic, body, Kind::Placed { position, at });
        replication.call_reached(position);
    }

    /// Hands an ephemeral event to the other nodes.
    pub(super) fn share_ephemeral(&self, topic: &Topic, event: &Event) {
        if self.replication.as_ref().is_some_and(|replication| replication.log.is_shared()) {
            let append = Append { topic: topic.clone(), event: event.clone(), key: None };
            let fields = append.fields().map(|(name, value)| (name.to_owned(), value)).collect();
            self.signal(Content::Ephemeral { fields });
        }
    }

    /// Takes an ephemeral event of another node.
    pub(crate) fn deliver_ephemeral(&self, fields: &[(String, String)]) {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let Ok((topic, event)) = record::read(fields) else { return };
        if self.topics.is_known(&topic) {
            let body = encode::fields_without_id(&event, 0);
            let _ = publish::append(self, &topic, body, Kind::Ephemeral);
        }
    }

    pub(crate) fn reached(&self, position: u64) {
        let Some(replication) = &self.replication else { return };
        let mut sequencer = self.sequencer.lock();
        sequencer.position = sequencer.position.max(position);
        drop(sequencer);
        replication.call_reached(position);
    }

    pub(crate) fn rejected(&self, position: u64, error: &RecordError) {
        let Some(replication) = &self.replication else { return };
        let mut link = replication.link.lock();
        link.rejected += 1;
        link.last_rejected = Some(format!("position {position}: {error}"));
        drop(link);
        self.reached(position);
    }

    /// Begins anew behind a hole, or in another history.
    pub(crate) fn restart(&self, origin: Origin) {
        let Some(replication) = &self.replication else { return };
        let mut sequencer = self.sequencer.lock();
        // An offset of its own, behind which nobody stands yet: so everybody will notice.
        sequencer.offset += 1;
        let offset = sequencer.offset;
        let reason = if sequencer.epoch == origin.epoch {
            sequencer.position = sequencer.position.max(origin.position);
            ResetReason::Trimmed
        } else {
            sequencer.epoch = origin.epoch;
            sequencer.position = origin.position;
            replication.history_began.store(offset, Ordering::Release);
            replication.acknowledged.store(0, Ordering::Release);
            ResetReason::Unknown
        };
        let floor = Floor { offset, position: sequencer.position, reason };
        replication.end.store(origin.end, Ordering::Release);
        // First for topics that come into being meanwhile.
        self.topics.forget(floor);
        let logs = self.topics.all();
        let floor = self.topics.first_floor(floor);
        let waiting: Vec<_> = logs.iter().map(|log| sequencer.empty(log, floor)).collect();
        // Last: who knows of the new offset must find every topic emptied.
        self.watermark.store(offset, Ordering::Release);
        self.remove_vacant(&mut sequencer, logs);
        drop(sequencer);
        waiting.into_iter().for_each(waking::wake);
        replication.next_occasion();
    }

    pub(crate) fn followed<'a>(
        &self,
        topics: impl IntoIterator<Item = (&'a TopicPattern, u64)>,
        position: u64,
    ) {
        let Some(replication) = &self.replication else { return };
        let mut sequencer = self.sequencer.lock();
        sequencer.position = sequencer.position.max(position);
        sequencer.offset += 1;
        let offset = sequencer.offset;
        // Who has subscribed meanwhile may have missed something, and looks into the log.
        let floor = Floor { offset, position: sequencer.position, reason: ResetReason::Trimmed };
        let is_wanted =
            |log: &TopicLog, interest| log.id == interest && log.lock().floor.is_unfollowed();
        let logs = topics.into_iter().filter_map(|(name, interest)| {
            self.topics.find(name).filter(|log| is_wanted(log, interest))
        });
        let logs: Vec<_> = logs.collect();
        let waiting: Vec<_> = logs.iter().map(|log| sequencer.empty(log, floor)).collect();
        self.watermark.store(offset, Ordering::Release);
        drop(sequencer);
        waiting.into_iter().for_each(waking::wake);
        replication.call_bystanders();
    }

    pub(crate) fn link_caught_up(&self) {
        let Some(replication) = &self.replication else { return };
        replication.link.lock().caught_up = Some(self.clock.now());
    }

    pub(crate) fn link_changed(&self, link: Result<(), &LogError>) {
        let Some(replication) = &self.replication else { return };
        let mut known = replication.link.lock();
        if known.is_up != link.is_ok() {
            known.since = self.clock.now();
        }
        known.is_up = link.is_ok();
        known.down = link.err().map(ToString::to_string);
        drop(known);
        replication.next_occasion();
    }
}

/// The regular occasion to try again what has failed: a log may be slow, and say nothing.
#[derive(Debug)]
struct Tick {
    slot: TimerSlot,
    shared: Weak<Shared>,
}

impl Tick {
    /// Milliseconds.
    const INTERVAL: u64 = 1_000;
}

impl Timed for Tick {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, now: u64) -> Option<u64> {
        let shared = self.shared.upgrade()?;
        shared.replication.as_ref()?.next_occasion();
        shared.tell_cluster();
        Some(now + Self::INTERVAL)
    }
}
