//! Keeps presence topics as this node's streams and the other nodes are.
//!
//! What is wanted (the attendance of this node) is compared with what presence topics say (the roster), and what differs is
//! published: after a failure, a reset, another node's mistake as at any other time.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::keeper::{self, Keeper, News};
use super::roster::Roster;
use super::{DERIVED, Entry, PresenceRules, Who, topic_of};
use crate::clock::{Clock, millis};
use crate::cluster::NodeId;
use crate::cluster::membership::Membership;
use crate::decode::{Decoder, Message};
use crate::hub::publish::{self, Publish};
use crate::hub::shared::Shared;
use crate::status::STATUS_EVENT;
use crate::subscription::Subscription;
use crate::subscription::subscribe::Subscribe;
use crate::sync::HashMap;

/// What is to be said of a principal.
#[derive(Debug)]
enum Task {
    /// Whether it is here.
    Tell(Who),
    /// That it is here, once more.
    Renew(Who),
    /// That it has left another node, which cannot say so.
    Remove(NodeId, Who),
}

/// An event that was published, and not yet read.
#[derive(Debug)]
struct Flight {
    number: u64,
    joins: bool,
}

/// What only one thread at a time does.
#[derive(Debug)]
struct Work {
    shared: Weak<Shared>,
    node: NodeId,
    rules: Arc<PresenceRules>,
    waker: Waker,
    observer: Option<Observer>,
    roster: Roster,
    tasks: VecDeque<Task>,
    in_flight: HashMap<(NodeId, Who), Flight>,
    flights: u64,
    /// Those that the hub's log has not answered, in their order.
    sent: VecDeque<(u64, (NodeId, Who), Publish)>,
    /// Those that were answered, and until when they are waited for. What was refused is tried again then.
    answered: VecDeque<(u64, u64, (NodeId, Who))>,
    /// When other nodes were last looked at.
    watched_at: u64,
}

/// Reads what presence topics say.
#[derive(Debug)]
struct Observer {
    subscription: Subscription,
    decoder: Decoder,
}

/// How many events are published before others that are due have their turn.
const STEP: usize = 256;

/// How many chunks of events are read before that.
const CHUNKS: usize = 16;

/// The times between two attempts, and between two looks at the other nodes, in milliseconds.
const INTERVAL: u64 = 1_000;

/// If more time has passed between two looks, it is this node that stood still.
const STOOD_STILL: u64 = 3 * INTERVAL;

/// What was said so recently need not be said again, in milliseconds.
const RECENT: u64 = 10_000;

/// What keeps the presence topics of a hub. `None` where presence is kept for no topic.
pub(crate) fn keeper(
    rules: PresenceRules,
    cluster: Option<&Membership>,
    shared: Weak<Shared>,
    clock: &Clock,
) -> Option<Arc<Keeper>> {
    if rules.is_empty() {
        return None;
    }
    let rules = Arc::new(rules);
    Some(Keeper::new(rules.clone(), clock, |waker| Work {
        shared,
        node: cluster.map_or_else(NodeId::random, Membership::id),
        rules,
        waker,
        observer: None,
        roster: Roster::default(),
        tasks: VecDeque::new(),
        in_flight: HashMap::default(),
        flights: 0,
        sent: VecDeque::new(),
        answered: VecDeque::new(),
        watched_at: clock.now(),
    }))
}

impl keeper::Work for Work {
    fn step(&mut self, keeper: &Arc<Keeper>, now: u64) -> u64 {
        let Some(shared) = &self.shared.upgrade() else { return u64::MAX };
        self.settle(now);
        let has_all = self.observe(keeper, shared, now);
        let News { changed, mut next, renews } = keeper.take_news(now);
        self.tasks.extend(changed.into_iter().map(Task::Tell));
        if renews {
            let said = self.roster.said_before(self.node, now.saturating_sub(RECENT));
            self.tasks.extend(said.into_iter().map(Task::Renew));
        }
        if has_all {
            self.watch(shared, now);
            let mut published = 0;
            while published < STEP
                && let Some(task) = self.tasks.pop_front()
            {
                published += usize::from(self.publish(task, keeper, shared));
            }
            // Registers the waker.
            self.settle(now);
            if !self.tasks.is_empty() {
                return now + 1;
            }
        }
        if let Some((at, ..)) = self.answered.front() {
            next = next.min(*at);
        }
        if self.observer.is_none() || self.roster.has_others(self.node) {
            next = next.min(now + INTERVAL);
        }
        next
    }
}

impl Work {
    /// Looks for answers to what was published, and tries again where an event does not come.
    fn settle(&mut self, now: u64) {
        let mut cx = Context::from_waker(&self.waker);
        while let Some((number, key, publish)) = self.sent.front_mut()
            && Pin::new(publish).poll(&mut cx).is_ready()
        {
            self.answered.push_back((now + INTERVAL, *number, key.clone()));
            self.sent.pop_front();
        }
        while let Some((at, number, key)) = self.answered.front()
            && (*at <= now || !self.is_in_flight(*number, key))
        {
            if self.is_in_flight(*number, key) {
                self.in_flight.remove(key);
                self.tasks.push_back(match key.0 == self.node {
                    true => Task::Tell(key.1.clone()),
                    false => Task::Remove(key.0, key.1.clone()),
                });
            }
            self.answered.pop_front();
        }
    }

