use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};
use tidings::Topic;
use tidings::backend::{Append, Appended, Record};

use crate::clock::unix_millis;
use crate::entry::{Entry, EntryHeader};
use crate::fault::Fault;
use crate::retention::{Limits, missing, trim};
use crate::store::Store;
use crate::tables::{EVENTS, INDEX, KEY_ORDER, KEYS, LogState};

/// The outcome of a batch.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) state: LogState,
    /// The answer to each, in order; `None` where the topic is finished.
    pub(crate) appended: Vec<Option<Appended>>,
    /// The events that are new.
    pub(crate) records: Vec<Record>,
}

/// Appends a batch in one commit. When this returns, it is on disk. If this fails, it may be.
pub(crate) fn append(
    store: &Store,
    before: &LogState,
    limits: &Limits,
    time: u64,
    batch: &[Append],
) -> Result<Committed, Fault> {
    let txn = store.begin_write()?;
    let mut state = LogState { time: time.max(before.time), ..before.clone() };
    let mut writer = Writer::open(&txn, limits)?;
    let (mut appended, mut records) = (Vec::with_capacity(batch.len()), Vec::new());
    let at = unix_millis();
    for append in batch {
        let first = writer.first_with_key(append, &state)?;
        let position = match first {
            Some(position) => position,
            None if writer.newest_of(&append.topic, &state)?.is_last => {
                appended.push(None);
                continue;
            }
            None => writer.insert(append, at, &mut state)?,
        };
        let epoch = before.epoch.clone();
        appended.push(Some(Appended::new(epoch, position, first.is_some())));
        if first.is_none() {
            let Append { topic, event, .. } = append.clone();
            records.push(Record::new(position, at, topic, event));
        }
    }
    drop(writer);
    if records.is_empty() {
        txn.abort()?;
        return Ok(Committed { state: before.clone(), appended, records });
    }
    trim(&txn, limits, &mut state, batch.len())?;
    state.save(&txn)?;
    txn.commit()?;
    Ok(Committed { state, appended, records })
}

struct Writer<'txn> {
    limits: &'txn Limits,
    events: Table<'txn, u64, &'static [u8]>,
    index: Table<'txn, (&'static str, u64), ()>,
    keys: Table<'txn, &'static str, (u64, u64)>,
    key_order: Table<'txn, u64, &'static str>,
    /// The newest events of the batch's topics.
    newest: HashMap<Topic, Newest>,
}

/// The newest event of a topic.
#[derive(Debug, Clone, Copy)]
struct Newest {
    /// See [`EntryHeader::previous`].
    position: u64,
    is_last: bool,
}

impl<'txn> Writer<'txn> {
    fn open(txn: &'txn WriteTransaction, limits: &'txn Limits) -> Result<Self, Fault> {
        Ok(Self {
            limits,
            events: txn.open_table(EVENTS)?,
            index: txn.open_table(INDEX)?,
            keys: txn.open_table(KEYS)?,
            key_order: txn.open_table(KEY_ORDER)?,
            newest: HashMap::new(),
        })
    }

    /// The position of the event that was appended with the same key, within the window.
    fn first_with_key(&self, append: &Append, state: &LogState) -> Result<Option<u64>, Fault> {
        let Some(key) = &append.key else { return Ok(None) };
        let first = self.keys.get(key.as_str())?;
        let first = first.map(|first| first.value());
        let is_within = |time| !self.limits.is_key_expired(time, state.time);
        Ok(first.filter(|(_, time)| is_within(*time)).map(|(position, _)| position))
    }

    fn insert(&mut self, append: &Append, at: u64, state: &mut LogState) -> Result<u64, Fault> {
        let position = state.last + 1;
        let previous = self.newest_of(&append.topic, state)?.position;
        let header = EntryHeader { position, previous, at, time: state.time };
        let bytes = Entry::encode(append, header);
        self.events.insert(position, &*bytes)?;
        self.index.insert((append.topic.as_str(), position), ())?;
        if let Some(key) = &append.key {
            let replaced = self.keys.insert(key.as_str(), (position, state.time))?;
            let replaced = replaced.map(|replaced| replaced.value().0);
            if let Some(position) = replaced {
                self.key_order.remove(position)?;
            }
            self.key_order.insert(position, key.as_str())?;
        }
        let newest = Newest { position, is_last: append.event.is_last() };
        self.newest.insert(append.topic.clone(), newest);
        state.last = position;
        state.bytes += Entry::cost_of(&bytes);
        Ok(position)
    }

    fn newest_of(&mut self, topic: &Topic, state: &LogState) -> Result<Newest, Fault> {
        if let Some(newest) = self.newest.get(topic) {
            return Ok(*newest);
        }
        let name = topic.as_str();
        let found = self.index.range((name, 0)..=(name, u64::MAX))?.next_back().transpose()?;
        let newest = match found.map(|(key, _)| key.value().1) {
            Some(position) => {
                let bytes = self.events.get(position)?.ok_or_else(|| missing(position))?;
                let is_last = Entry::checked(bytes.value(), position)?.is_last();
                Newest { position, is_last }
            }
            None => Newest { position: state.trimmed, is_last: false },
        };
        self.newest.insert(topic.clone(), newest);
        Ok(newest)
    }
}
