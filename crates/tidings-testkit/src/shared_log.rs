//! A log in the test's own process that several hubs share, with every failure that a broker may have.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use tidings::backend::{
    Append, Appended, Epoch, Log, LogError, LogErrorKind, Origin, Page, Reach, Read, Record,
    Refused, Replica, Reply, Start,
};
use tidings::{IdempotencyKey, Topic, TopicPattern};

use crate::checker::{Entry, is_of};

/// A log in memory. Cloning gives the same log.
#[derive(Debug, Clone, Default)]
pub struct SharedLog(Arc<Engine>);

#[derive(Debug, Default)]
struct Engine {
    state: Mutex<LogState>,
    changed: Condvar,
}

#[derive(Debug)]
struct LogState {
    epoch: Epoch,
    /// The newest position.
    position: u64,
    /// Everything up to here is gone.
    trimmed: u64,
    records: Vec<Record>,
    keys: HashMap<IdempotencyKey, (u64, Instant)>,
    window: Duration,
    /// How many records are kept, and with how many of them a replica begins.
    keep: usize,
    replay: usize,
    nodes: Vec<Arc<Mutex<Node>>>,
    /// Every event of all histories.
    published: Vec<Entry>,
}

impl Default for LogState {
    fn default() -> Self {
        Self {
            epoch: Epoch::random(),
            position: 0,
            trimmed: 0,
            records: Vec::new(),
            keys: HashMap::new(),
            window: Duration::from_secs(120),
            keep: usize::MAX,
            replay: 10_000,
            nodes: Vec::new(),
            published: Vec::new(),
        }
    }
}

/// One node's connection to the log.
#[derive(Debug, Default)]
struct Node {
    replica: Option<Replica>,
    epoch: Option<Epoch>,
    /// Nothing passes in either direction.
    is_cut: bool,
    /// Nothing is delivered.
    is_held: bool,
    is_stopped: bool,
    is_selective: bool,
    /// How many records to deliver again: logs may start too early after a lost link.
    repeats: usize,
    /// Whether the link is up, as last reported to the replica.
    reported: Option<bool>,
    /// Interests that are followed, and new ones.
    followed: HashMap<TopicPattern, u64>,
    new: Vec<(TopicPattern, u64)>,
    /// How many questions of the hub were answered.
    answers: usize,
}

/// The connection that one hub is built on. Clones are handles to it.
#[derive(Debug, Clone)]
pub struct SharedNode {
    engine: Arc<Engine>,
    node: Arc<Mutex<Node>>,
    /// Changes of interests. They have their own lock: the hub changes interests with its locks held, and those
    /// are taken while the other locks here are held.
    interests: Interests,
}

impl LogState {
    /// The index of the first record after a position.
    fn index(&self, position: u64) -> usize {
        self.records.partition_point(|record| record.position <= position)
    }

    fn origin(&self) -> Origin {
        let first = self.records.len().saturating_sub(self.replay);
        let before = first.checked_sub(1).and_then(|index| self.records.get(index));
        let position = before.map_or(self.trimmed, |record| record.position);
        Origin::new(self.epoch.clone(), position, self.position)
    }

    fn append(&mut self, append: Append) -> Result<Appended, LogError> {
        let window = self.window;
        self.keys.retain(|_, (_, at)| at.elapsed() < window);
        if let Some((position, _)) = append.key.as_ref().and_then(|key| self.keys.get(key)) {
            return Ok(Appended::new(self.epoch.clone(), *position, true));
        }
        // A hub that knows better is believed, as by logs that do not look in the same step.
        if !append.is_open && self.end_of(&append.topic).is_some() {
            return Err(LogError::new(LogErrorKind::Finished, "shared log: topic is finished"));
        }
        // Positions are not dense, as in some engines.
        self.position += 1 + u64::from(self.position.is_multiple_of(5));
        let position = self.position;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let Append { topic, event, key, seen, .. } = append;
        self.published.push(Entry {
            id: format!("{}-{position}", self.epoch.as_str()),
            topic: topic.as_str().to_owned(),
            data: event.data().unwrap_or_default().to_owned(),
        });
        let mut record = Record::new(position, at, topic, event);
        record.seen = seen;
        self.records.push(record);
        if let Some(key) = key {
            self.keys.insert(key, (position, Instant::now()));
        }
        if self.records.len() > self.keep.saturating_mul(2) {
            self.trim(self.keep);
        }
        Ok(Appended::new(self.epoch.clone(), position, false))
    }

    /// The position of the last event of a topic that is finished.
    fn end_of(&self, topic: &Topic) -> Option<u64> {
        let newest = self.records.iter().rfind(|record| record.topic == *topic)?;
        newest.event.is_last().then_some(newest.position)
    }

    fn trim(&mut self, keep: usize) {
        let gone = self.records.len().saturating_sub(keep);
        if let Some(last) = self.records.drain(..gone).last() {
            self.trimmed = last.position;
        }
    }