    fn is_in_flight(&self, number: u64, key: &(NodeId, Who)) -> bool {
        self.in_flight.get(key).is_some_and(|flight| flight.number == number)
    }

    /// Reads what the presence topics say. Returns whether that is all.
    fn observe(&mut self, keeper: &Arc<Keeper>, shared: &Arc<Shared>, now: u64) -> bool {
        let observer = self.observer.take().or_else(|| Observer::open(shared));
        let Some(mut observer) = observer else { return false };
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        for _ in 0..CHUNKS {
            let item = match observer.subscription.poll_bytes(None, &mut cx) {
                Poll::Ready(Some(Ok(item))) => item,
                // It is opened again.
                Poll::Ready(_) => return false,
                Poll::Pending => {
                    let has_all = observer.subscription.is_in_band();
                    self.observer = Some(observer);
                    return has_all;
                }
            };
            if observer.decoder.feed(&item.bytes).is_err() {
                return false;
            }
            while let Some(message) = observer.decoder.next_message() {
                match message.event() == STATUS_EVENT {
                    true => self.begin(&message, keeper, shared),
                    false => self.note(&message, now),
                }
            }
        }
        self.observer = Some(observer);
        keeper.look();
        false
    }

    /// What was read before is void: all that is known follows.
    fn begin(&mut self, status: &Message, keeper: &Keeper, shared: &Shared) {
        self.roster = Roster::default();
        self.tasks.extend(keeper.present().into_iter().map(Task::Tell));
        let status: serde_json::Value = serde_json::from_str(status.data()).unwrap_or_default();
        let is_complete = status["status"] == "fresh" && status["complete"] != false;
        if !is_complete {
            shared.signal(Membership::renew_presence);
        }
    }

    fn note(&mut self, message: &Message, now: u64) {
        let Some(entry) = Entry::of(message) else { return };
        let (node, who, joins) = (entry.node, entry.who.clone(), entry.since.is_some());
        let key = (node, who);
        if self.in_flight.get(&key).is_some_and(|flight| flight.joins == joins) {
            self.in_flight.remove(&key);
        }
        if node == self.node {
            // Another node may have said it, or it may have changed meanwhile.
            self.tasks.push_back(Task::Tell(key.1));
        }
        self.roster.note(entry, now);
    }

    /// Looks for nodes that cannot say that their clients have left.
    fn watch(&mut self, shared: &Shared, now: u64) {
        let elapsed = now.saturating_sub(self.watched_at);
        if elapsed < INTERVAL {
            return;
        }
        self.watched_at = now;
        let others = shared.cluster.as_ref().map(|cluster| cluster.others(now));
        // It would have missed their signals.
        let is_blind = others.is_some() && (elapsed > STOOD_STILL || !shared.health().is_ready());
        let silence = others.as_ref().map_or(0, |others| {
            let before = others.iter().filter(|node| !node.is_lost && node.id < self.node).count();
            Membership::LOST + (before as u64).min(8) * INTERVAL
        });
        for (id, node) in self.roster.others(self.node) {
            let signal = others.iter().flatten().find(|other| other.id == id);
            let last_signal = signal.map(|node| now.saturating_sub(millis(node.last_seen)));
            node.last_sign = node.last_sign.max(last_signal.unwrap_or_default());
            if is_blind {
                node.last_sign = now;
            }
            let silent = now.saturating_sub(node.last_sign);
            if silent < silence {
                continue;
            }
            let is_over = |who: &&Who| silent >= silence + self.rules.grace_of_other(&who.topic);
            let gone = node.present().filter(is_over).cloned();
            self.tasks.extend(gone.map(|who| Task::Remove(id, who)));
        }
    }

    /// Publishes what a task says, if that differs from what is said already. Returns whether it does.
    fn publish(&mut self, task: Task, keeper: &Keeper, shared: &Arc<Shared>) -> bool {
        let (node, who, renews) = match task {
            Task::Tell(who) => (self.node, who, false),
            Task::Renew(who) => (self.node, who, true),
            Task::Remove(node, who) => (node, who, false),
        };
        let key = (node, who);
        // It is looked at again when that has come, or has failed.
        if self.in_flight.contains_key(&key) {
            return false;
        }
        let who = &key.1;
        let is_said = self.roster.has(node, who);
        let here = match node == self.node {
            true => keeper.since(who),
            false => None,
        };
        let since = match here {
            // A principal that moves between nodes was there before.
            Some(since) if !is_said || renews => {
                Some(self.roster.since(who).map_or(since, |earlier| earlier.min(since)))
            }
            None if is_said => None,
            _ => return false,
        };
        let entry = Entry { who: who.clone(), node, since };
        // Names for which this fails do not count.
        let (Ok(topic), Ok(event)) = (topic_of(&who.topic), entry.event()) else { return false };
        if node != self.node {
            shared.counters.presence_removed.add();
        }
        self.flights += 1;
        let flight = Flight { number: self.flights, joins: since.is_some() };
        self.in_flight.insert(key.clone(), flight);
        let publish = publish::publish(shared, None, Ok(topic), event);
        self.sent.push_back((self.flights, key, publish));
        true
    }
}

impl Observer {
    fn open(shared: &Arc<Shared>) -> Option<Self> {
        let subscription = Subscribe::open_observer(shared.clone(), DERIVED)?;
        let decoder = Decoder::new().max_event_bytes(usize::MAX);
        Some(Self { subscription, decoder })
    }
}
