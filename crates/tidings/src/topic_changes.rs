//! Topics that are added to an open stream, and taken from it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::client::Client;
use crate::error::SubscribeErrorCause;
use crate::heartbeat::timer::Call;
use crate::hub::journal::Head;
use crate::hub::shared::Shared;
use crate::log::TopicLog;
use crate::subscription::history::History;
use crate::sync::Mutex;
use crate::sync::atomic::Ordering;
use crate::topic::TopicPattern;

/// What becomes of the topics of one open stream.
///
/// A change holds from the hub's head on: later events of a new topic are for the stream, and those of a topic that it has
/// left are not. The stream is called before that head is taken, and looks whether it was called after it has read the
/// watermark. So it never reads past the head of a change that it does not know.
///
/// Events ahead of its head may be known to a hub on a selective log, which has published them to topics that nobody had
/// here, and to another node that asks for the change. A new topic begins after those.
#[derive(Debug)]
pub(crate) struct TopicChanges(Mutex<State>);

#[derive(Debug)]
struct State {
    /// What the stream is subscribed to when it has made all changes, sorted by name.
    topics: Vec<Arc<TopicLog>>,
    /// Those that it has not made yet, in their order.
    due: VecDeque<Change>,
}

/// A change that a stream has not made yet.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) head: Head,
    /// The position after which events of the new topics are for the stream.
    pub(crate) after: u64,
    /// It is counted as their subscriber already.
    added: Vec<Arc<TopicLog>>,
    removed: Vec<TopicPattern>,
    /// How much the stream is sent of what the new topics retain.
    pub(crate) history: History,
}

/// Where a change is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    /// The hub's head when it was asked for.
    pub(crate) head: Head,
    /// See [`Change::after`].
    pub(crate) after: u64,
}

impl TopicChanges {
    pub(crate) fn new(topics: Vec<Arc<TopicLog>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { topics, due: VecDeque::new() })))
    }

    /// Adds topics and patterns: what they retain, and what comes after the hub's head, or after an id that is ahead of it.
    /// Returns whether the stream is still open: one that is about to end makes no more changes.
    ///
    /// # Errors
    ///
    /// When they would be more than the hub allows.
    pub(crate) fn add(
        &self,
        mut names: Vec<TopicPattern>,
        (history, after): (History, &[u8]),
        shared: &Shared,
        client: &Client,
    ) -> Result<bool, SubscribeErrorCause> {
        let mut state = self.0.lock();
        names.sort();
        names.dedup();
        let before = state.names();
        names.retain(|name| before.binary_search(name).is_err());
        shared.defaults.check_names(Ok([&*before, &*names].concat()))?;
        if names.is_empty() {
            return Ok(is_open(client));
        }
        if !state.call(shared, client) {
            return Ok(false);
        }
        let (added, head) = shared.enter(&names, client.filter());
        let known = if head.is_selective() { head.newest_known() } else { head.position };
        let after = head.epoch.position(after).map_or(known, |after| after.max(known));
        state.topics.extend(added.iter().cloned());
        state.topics.sort_by(|a, b| a.name.cmp(&b.name));
        state.due.push_back(Change { head, after, added, removed: Vec::new(), history });
        Ok(true)
    }

    /// Takes topics and patterns away. Returns whether the stream is still open.
    ///
    /// # Errors
    ///
    /// When none would be left.
    pub(crate) fn remove(
        &self,
        names: &[TopicPattern],
        shared: &Shared,
        client: &Client,
    ) -> Result<bool, SubscribeErrorCause> {
        let mut state = self.0.lock();
        let (removed, left): (Vec<_>, _) =
            state.names().into_iter().partition(|name| names.contains(name));
        shared.defaults.check_names(Ok(left))?;
        if removed.is_empty() {
            return Ok(is_open(client));
        }
        if !state.call(shared, client) {
            return Ok(false);
        }
        let head = shared.head();
        state.topics.retain(|log| !removed.contains(&log.name));
        let (after, history) = (head.position, History::None);
        state.due.push_back(Change { head, after, added: Vec::new(), removed, history });
        Ok(true)
    }

    pub(crate) fn topics(&self) -> Vec<Arc<TopicLog>> {
        self.0.lock().topics.clone()
    }

    /// Where the next change is to be made. If there is none, the stream need not look again before it is called.
    pub(crate) fn next(&self, client: &Client) -> Option<Due> {
        let state = self.0.lock();
        if state.due.is_empty() {
            // Under the lock, so that it is not called meanwhile.
            client.heartbeat.clear(Call::Topics);
        }
        let change = state.due.front()?;
        Some(Due { head: change.head.clone(), after: change.after })
    }

    /// The next change, which the caller makes.
    pub(crate) fn take(&self, shared: &Shared) -> Option<Change> {
        let mut state = self.0.lock();
        let change = state.due.pop_front();
        if change.is_some() && state.due.is_empty() {
            shared.changing.fetch_sub(1, Ordering::AcqRel);
        }
        change
    }
}

impl State {
    /// A stream that has not made so many changes, because its client does not read, is closed: the client comes back, and
    /// its handler names the topics.
    const MOST: usize = 256;

    fn names(&self) -> Vec<TopicPattern> {
        self.topics.iter().map(|log| log.name.clone()).collect()
    }

    /// Calls the stream for a change whose head is not taken yet. Returns whether the stream is still open. The caller wakes
    /// it when it holds no lock.
    fn call(&self, shared: &Shared, client: &Client) -> bool {
        client.heartbeat.note(Call::Topics);
        // A stream that ends afterwards takes what it has not made.
        if !is_open(client) {
            return false;
        }
        if self.due.len() >= Self::MOST {
            client.heartbeat.note(Call::Close);
            return false;
        }
        if self.due.is_empty() {
            shared.changing.fetch_add(1, Ordering::AcqRel);
        }
        true
    }
}

fn is_open(client: &Client) -> bool {
    !client.is_gone() && !client.is_ending()
}

impl Change {
    /// The topics of a stream after the change, and those that it has left.
    pub(crate) fn apply(
        self,
        topics: &[Arc<TopicLog>],
    ) -> (Vec<Arc<TopicLog>>, Vec<Arc<TopicLog>>) {
        let Self { added, removed, .. } = self;
        let all = topics.iter().cloned().chain(added);
        let (left, mut kept): (Vec<_>, Vec<_>) = all.partition(|log| removed.contains(&log.name));
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        (kept, left)
    }

    /// The names of the new topics and patterns.
    pub(crate) fn added(&self) -> Vec<TopicPattern> {
        self.added.iter().map(|log| log.name.clone()).collect()
    }

    /// The new topics of a stream that has ended.
    pub(crate) fn into_added(self) -> Vec<Arc<TopicLog>> {
        self.added
    }
}