    fn read(&self, read: &Read) -> Result<Page, LogError> {
        let is_asked = |record: &&Record| read.is_of(record.topic.as_str());
        let after = |position| {
            let records = &self.records[self.index(position)..];
            records.iter().filter(is_asked).take_while(|record| record.position <= read.to)
        };
        let mut reach = Reach::default();
        let from = match read.start {
            Start::After(position) if position < self.trimmed => {
                return Err(LogError::new(LogErrorKind::Trimmed, "shared log: is trimmed"));
            }
            Start::After(position) => position,
            Start::Newest { count, since } => {
                let newest: Vec<_> = after(0).filter(|record| record.at >= since).collect();
                let first = newest.len().saturating_sub(count);
                reach = match self.trimmed {
                    _ if newest.len() >= count => Reach::Count,
                    0 if newest.len() == after(0).count() => Reach::All,
                    _ if after(0).any(|record| record.at < since) => Reach::Time,
                    _ => Reach::Retained,
                };
                newest.get(first).map_or(read.to, |record| record.position - 1)
            }
        };
        let mut size = 0;
        let mut records = Vec::new();
        for record in after(from) {
            if size >= read.max_bytes {
                let to = records.last().map_or(from, |record: &Record| record.position);
                return Ok(Page::new(self.epoch.clone(), records, from, to).with_reach(reach));
            }
            size += record.event.data().map_or(0, str::len);
            records.push(record.clone());
        }
        Ok(Page::new(self.epoch.clone(), records, from, read.to).with_reach(reach))
    }
}

impl SharedLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long keys are remembered. Default: 2 minutes.
    pub fn window(&self, window: Duration) {
        self.0.state.lock().window = window;
    }

    /// Sets how many events are kept at least. More than twice as many are trimmed to this number. Default: all.
    pub fn keep(&self, events: usize) {
        self.0.state.lock().keep = events;
    }

    /// Sets how many earlier events a new node gets. Default: 10,000.
    pub fn replay(&self, events: usize) {
        self.0.state.lock().replay = events;
    }

    /// A connection for one hub.
    pub fn node(&self) -> SharedNode {
        let node = Arc::new(Mutex::new(Node::default()));
        self.0.state.lock().nodes.push(node.clone());
        SharedNode { engine: self.0.clone(), node, interests: Arc::default() }
    }

    /// A connection for one hub that receives only what it has an interest in.
    pub fn selective_node(&self) -> SharedNode {
        let node = self.node();
        node.node.lock().is_selective = true;
        node
    }

    /// Trims all but the newest events.
    pub fn trim(&self, keep: usize) {
        self.0.state.lock().trim(keep);
        self.0.changed.notify_all();
    }

    /// Begins another, empty history.
    pub fn wipe(&self) {
        let mut state = self.0.state.lock();
        let LogState { window, keep, replay, .. } = *state;
        let nodes = mem::take(&mut state.nodes);
        let published = mem::take(&mut state.published);
        *state = LogState { window, keep, replay, nodes, published, ..LogState::default() };
        self.0.changed.notify_all();
    }

    /// Every event of all histories, in order.
    pub fn published(&self) -> Vec<Entry> {
        self.0.state.lock().published.clone()
    }

    /// The id of the newest event of some topics and patterns that the log still holds.
    pub fn newest(&self, topics: &[&str]) -> Option<String> {
        let state = self.0.state.lock();
        let is_asked = |record: &&Record| is_of(topics, record.topic.as_str());
        let newest = state.records.iter().rev().find(is_asked)?;
        Some(format!("{}-{}", state.epoch.as_str(), newest.position))
    }

    /// The number of events that the log holds.
    pub fn len(&self) -> usize {
        self.0.state.lock().records.len()
    }

    /// Whether the log holds no events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SharedNode {
    fn change(&self, change: impl FnOnce(&mut Node)) {
        let state = self.engine.state.lock();
        change(&mut self.node.lock());
        self.engine.changed.notify_all();
        drop(state);
    }

    /// Cuts the link.
    pub fn cut(&self) {
        self.change(|node| node.is_cut = true);
    }

    /// Repairs the link. The last events before the cut are delivered again.
    pub fn mend(&self) {
        self.change(|node| {
            node.repeats = if node.is_cut { 3 } else { 0 };
            node.is_cut = false;
        });
    }

    /// Stops to deliver, without any notice to the hub.
    pub fn hold(&self) {
        self.change(|node| node.is_held = true);
    }

    /// Delivers again.
    pub fn release(&self) {
        self.change(|node| node.is_held = false);
    }

    /// How many questions of the hub were answered so far: reads, and where the log ends.
    pub fn answers(&self) -> usize {
        self.node.lock().answers
    }

    /// Answers a question of the hub.
    fn answer<T>(&self, reply: Reply<T>, answer: impl FnOnce(&LogState) -> Result<T, LogError>) {
        let state = self.engine.state.lock();
        let answer = self.is_cut().map_or_else(|| answer(&state), Err);
        drop(state);
        reply.send(answer);
        self.node.lock().answers += 1;
    }

    fn is_cut(&self) -> Option<LogError> {
        let node = self.node.lock();
        if node.is_stopped {
            return Some(LogError::new(LogErrorKind::Closed, "shared log: is closed"));
        }
        let cut = || LogError::new(LogErrorKind::Unavailable, "shared log: link is down");
        node.is_cut.then(cut)
    }

    /// Delivers until the hub has ended.
    fn run(self, replica: Replica) {
        while !replica.is_gone() {
            let mut state = self.engine.state.lock();
            if self.node.lock().is_stopped {
                return;
            }
            let Ok(next) = self.next(&state, &replica) else { return };
            match next {
                Some(work) => {
                    drop(state);
                    if work(&replica).is_err() {
                        return;
                    }
                }
                // It looks again now and then, to report that the replica has caught up.
                None => {
                    self.engine.changed.wait_for(&mut state, Duration::from_millis(20));
                }
            }
        }
    }

    /// The next thing to do with the replica.
    fn next(&self, state: &LogState, replica: &Replica) -> Result<Option<Work>, Refused> {
        let mut node = self.node.lock();
        let is_up = !node.is_cut;
        if node.reported.replace(is_up) != Some(is_up) {
            let down = LogError::new(LogErrorKind::Unavailable, "shared log: link is down");
            replica.link(if node.is_cut { Err(&down) } else { Ok(()) })?;
        }
        if node.is_cut || node.is_held {
            return Ok(None);
        }
        for (topic, interest) in mem::take(&mut *self.interests.lock()) {
            match interest {
                Some(interest) => node.new.push((topic, interest)),
                None => {
                    node.followed.remove(&topic);
                    node.new.retain(|(other, _)| *other != topic);
                }
            }
        }
        let position = replica.position()?;
        let is_other = node.epoch.as_ref() != Some(&state.epoch);
        if is_other || position < state.trimmed {
            let mut origin = state.origin();
            if !is_other {
                origin.position = state.trimmed;
            }
            node.epoch = Some(state.epoch.clone());
            let again = node.followed.drain().collect::<Vec<_>>();
            node.new.extend(again);
            return Ok(Some(Box::new(move |replica| replica.restart(origin))));
        }
        if !node.new.is_empty() {
            let new = mem::take(&mut node.new);
            node.followed.extend(new.iter().cloned());
            return Ok(Some(Box::new(move |replica| {
                replica.followed(new.iter().map(|(topic, interest)| (topic, *interest)), position)
            })));
        }
        let next = state.index(position);
        let repeats = mem::take(&mut node.repeats).min(next);
        node.repeats = repeats.saturating_sub(1);
        let Some(record) = state.records.get(next - repeats).cloned() else {
            replica.caught_up()?;
            return Ok(None);
        };
        let is_followed =
            !node.is_selective || node.followed.keys().any(|topics| topics.matches(&record.topic));
        Ok(Some(Box::new(move |replica| match is_followed {
            true => replica.deliver(record),
            false => replica.reached(record.position),
        })))
    }
}

