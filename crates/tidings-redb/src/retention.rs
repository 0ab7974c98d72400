use std::time::Duration;

use redb::{ReadableTable, WriteTransaction};

use crate::clock::{Downtime, millis};
use crate::entry::Entry;
use crate::fault::Fault;
use crate::store::Store;
use crate::tables::{EVENTS, INDEX, KEY_ORDER, KEYS, LogState};

/// What the log keeps.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) age: Option<Duration>,
    pub(crate) idempotency_window: Duration,
    /// Does not count for keys: they must not be forgotten because the clock was set.
    pub(crate) downtime: Downtime,
}

/// The most that one commit removes in addition to as many as it adds, so that none takes long: a log that was opened
/// with lower limits becomes smaller step by step.
const MAX_EXCESS: usize = 4_096;

impl Limits {
    /// How far a limit may be exceeded before events are removed: a sixteenth, at most about a thousand events. Removing
    /// touches other pages than adding, so it is done a thousand at a time.
    fn slack(limit: u64) -> u64 {
        (limit / 16).min(1_024)
    }

    /// Whether the limits are exceeded so far that the log is to be trimmed.
    fn are_exceeded(&self, state: &LogState) -> bool {
        state.events() > self.events.saturating_add(Self::slack(self.events))
            || state.bytes > self.bytes.saturating_add(self.bytes / 16)
    }

    fn are_kept(&self, state: &LogState) -> bool {
        state.events() <= self.events && state.bytes <= self.bytes
    }

    fn is_expired(&self, time: u64, now: u64) -> bool {
        self.age.is_some_and(|age| time.saturating_add(millis(age)) <= now)
    }

    pub(crate) fn is_key_expired(&self, time: u64, now: u64) -> bool {
        let window = millis(self.idempotency_window).saturating_add(self.downtime.since(time));
        time.saturating_add(window) <= now
    }
}

/// Trims without appending: what has expired while nothing was published. `None` if there was nothing to do; with
/// `must_write` it commits even then, to find out whether writing works.
pub(crate) fn tidy(
    store: &Store,
    limits: &Limits,
    state: &LogState,
    time: u64,
    must_write: bool,
) -> Result<Option<LogState>, Fault> {
    let mut after = LogState { time: time.max(state.time), ..state.clone() };
    let txn = store.begin_write()?;
    if !trim(&txn, limits, &mut after, 0)? && !must_write {
        txn.abort()?;
        return Ok(None);
    }
    after.save(&txn)?;
    txn.commit()?;
    Ok(Some(after))
}

/// Removes events and keys that are not to be kept. `added` events were added in the same transaction.
pub(crate) fn trim(
    txn: &WriteTransaction,
    limits: &Limits,
    state: &mut LogState,
    added: usize,
) -> Result<bool, Fault> {
    let most = added + MAX_EXCESS;
    let events = trim_events(txn, limits, state, most)?;
    let keys = trim_keys(txn, limits, state.time, most)?;
    Ok(events || keys)
}

fn trim_events(
    txn: &WriteTransaction,
    limits: &Limits,
    state: &mut LogState,
    most: usize,
) -> Result<bool, Fault> {
    let mut events = txn.open_table(EVENTS)?;
    let mut index = txn.open_table(INDEX)?;
    let before = state.trimmed;
    let too_many = limits.are_exceeded(state);
    while state.trimmed < state.last && state.trimmed - before < most as u64 {
        let position = state.trimmed + 1;
        let bytes = events.get(position)?;
        let bytes = bytes.ok_or_else(|| missing(position))?;
        let entry = Entry::checked(bytes.value(), position)?;
        let goes = too_many && !limits.are_kept(state);
        if !goes && !limits.is_expired(entry.header().time, state.time) {
            break;
        }
        let (topic, cost) = (entry.topic()?, entry.cost());
        drop(bytes);
        events.remove(position)?;
        index.remove((topic.as_str(), position))?;
        state.trimmed = position;
        state.bytes = state.bytes.saturating_sub(cost);
    }
    Ok(state.trimmed > before)
}

pub(crate) fn missing(position: u64) -> Fault {
    Fault::damaged(format_args!("the event at position {position} is missing"))
}

