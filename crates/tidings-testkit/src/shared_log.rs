//! A log in the test's own process that several hubs share, and that does at a word what a broker does in a bad
//! hour.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use tidings::backend::{
    Append, Appended, Epoch, Log, LogError, LogErrorKind, Origin, Page, Read, Record, Refused,
    Replica, Reply, Start,
};
use tidings::{IdempotencyKey, Topic, TopicPattern};

use crate::checker::is_of;

/// A log in memory. Cloning gives the same log.
#[derive(Debug, Clone, Default)]
pub struct SharedLog(Arc<Engine>);

#[derive(Debug, Default)]
struct Engine {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    epoch: Epoch,
    /// The last position given out.
    position: u64,
    /// Everything up to here is gone.
    trimmed: u64,
    records: Vec<Record>,
    keys: HashMap<IdempotencyKey, (u64, Instant)>,
    window: Duration,
    /// How many records are kept, and how many of them a replica begins with.
    keep: usize,
    replay: usize,
    nodes: Vec<Arc<Mutex<Node>>>,
    /// Every event that there ever was: epoch, position and topic.
    ever: Vec<(Epoch, u64, Topic)>,
}

impl Default for State {
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
            ever: Vec::new(),
        }
    }
}

/// One node's connection to the log.
#[derive(Debug, Default)]
struct Node {
    replica: Option<Replica>,
    epoch: Option<Epoch>,
    /// Nothing goes either way.
    is_cut: bool,
    /// Nothing is delivered.
    is_held: bool,
    is_stopped: bool,
    is_selective: bool,
    /// How many records are to be delivered again: logs may begin too early after a lost link.
    repeats: usize,
    /// What the replica was told of the link.
    told: Option<bool>,
    /// Topics and families that are followed, and those that are to be.
    followed: HashMap<TopicPattern, u64>,
    wanted: Vec<(TopicPattern, u64)>,
}

/// What one hub is built on. Clones are handles to the same connection.
#[derive(Debug, Clone)]
pub struct SharedNode {
    engine: Arc<Engine>,
    node: Arc<Mutex<Node>>,
    /// Topics that have become wanted, or no longer so. Apart from the rest: it is written with the hub's locks
    /// held, which are taken with those of the rest held.
    interests: Interests,
}

impl State {
    fn end(&self) -> u64 {
        self.position
    }

    /// The index of the first record behind a position.
    fn index(&self, position: u64) -> usize {
        self.records.partition_point(|record| record.position <= position)
    }

    fn origin(&self) -> Origin {
        let first = self.records.len().saturating_sub(self.replay);
        let before = first.checked_sub(1).and_then(|index| self.records.get(index));
        let position = before.map_or(self.trimmed, |record| record.position);
        Origin { epoch: self.epoch.clone(), position, end: self.end() }
    }

    fn append(&mut self, append: Append) -> Appended {
        let window = self.window;
        self.keys.retain(|_, (_, at)| at.elapsed() < window);
        if let Some((position, _)) = append.key.as_ref().and_then(|key| self.keys.get(key)) {
            return Appended { epoch: self.epoch.clone(), position: *position, is_duplicate: true };
        }
        // Positions are not dense: some engines' are not.
        self.position += 1 + u64::from(self.position % 5 == 0);
        let position = self.position;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let Append { topic, event, key } = append;
        self.ever.push((self.epoch.clone(), position, topic.clone()));
        self.records.push(Record { position, at, topic, event });
        if let Some(key) = key {
            self.keys.insert(key, (position, Instant::now()));
        }
        if self.records.len() > self.keep.saturating_mul(2) {
            self.trim(self.keep);
        }
        Appended { epoch: self.epoch.clone(), position, is_duplicate: false }
    }

    fn trim(&mut self, keep: usize) {
        let gone = self.records.len().saturating_sub(keep);
        if let Some(last) = self.records.drain(..gone).last() {
            self.trimmed = last.position;
        }
    }

    fn read(&self, read: &Read) -> Result<Page, LogError> {
        let is_asked = |record: &&Record| read.is_of(record.topic.as_str());
        let behind = |position| {
            let records = &self.records[self.index(position)..];
            records.iter().filter(is_asked).take_while(|record| record.position <= read.to)
        };
        let from = match read.start {
            Start::After(position) if position < self.trimmed => {
                return Err(LogError::new(LogErrorKind::Trimmed, "shared log: is trimmed"));
            }
            Start::After(position) => position,
            Start::Newest { count, since } => {
                let newest: Vec<_> = behind(0).filter(|record| record.at >= since).collect();
                let first = newest.len().saturating_sub(count);
                newest.get(first).map_or(read.to, |record| record.position - 1)
            }
        };
        let mut size = 0;
        let mut records = Vec::new();
        for record in behind(from) {
            if size >= read.max_bytes {
                let to = records.last().map_or(from, |record: &Record| record.position);
                return Ok(Page { epoch: self.epoch.clone(), records, from, to });
            }
            size += record.event.data().map_or(0, str::len);
            records.push(record.clone());
        }
        Ok(Page { epoch: self.epoch.clone(), records, from, to: read.to })
    }
}

impl SharedLog {
    /// A log with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets for how long keys are remembered. Default 2 minutes.
    pub fn window(&self, window: Duration) {
        self.0.state.lock().window = window;
    }

    /// Sets how many events are kept: more than twice as many are cut back. Default all.
    pub fn keep(&self, events: usize) {
        self.0.state.lock().keep = events;
    }