/// Topics and patterns, each with the number of the interest in it, or with none.
type Interests = Arc<Mutex<Vec<(TopicPattern, Option<u64>)>>>;

type Work = Box<dyn FnOnce(&Replica) -> Result<(), Refused>>;

impl Log for SharedNode {
    fn origin(&self) -> Origin {
        let origin = self.engine.state.lock().origin();
        self.node.lock().epoch = Some(origin.epoch.clone());
        origin
    }

    fn start(&self, replica: Replica) {
        self.node.lock().replica = Some(replica.clone());
        let this = self.clone();
        thread::spawn(move || this.run(replica));
    }

    fn append(&self, append: Append, reply: Reply<Appended>) {
        let mut state = self.engine.state.lock();
        let answer = self.is_cut().map_or_else(|| state.append(append), Err);
        self.engine.changed.notify_all();
        drop(state);
        reply.send(answer);
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        self.answer(reply, |state| state.read(&read));
    }

    fn end(&self, reply: Reply<u64>) {
        self.answer(reply, |state| Ok(state.position));
    }

    fn finished(&self, topics: Vec<Topic>, reply: Reply<Vec<(Topic, u64)>>) {
        self.answer(reply, |state| {
            let ends = topics.into_iter().filter_map(|topic| {
                let end = state.end_of(&topic)?;
                Some((topic, end))
            });
            Ok(ends.collect())
        });
    }

    fn stop(&self) {
        self.change(|node| node.is_stopped = true);
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn signal(&self, signal: bytes::Bytes) {
        let state = self.engine.state.lock();
        if self.is_cut().is_some() {
            return;
        }
        let nodes = state.nodes.clone();
        drop(state);
        for node in nodes.iter().filter(|node| !Arc::ptr_eq(node, &self.node)) {
            let replica = Some(node.lock()).filter(|node| !node.is_cut && !node.is_held);
            let replica = replica.and_then(|node| node.replica.clone());
            if let Some(replica) = replica {
                // A node that has ended receives nothing.
                let _ = replica.signalled(&signal);
            }
        }
    }

    fn is_selective(&self) -> bool {
        self.node.lock().is_selective
    }

    fn set_interest(&self, pattern: &TopicPattern, interest: Option<u64>) {
        self.interests.lock().push((pattern.clone(), interest));
        self.engine.changed.notify_all();
    }
}