fn trim_keys(
    txn: &WriteTransaction,
    limits: &Limits,
    time: u64,
    most: usize,
) -> Result<bool, Fault> {
    let mut keys = txn.open_table(KEYS)?;
    let mut key_order = txn.open_table(KEY_ORDER)?;
    let mut any = false;
    for _ in 0..most {
        let Some(oldest) = key_order.first()? else { break };
        let (position, key) = (oldest.0.value(), oldest.1.value().to_owned());
        drop(oldest);
        let used = keys.get(&*key)?.map(|used| used.value().1);
        if used.is_some_and(|used| !limits.is_key_expired(used, time)) {
            break;
        }
        keys.remove(&*key)?;
        key_order.remove(position)?;
        any = true;
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use redb::ReadableTableMetadata;
    use tempfile::TempDir;
    use tidings::backend::{Append, IdempotencyKey};
    use tidings::{Event, Topic};

    use super::*;
    use crate::append::{Committed, append};
    use crate::clock::LogClock;

    const LIMITS: Limits = Limits {
        events: 100,
        bytes: u64::MAX,
        age: Some(Duration::from_millis(10_000)),
        idempotency_window: Duration::from_millis(2_000),
        downtime: Downtime::NONE,
    };

    fn batch(keys: std::ops::Range<usize>) -> Vec<Append> {
        let key = |n: usize| Some(IdempotencyKey::new(n.to_string()).unwrap());
        let append = |n| Append::new(Topic::new("a").unwrap(), Event::new("x"), key(n));
        keys.map(append).collect()
    }

    fn is_duplicate(committed: &Committed, n: usize) -> bool {
        committed.appended[n].as_ref().unwrap().is_duplicate
    }

    fn keys(store: &Store) -> (u64, u64) {
        let txn = store.begin_read().unwrap();
        let keys = txn.open_table(KEYS).unwrap().len().unwrap();
        (keys, txn.open_table(KEY_ORDER).unwrap().len().unwrap())
    }

    #[test]
    fn events_and_keys_expire_at_their_time_and_not_before() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events.redb");
        let (store, state) = Store::open(&path, Arc::default()).unwrap();
        let began = state.time + 1_000;
        let mut state = append(&store, &state, &LIMITS, began, &batch(0..10)).unwrap().state;
        // A key is used again after its window: it has a new position in the order.
        let later = began + 2_000;
        let committed = append(&store, &state, &LIMITS, later, &batch(0..1)).unwrap();
        assert!(!is_duplicate(&committed, 0));
        state = committed.state;
        assert_eq!(keys(&store), (1, 1));
        let committed = append(&store, &state, &LIMITS, later + 1_999, &batch(0..1)).unwrap();
        assert!(is_duplicate(&committed, 0) && committed.records.is_empty());
        assert_eq!(committed.appended[0].as_ref().unwrap().position, 11);

        assert_eq!(tidy(&store, &LIMITS, &state, later + 1_999, false).unwrap(), None);
        state = tidy(&store, &LIMITS, &state, later + 2_000, false).unwrap().unwrap();
        assert_eq!((keys(&store), state.trimmed), ((0, 0), 0));
        assert_eq!(tidy(&store, &LIMITS, &state, began + 9_999, false).unwrap(), None);
        state = tidy(&store, &LIMITS, &state, began + 10_000, false).unwrap().unwrap();
        assert_eq!((state.trimmed, state.last), (10, 11));
        // A clock that goes back changes nothing.
        state = append(&store, &state, &LIMITS, 0, &batch(20..21)).unwrap().state;
        assert_eq!((state.trimmed, state.last, state.time), (10, 12, began + 10_000));
        state = tidy(&store, &LIMITS, &state, later + 10_000, false).unwrap().unwrap();
        assert_eq!((state.trimmed, state.last, state.bytes > 0), (11, 12, true));
    }

    #[test]
    fn a_key_outlives_a_restart_with_a_clock_that_was_set_ahead() {
        const HOUR: u64 = 3_600_000;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events.redb");
        let (store, state) = Store::open(&path, Arc::default()).unwrap();
        let before = state.time + 1_000;
        let state = append(&store, &state, &LIMITS, before, &batch(0..1)).unwrap().state;
        let restarted = LogClock::starting_at(before + HOUR);
        let limits = Limits { age: None, downtime: restarted.downtime(state.time), ..LIMITS };
        let now = before + HOUR + 1_999;
        assert_eq!(tidy(&store, &limits, &state, now, false).unwrap(), None);
        let retried = append(&store, &state, &limits, now, &batch(0..2)).unwrap();
        assert_eq!([0, 1].map(|n| is_duplicate(&retried, n)), [true, false]);
        // Those of this run expire as ever.
        let state = tidy(&store, &limits, &retried.state, now + 1, false).unwrap().unwrap();
        assert_eq!(keys(&store), (1, 1));
        tidy(&store, &limits, &state, now + 2_000, false).unwrap().unwrap();
        assert_eq!(keys(&store), (0, 0));
    }

    #[test]
    fn a_key_outlives_its_event() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events.redb");
        let (store, state) = Store::open(&path, Arc::default()).unwrap();
        let now = state.time;
        let mut state = append(&store, &state, &LIMITS, now, &batch(0..1)).unwrap().state;
        for n in 1..10 {
            state =
                append(&store, &state, &LIMITS, now, &batch(n * 50..n * 50 + 50)).unwrap().state;
        }
        assert!(state.trimmed > 300 && state.events() <= 106, "{state:?}");
        let retried = append(&store, &state, &LIMITS, now, &batch(0..1)).unwrap();
        let first = retried.appended[0].as_ref().unwrap();
        assert_eq!((first.position, first.is_duplicate), (1, true));
    }
}