    /// Sets how many events a node that comes is given of the past. Default 10,000.
    pub fn replay(&self, events: usize) {
        self.0.state.lock().replay = events;
    }

    /// A connection for one hub.
    pub fn node(&self) -> SharedNode {
        let node = Arc::new(Mutex::new(Node::default()));
        self.0.state.lock().nodes.push(node.clone());
        SharedNode { engine: self.0.clone(), node, interests: Arc::default() }
    }

    /// A connection for one hub that is delivered only what it wants.
    pub fn selective_node(&self) -> SharedNode {
        let node = self.node();
        node.node.lock().is_selective = true;
        node
    }

    /// Throws away all but the newest events.
    pub fn trim(&self, keep: usize) {
        self.0.state.lock().trim(keep);
        self.0.changed.notify_all();
    }

    /// Begins another history, with nothing in it.
    pub fn wipe(&self) {
        let mut state = self.0.state.lock();
        let State { window, keep, replay, .. } = *state;
        let nodes = mem::take(&mut state.nodes);
        let ever = mem::take(&mut state.ever);
        *state = State { window, keep, replay, nodes, ever, ..State::default() };
        self.0.changed.notify_all();
    }

    /// Every event that there ever was, in order: its epoch, position and topic.
    pub fn ever(&self) -> Vec<(String, u64, String)> {
        let state = self.0.state.lock();
        let text = |text: &str| text.to_owned();
        let ever = state.ever.iter();
        ever.map(|(epoch, at, topic)| (text(epoch.as_str()), *at, text(topic.as_str()))).collect()
    }

    /// The epoch and position of the newest event of some topics and families that it still holds.
    pub fn newest(&self, topics: &[&str]) -> Option<(String, u64)> {
        let state = self.0.state.lock();
        let newest =
            state.records.iter().rev().find(|record| is_of(topics, record.topic.as_str()))?;
        Some((state.epoch.as_str().to_owned(), newest.position))
    }

    /// The number of events that it holds.
    pub fn len(&self) -> usize {
        self.0.state.lock().records.len()
    }

    /// Whether it holds nothing.
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

    /// Mends the link. What was delivered last before it was cut is delivered again.
    pub fn mend(&self) {
        self.change(|node| {
            node.repeats = if node.is_cut { 3 } else { 0 };
            node.is_cut = false;
        });
    }

    /// Delivers nothing more, and says nothing of it.
    pub fn hold(&self) {
        self.change(|node| node.is_held = true);
    }

    /// Delivers again.
    pub fn release(&self) {
        self.change(|node| node.is_held = false);
    }

    fn is_cut(&self) -> Option<LogError> {
        let node = self.node.lock();
        if node.is_stopped {
            return Some(LogError::new(LogErrorKind::Closed, "shared log: is closed"));
        }
        let cut = || LogError::new(LogErrorKind::Unavailable, "shared log: link is down");
        node.is_cut.then(cut)
    }

    /// Delivers what there is, until the hub is gone.
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
                // It looks again now and then, to say that it has everything.
                None => {
                    self.engine.changed.wait_for(&mut state, Duration::from_millis(20));
                }
            }
        }
    }

    /// The next thing to be done with the replica.
    fn next(&self, state: &State, replica: &Replica) -> Result<Option<Work>, Refused> {
        let mut node = self.node.lock();
        let is_up = !node.is_cut;
        if node.told.replace(is_up) != Some(is_up) {
            let down = LogError::new(LogErrorKind::Unavailable, "shared log: link is down");
            replica.link(if node.is_cut { Err(&down) } else { Ok(()) })?;
        }
        if node.is_cut || node.is_held {
            return Ok(None);
        }
        for (topic, interest) in mem::take(&mut *self.interests.lock()) {
            match interest {
                Some(interest) => node.wanted.push((topic, interest)),
                None => {
                    node.followed.remove(&topic);
                    node.wanted.retain(|(other, _)| *other != topic);
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
            node.wanted.extend(again);
            return Ok(Some(Box::new(move |replica| replica.restart(origin))));
        }
        if !node.wanted.is_empty() {
            let wanted = mem::take(&mut node.wanted);
            node.followed.extend(wanted.iter().cloned());
            return Ok(Some(Box::new(move |replica| {
                replica
                    .followed(wanted.iter().map(|(topic, interest)| (topic, *interest)), position)
            })));
        }
        let next = state.index(position);
        let repeats = mem::take(&mut node.repeats).min(next);
        node.repeats = repeats.saturating_sub(1);
        let Some(record) = state.records.get(next - repeats).cloned() else {
            replica.caught_up()?;
            return Ok(None);
        };
        let is_wanted =
            !node.is_selective || node.followed.keys().any(|topics| topics.matches(&record.topic));
        Ok(Some(Box::new(move |replica| match is_wanted {
            true => replica.deliver(record),
            false => replica.reached(record.position),
        })))
    }
}

/// Topics, each with the interest for it, or with none.
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
        let answer = self.is_cut().map_or_else(|| Ok(state.append(append)), Err);
        self.engine.changed.notify_all();
        drop(state);
        reply.send(answer);
    }

    fn read(&self, read: Read, reply: Reply<Page>) {
        let state = self.engine.state.lock();
        let answer = self.is_cut().map_or_else(|| state.read(&read), Err);
        drop(state);
        reply.send(answer);
    }

    fn end(&self, reply: Reply<u64>) {
        let state = self.engine.state.lock();
        let answer = self.is_cut().map_or_else(|| Ok(state.end()), Err);
        drop(state);
        reply.send(answer);
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
                // A node that is gone hears nothing.
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
