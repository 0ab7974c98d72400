use std::sync::{Arc, Weak};
use std::time::Duration;

use super::drain::{Drain, Draining};
use super::journal::effects::Effects;
use super::journal::entry::Entry;
use super::journal::topics::STEP;
use super::journal::{Head, Journal};
use super::published::Published;
use super::replication::Replication;
use super::sources::{Rate, Sources};
use crate::background;
use crate::client::Client;
use crate::clock::Clock;
use crate::cluster::membership::Membership;
use crate::counters::Counters;
use crate::end_reason::{End, EndReason};
use crate::epoch::Epoch;
use crate::error::{FieldError, PublishError, SubscribeErrorCause};
use crate::field::EventId;
use crate::filter::Filter;
use crate::health::{Health, Link};
use crate::heartbeat::Heartbeat;
use crate::last_event_id::LastEventId;
use crate::log::feed::{Coalescing, Feed, Feeds};
use crate::log::retention::RetentionRules;
use crate::log::standing::LastEvent;
use crate::log::tail::Tail;
use crate::log::{TopicLog, TopicState};
use crate::metrics::Metrics;
use crate::pinned::Pinned;
use crate::presence::keeper::Keeper;
use crate::registry::Registry;
use crate::stream_limit::StreamLimits;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::telling::tell;
use crate::timers::{Timed, TimerSlot};
use crate::topic::TopicPattern;

/// What all handles and subscriptions of a hub share.
///
/// Locks are taken in this order: the journal, then topics' logs; more than one of those only under the
/// journal's. Nothing foreign (a backend, a waker, the application) is called while one is held.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) coalescing: Coalescing,
    pub(crate) pinned: Arc<Pinned>,
    /// A thread is ending streams because of what they hold.
    pub(super) is_relieving: AtomicBool,
    pub(crate) journal: Mutex<Journal>,
    pub(super) is_closed: AtomicBool,
    pub(super) is_draining: AtomicBool,
    pub(super) drain: Mutex<Option<Arc<Draining>>>,
    pub(super) sources: Sources,
    /// Streams end with an error.
    pub(super) ends_by_reset: AtomicBool,
    pub(crate) defaults: Defaults,
    pub(crate) retention: Arc<RetentionRules>,
    pub(crate) counters: Counters,
    /// How many streams are about to change their topics.
    pub(crate) changing: AtomicUsize,
    /// Of a hub that is the replica of a log.
    pub(crate) replication: Option<Arc<Replication>>,
    /// Of a hub whose log is shared with other nodes.
    pub(crate) cluster: Option<Membership>,
    /// Of a hub that knows who is on some topics.
    pub(crate) presence: Option<Arc<Keeper>>,
    pub(super) upkeep: Upkeep,
    pub(super) this: Weak<Shared>,
}

/// The settings of subscriptions and events that set none, and their limits.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) heartbeat: Heartbeat,
    pub(crate) retry: Option<Duration>,
    /// Of an encoded event.
    pub(crate) max_event_bytes: usize,
    pub(crate) topics_per_subscription: usize,
    pub(crate) patterns_per_subscription: usize,
    /// How far a hub that is ready may lag behind its log.
    pub(crate) max_lag: Duration,
    pub(crate) snapshot_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) stream_limits: StreamLimits,
    /// How much a source may publish.
    pub(crate) source_rate: Option<Rate>,
    /// The least intervals of topics by pattern: the first rule that matches applies.
    pub(crate) paces: Vec<(TopicPattern, Duration)>,
}

impl Defaults {
    /// The least interval of a topic or pattern, which is matched as text.
    pub(crate) fn pace_of(&self, name: &TopicPattern) -> Duration {
        let rule = self.paces.iter().find(|(pattern, _)| pattern.matches_text(name.as_str()));
        rule.map_or(Duration::ZERO, |(_, interval)| *interval)
    }

    /// The names of a subscription in order, each once, if the hub allows as many.
    pub(crate) fn check_names(
        &self,
        names: Result<Vec<TopicPattern>, FieldError>,
    ) -> Result<Vec<TopicPattern>, SubscribeErrorCause> {
        let mut names = names.map_err(SubscribeErrorCause::Topic)?;
        names.sort();
        names.dedup();
        let patterns = names.iter().filter(|name| name.has_wildcard()).count();
        let topics = names.len() - patterns;
        let (count, limit) = (topics, self.topics_per_subscription);
        if count > limit {
            return Err(SubscribeErrorCause::TooManyTopics { count, limit });
        }
        let (count, limit) = (patterns, self.patterns_per_subscription);
        if count > limit {
            return Err(SubscribeErrorCause::TooManyPatterns { count, limit });
        }
        if names.is_empty() { Err(SubscribeErrorCause::NoTopics) } else { Ok(names) }
    }
}

/// The timer of what a hub does every second: to remove what has expired, while there is anything to expire; and
/// on a log, to try again what has failed, and to tell the other nodes how this one is.
#[derive(Debug)]
pub(super) struct Upkeep {
    slot: TimerSlot,
    is_scheduled: AtomicBool,
}

impl Upkeep {
    /// Milliseconds.
    const INTERVAL: u64 = 1_000;

    /// How many steps a sweep has before others that are due have their turn: tens of milliseconds of work.
    const STEPS: usize = if cfg!(shuttle) { 100 } else { 128 };

    pub(super) fn new() -> Self {
        Self { slot: TimerSlot::new(), is_scheduled: AtomicBool::new(false) }
    }
}

impl Shared {
    pub(crate) fn this(&self) -> Weak<Self> {
        self.this.clone()
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.coalescing.tail
    }

    /// The newest offset that may be read.
    pub(crate) fn watermark(&self) -> u64 {
        self.tail().watermark()
    }

    pub(crate) fn head(&self) -> Head {
        self.journal.lock().head()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.journal.lock().epoch()
    }

    /// See [`Hub::position`](crate::Hub::position).
    pub(crate) fn newest_known(&self) -> EventId {
        let head = self.head();
        head.epoch.id(head.newest_known())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(crate) fn ends_streams_by_reset(&self) -> bool {
        self.ends_by_reset.load(Ordering::Relaxed)
    }

    /// Ends every stream once it has sent what was published until now.
    pub(crate) fn close(&self) {
        self.journal.lock().close();
        self.is_closed.store(true, Ordering::Release);
        self.registry.wake_all();
        self.presence.iter().for_each(|presence| presence.close());
    }

    /// Whether new streams are turned away. A hub that is closed sends them what they missed.
    pub(crate) fn turns_away(&self) -> bool {
        self.is_draining.load(Ordering::Acquire) && !self.is_closed()
    }

    /// Ends every stream, one after the other.
    pub(super) fn drain(&self, over: Duration) -> Drain {
        // Before the streams are listed: one that is not among them finds it.
        self.is_draining.store(true, Ordering::Release);
        self.announce();
        Draining::begin(self, over)
    }

    /// Ends a stream on purpose, when it has sent what was published until now.
    pub(crate) fn end(&self, client: &Client, reason: EndReason) {
        client.end_as(End { until: self.watermark(), ..End::new(reason) });
    }

    /// Whether a source may publish once more, which is then counted.
    pub(crate) fn admit(&self, source: &Arc<str>) -> bool {
        let Some(rate) = self.defaults.source_rate else { return true };
        let is_told = self.cluster.is_some();
        let is_admitted = self.sources.admit(source, rate, self.clock.now(), is_told);
        if !is_admitted {
            self.counters.publications_limited.add();
        }
        is_admitted
    }

    /// Tells the other nodes what sources have published here. Those of very many are told later.
    fn tell_published(&self) {
        const MOST: usize = 1_000;

        if self.defaults.source_rate.is_some() {
            let sources = self.sources.take_untold(MOST);
            if !sources.is_empty() {
                self.signal(|cluster| cluster.published(sources));
            }
        }
    }

    /// A stream has left the registry.
    pub(crate) fn on_stream_gone(&self) {
        if self.is_draining.load(Ordering::Acquire) && self.registry.count() == 0 {
            let draining = self.drain.lock().clone();
            draining.inspect(|draining| draining.wake());
        }
    }

    /// Gives an event its place and wakes the streams that wait for it.
    pub(crate) fn append(&self, entry: Entry<'_>) -> Result<Published, PublishError> {
        let (published, effects) = {
            let mut journal = self.journal.lock();
            journal.append(entry, self.clock.now(), self.tail())?
        };
        self.schedule_upkeep();
        self.run(effects);
        Ok(published)
    }

    /// Changes the journal, and does what that leaves to be done.
    pub(super) fn change(&self, change: impl FnOnce(&mut Journal, &Tail) -> Effects) {
        let effects = change(&mut self.journal.lock(), self.tail());
        self.run(effects);
    }

    fn run(&self, effects: Effects) {
        let mut is_over_budget = effects.is_over_budget();
        effects.run();
        while is_over_budget {
            let effects = self.journal.lock().keep_budget();
            is_over_budget = effects.is_over_budget();
            effects.run();
        }
        self.tell_interests();
        // What was evicted may be what readers hold.
        self.keep_pinned_limit();
    }

    /// Ends streams if more is pinned than may be. To be called with no lock held.
    pub(crate) fn keep_pinned_limit(&self) {
        if self.pinned.is_over() {
            self.relieve();
        }
    }

    /// Too much memory is pinned: ends streams until it is not, those first whose clients have taken nothing for the
    /// longest time. Of those that need memory for their past, the one that has gone on last goes on: or none could be sent
    /// a past that needs more than the limit. To be called with no lock held.
    #[cold]
    fn relieve(&self) {
        if self.is_relieving.swap(true, Ordering::Acquire) {
            return;
        }
        let in_use = self.registry.select(|client| client.outlet.is_in_use());
        let stalled = in_use.into_iter().filter_map(|client| {
            let (since, needs) = client.outlet.stalled()?;
            Some((since, needs, client))
        });
        let mut stalled: Vec<_> = stalled.collect();
        stalled.sort_unstable_by_key(|(since, ..)| *since);
        let newest = stalled.iter().rposition(|(_, needs, _)| *needs > 0);
        let spared = newest.map_or(0, |newest| stalled.remove(newest).1);
        let target = self.pinned.target();
        // Others need not end for what that one alone has above the limit.
        let target = if spared > target { target + spared } else { target };
        let mut cut = Vec::new();
        // Transports let go of what they hold when they are woken, and topics that vanished are freed in steps.
        let (mut held, mut vanished) = (0, 0);
        for (.., client) in stalled {
            let will_be_free = held + self.pinned.vanished().min(vanished);
            if self.pinned.bytes().saturating_sub(will_be_free) <= target {
                break;
            }
            let stream = client.cut();
            (held, vanished) = (held + stream.held, vanished + stream.vanished);
            self.counters.streams_cut.add();
            cut.push(stream);
        }
        self.pinned.be_patient();
        self.is_relieving.store(false, Ordering::Release);
        // Wakers may come back here.
        for stream in cut {
            tell!(WARN, &stream.client, None, "stream cut: others need the memory that it held");
            stream.wake();
        }
    }

    /// Tells a selective log which topics this node now has subscribers for.
    pub(crate) fn tell_interests(&self) {
        let Some(replication) = self.replication.as_ref().filter(|it| it.is_selective) else {
            return;
        };
        let mut next = self.journal.lock().topics.next_interest(false);
        while let Some((name, interest)) = next {
            replication.log.set_interest(&name, interest);
            next = self.journal.lock().topics.next_interest(true);
        }
    }

    /// Counts one more stream in these topics and patterns, or in what passes a filter of them; or one more of what reads
    /// them and is no stream. Every event after the head is for it.
    pub(crate) fn subscribe(
        &self,
        names: &[TopicPattern],
        filter: Option<&Filter>,
        is_stream: bool,
    ) -> (Vec<Arc<TopicLog>>, Head) {
        let entered = self.enter_as(names, filter, is_stream);
        self.tell_interests();
        entered
    }

    /// The same for a stream whose caller tells the interests when it holds no lock.
    pub(crate) fn enter(
        &self,
        names: &[TopicPattern],
        filter: Option<&Filter>,
    ) -> (Vec<Arc<TopicLog>>, Head) {
        self.enter_as(names, filter, true)
    }

    fn enter_as(
        &self,
        names: &[TopicPattern],
        filter: Option<&Filter>,
        is_stream: bool,
    ) -> (Vec<Arc<TopicLog>>, Head) {
        let now = self.clock.now();
        let subscribe = |names| self.journal.lock().subscribe(names, filter, is_stream, now);
        let logs = names.chunks(STEP).flat_map(subscribe).collect();
        (logs, self.head())
    }

    /// Whether all of these topics are finished, and a client that comes back with an id has their last events.
    pub(crate) fn has_the_ends(&self, names: &[TopicPattern], id: &LastEventId) -> bool {
        let now = self.clock.now();
        let mut steps = names.chunks(STEP);
        steps.all(|names| {
            let mut journal = self.journal.lock();
            let head = journal.head();
            let position = id.position(&head.epoch).filter(|position| *position <= head.position);
            position.is_some_and(|position| journal.have_ended(names, position, now))
        })
    }

    /// The hub's log has said of topics whether they are finished.
    pub(crate) fn learn_ends(&self, ends: &[(Arc<TopicLog>, Option<LastEvent>)]) {
        let now = self.clock.now();
        ends.chunks(STEP).for_each(|ends| {
            self.change(|journal, tail| journal.learn_ends(ends, now, tail));
        });
    }

    /// Passes all topics whose names begin with a prefix, in order. Topics that come or go meanwhile may be among them.
    pub(crate) fn for_each_topic(&self, prefix: &str, mut pass: impl FnMut(&Arc<TopicLog>)) {
        let mut after: Option<Arc<TopicLog>> = None;
        loop {
            let page = self.journal.lock().topics.page(prefix, after.as_deref(), STEP);
            page.iter().for_each(&mut pass);
            match page.last() {
                Some(last) => after = Some(last.clone()),
                None => return,
            }
        }
    }

    /// Ends the subscription of a stream to topics.
    pub(crate) fn unsubscribe(&self, topics: &[Arc<TopicLog>]) {
        self.unsubscribe_as(topics, true);
    }

    /// The same of a stream, or of what reads them and is none.
    pub(crate) fn unsubscribe_as(&self, topics: &[Arc<TopicLog>], is_stream: bool) {
        for filtered in topics.iter().filter_map(|log| log.filtered.as_ref()) {
            *filtered.of.lock().filtered_count(is_stream) -= 1;
        }
        self.leave(topics, |state| *state.count(is_stream) -= 1);
    }

    /// Ends a replay of the topics of a feed: of many elsewhere, because others wait for whoever drops a stream.
    pub(crate) fn end_replay(self: &Arc<Self>, feed: Arc<Feed>) {
        if Self::freed_later(&feed) == 0 {
            return self.end_replay_of(&feed.topics);
        }
        let (shared, mut done) = (self.clone(), 0);
        background::free(move || {
            let left = feed.topics.get(done..).unwrap_or_default();
            let step = left.get(..STEP).unwrap_or(left);
            shared.end_replay_of(step);
            done += step.len();
            step.len() < left.len()
        });
    }

    /// Of how many topics that is done later.
    pub(crate) fn freed_later(feed: &Feed) -> usize {
        const AT_ONCE: usize = if cfg!(shuttle) { usize::MAX } else { 4 * STEP };

        let topics = feed.topics.len();
        if topics > AT_ONCE { topics } else { 0 }
    }

    fn end_replay_of(&self, topics: &[Arc<TopicLog>]) {
        self.leave(topics, |state| state.end_replay(&self.pinned));
    }

    fn leave(&self, topics: &[Arc<TopicLog>], leave: impl Fn(&mut TopicState)) {
        let left = topics.iter().filter(|log| {
            let mut state = log.lock();
            leave(&mut state);
            !state.is_read()
        });
        let mut left: Vec<_> = left.cloned().collect();
        let now = self.clock.now();
        while !left.is_empty() {
            self.change(|journal, _| journal.on_last_reader_gone(&mut left, now));
        }
    }

    /// Sends something to the other nodes of the cluster.
    pub(crate) fn signal(&self, signal: impl FnOnce(&Membership) -> bytes::Bytes) {
        if let (Some(cluster), Some(replication)) = (&self.cluster, &self.replication) {
            replication.log.signal(signal(cluster));
        }
    }

    /// A stream has begun, has changed its topics, or has ended.
    pub(crate) fn note_presence(&self, client: &Client) {
        // When an observer has left the registry, it looks like any other stream, but has no topics.
        if let Some(presence) = &self.presence
            && !self.registry.is_observer(client.id)
        {
            presence.update(client);
        }
    }

    /// Tells the other nodes how this one is.
    pub(super) fn announce(&self) {
        self.signal(|cluster| cluster.presence(self.registry.count(), self.health().is_ready()));
    }

    pub(crate) fn health(&self) -> Health {
        let link = self.replication.as_ref().map(|replication| replication.link());
        let (is_closed, max_lag) = (self.is_closed(), self.defaults.max_lag);
        let is_draining = self.is_draining.load(Ordering::Acquire);
        let writer_restarts = self.counters.writer_restarts.get();
        match link {
            Some(link) => {
                let health = link.health(is_closed, max_lag, self.clock.now());
                Health { is_draining, writer_restarts, ..health }
            }
            None => Health {
                is_closed,
                is_draining,
                link: Link::None,
                lag: None,
                rejected: 0,
                last_rejected: None,
                writer_restarts,
                max_lag,
            },
        }
    }

    pub(super) fn metrics(&self) -> Metrics {
        let (topics, events, retained_bytes) = self.journal.lock().figures();
        let counters = &self.counters;
        Metrics {
            clients: self.registry.count(),
            topics,
            retained_bytes,
            pinned_bytes: self.pinned.bytes(),
            events,
            published: counters.published.get(),
            refused: counters.refused.get(),
            fresh: counters.fresh.get(),
            resumed: counters.resumed.get(),
            resets_expired: counters.resets_expired.get(),
            resets_trimmed: counters.resets_trimmed.get(),
            resets_unknown: counters.resets_unknown.get(),
            log_reads: counters.log_reads.get(),
            streams_cut: counters.streams_cut.get(),
            snapshots: counters.snapshots.get(),
            snapshots_failed: counters.snapshots_failed.get(),
            snapshots_timed_out: counters.snapshots_timed_out.get(),
            streams_untold: counters.streams_untold.get(),
            subscriptions_refused: counters.subscriptions_refused.get(),
            connections_refused: counters.connections_refused.get(),
            connections_evicted: counters.connections_evicted.get(),
            connections_timed_out: counters.connections_timed_out.get(),
            connections_flooded: counters.connections_flooded.get(),
            streams_stalled: counters.streams_stalled.get(),
            writer_restarts: counters.writer_restarts.get(),
            ended_expired: counters.ended_expired.get(),
            ended_revoked: counters.ended_revoked.get(),
            ended_limited: counters.ended_limited.get(),
            ended_superseded: counters.ended_superseded.get(),
            ended_drained: counters.ended_drained.get(),
            ended_finished: counters.ended_finished.get(),
            ended_lifetime: counters.ended_lifetime.get(),
            publications_limited: counters.publications_limited.get(),
            checks_failed: counters.checks_failed.get(),
            subscriptions_finished: counters.subscriptions_finished.get(),
            present: self.presence.as_ref().map_or(0, |presence| presence.count()),
            presence_removed: counters.presence_removed.get(),
            health: self.health(),
        }
    }

    /// Makes sure that what was just published will expire.
    pub(super) fn schedule_upkeep(&self) {
        let is_scheduled = &self.upkeep.is_scheduled;
        if is_scheduled.load(Ordering::Relaxed) || is_scheduled.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(this) = self.this.upgrade() {
            self.clock.schedule(&this, self.clock.now() + Upkeep::INTERVAL);
        }
    }

    /// Removes what has expired. Returns when there may be more.
    fn sweep(&self, now: u64) -> Option<u64> {
        self.pinned.lose_patience();
        for _ in 0..Upkeep::STEPS {
            let (effects, is_more) = self.journal.lock().expire(now);
            self.run(effects);
            if !is_more {
                let is_left = self.coalescing.cool(now)
                    || self.pinned.is_above_limit()
                    || self.journal.lock().has_expiring();
                return is_left.then(|| now + Upkeep::INTERVAL);
            }
        }
        Some(now + 1)
    }
}

impl Timed for Shared {
    fn timer(&self) -> &TimerSlot {
        &self.upkeep.slot
    }

    fn fire(&self, now: u64) -> Option<u64> {
        let is_scheduled = &self.upkeep.is_scheduled;
        // Reset before looking: an event that is published meanwhile schedules the next time.
        is_scheduled.store(false, Ordering::Release);
        let mut next = self.sweep(now);
        if let Some(replication) = &self.replication {
            replication.retry();
            if let Some(cluster) = &self.cluster {
                cluster.expire(now);
                self.announce();
                self.tell_published();
            }
            next = next.or(Some(now + Upkeep::INTERVAL));
        }
        next.filter(|_| !is_scheduled.swap(true, Ordering::AcqRel))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.clock.cancel(&self.upkeep.slot);
    }
}
