use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use redb::{Range, ReadOnlyTable, ReadTransaction};
use tidings::backend::{Page, Reach, Read, Record, Start};
use tidings::{Topic, TopicPattern};

use crate::entry::Entry;
use crate::fault::Fault;
use crate::retention::missing;
use crate::store::Store;
use crate::tables::{EVENTS, INDEX, LogState};

type Events = ReadOnlyTable<u64, &'static [u8]>;
type Index = ReadOnlyTable<(&'static str, u64), ()>;
type Positions<'a> = Range<'a, (&'static str, u64), ()>;

/// Reads a page, from one snapshot.
pub(crate) fn read(store: &Store, read: &Read) -> Result<Page, Fault> {
    let txn = store.begin_read()?;
    let reader = Reader::open(&txn, read)?;
    match read.start {
        Start::After(position) => {
            if position < reader.state.trimmed {
                reader.check_nothing_is_missed(position)?;
            }
            reader.forward(position, read.max_bytes)
        }
        Start::Newest { count, since } => {
            let (from, reach) = reader.before_newest(count, since)?;
            Ok(reader.forward(from, read.max_bytes)?.with_reach(reach))
        }
    }
}

/// Those of some topics that are finished, with the positions of their last events.
pub(crate) fn finished(store: &Store, topics: &[Topic]) -> Result<Vec<(Topic, u64)>, Fault> {
    let txn = store.begin_read()?;
    let (events, index) = (txn.open_table(EVENTS)?, txn.open_table(INDEX)?);
    let mut finished = Vec::new();
    for topic in topics {
        let name = topic.as_str();
        let newest = index.range((name, 0)..=(name, u64::MAX))?.next_back().transpose()?;
        let Some((key, _)) = newest else { continue };
        let position = key.value().1;
        let bytes = events.get(position)?.ok_or_else(|| missing(position))?;
        if Entry::checked(bytes.value(), position)?.is_last() {
            finished.push((topic.clone(), position));
        }
    }
    Ok(finished)
}

/// Events of all topics after a position, at most `count`, for a new replica.
pub(crate) fn read_all(store: &Store, from: u64, count: usize) -> Result<Vec<Record>, Fault> {
    let txn = store.begin_read()?;
    let events = txn.open_table(EVENTS)?;
    let mut records = Vec::new();
    for (row, position) in events.range(from + 1..)?.zip(from + 1..).take(count) {
        let (key, bytes) = row?;
        if key.value() != position {
            return Err(missing(position));
        }
        records.push(Entry::checked(bytes.value(), position)?.record()?);
    }
    Ok(records)
}

/// What an event takes in addition to its text, roughly.
const RECORD_BYTES: usize = 100;

struct Reader {
    state: LogState,
    events: Events,
    index: Index,
    /// Those that were asked for by name, and those that match a pattern and have events.
    topics: Vec<Topic>,
    /// Some patterns have a wildcard: topics that match may be gone without a trace.
    has_wildcards: bool,
    /// No event after this position.
    to: u64,
}

/// The positions of a topic that are still to be read.
struct TopicCursor<'a> {
    topic: &'a Topic,
    positions: Positions<'a>,
    next: Option<u64>,
    /// The topic was read up to here.
    read: u64,
}

impl Reader {
    fn open(txn: &ReadTransaction, read: &Read) -> Result<Self, Fault> {
        let state = LogState::load(txn)?.ok_or_else(|| Fault::damaged("its state is missing"))?;
        let (events, index) = (txn.open_table(EVENTS)?, txn.open_table(INDEX)?);
        let to = read.to.min(state.last);
        let mut topics: Vec<_> = read.topics.iter().filter_map(TopicPattern::topic).collect();
        for pattern in read.patterns() {
            add_topics_of(pattern, &index, &mut topics)?;
        }
        topics.sort_unstable();
        topics.dedup();
        let has_wildcards = read.patterns().next().is_some();
        Ok(Self { state, events, index, topics, has_wildcards, to })
    }

    fn entry<T>(
        &self,
        position: u64,
        read: impl FnOnce(Entry<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let bytes = self.events.get(position)?.ok_or_else(|| missing(position))?;
        read(Entry::checked(bytes.value(), position)?)
    }

    fn positions(&self, topic: &str, from: u64, to: u64) -> Result<Positions<'static>, Fault> {
        // An empty range would have its ends the wrong way round.
        let to = to.max(from.saturating_add(1));
        Ok(self.index.range((topic, from.saturating_add(1))..=(topic, to))?)
    }

    /// Some events after the position were trimmed. The first event that is kept of a topic has the position of the one
    /// before it, which shows whether events of *this* topic were among them; unless nothing of it is kept. Of the
    /// topics of a pattern, those of which nothing is kept are unknown.
    fn check_nothing_is_missed(&self, position: u64) -> Result<(), Fault> {
        if self.has_wildcards {
            return Err(Fault::Trimmed);
        }
        for topic in &self.topics {
            let kept = self.positions(topic.as_str(), self.state.trimmed, u64::MAX)?.next();
            let (first, _) = kept.transpose()?.ok_or(Fault::Trimmed)?;
            let previous = self.entry(first.value().1, |entry| Ok(entry.header().previous))?;
            if previous > position {
                return Err(Fault::Trimmed);
            }
        }
        Ok(())
    }

    fn forward(&self, from: u64, max_bytes: usize) -> Result<Page, Fault> {
        let start = from.max(self.state.trimmed);
        let mut cursors = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let mut positions = self.positions(topic.as_str(), start, self.to)?;
            let next = next_of(&mut positions, self.to)?;
            cursors.push(TopicCursor { topic, positions, next, read: start });
        }
        let mut page = Page::new(self.state.epoch.clone(), Vec::new(), from, self.to.max(from));
        let mut bytes = 0;
        // So that an event costs no look at all topics.
        let next = cursors.iter().enumerate();
        let next = next.filter_map(|(place, cursor)| Some(Reverse((cursor.next?, place))));
        let mut next: BinaryHeap<_> = next.collect();
        while let Some(Reverse((_, place))) = next.pop() {
            let cursor = &mut cursors[place];
            let record = self.advance(cursor)?;
            next.extend(cursor.next.map(|position| Reverse((position, place))));
            // Events without text take room, too.
            bytes += record.event.size() + RECORD_BYTES;
            let position = record.position;
            page.records.push(record);
            if bytes >= max_bytes {
                page.to = position;
                break;
            }
        }
        Ok(page)
    }

    /// Reads the next event of a topic, and checks that it follows the one before.
    fn advance(&self, cursor: &mut TopicCursor<'_>) -> Result<Record, Fault> {
        let position = cursor.next.unwrap_or_default();
        let (previous, record) =
            self.entry(position, |entry| Ok((entry.header().previous, entry.record()?)))?;
        if record.topic != *cursor.topic || previous > cursor.read {
            return Err(Fault::damaged(format_args!(
                "the index lacks an event before position {position}"
            )));
        }
        cursor.read = position;
        cursor.next = next_of(&mut cursor.positions, self.to)?;
        Ok(record)
    }

    /// The position before the newest events, and why it is not before others.
    fn before_newest(&self, count: usize, since: u64) -> Result<(u64, Reach), Fault> {
        let mut cursors = Vec::with_capacity(self.topics.len());
        let mut next = BinaryHeap::new();
        for topic in &self.topics {
            let mut positions = self.positions(topic.as_str(), self.state.trimmed, self.to)?;
            let newest = previous_of(&mut positions, self.to)?;
            next.extend(newest.map(|position| (position, cursors.len())));
            cursors.push(positions);
        }
        let mut from = self.to;
        for _ in 0..count {
            let Some((position, place)) = next.pop() else {
                return Ok((from, self.reach_of_all()?));
            };
            // The events themselves are only read where it matters.
            if since > 0 && self.entry(position, |entry| Ok(entry.header().at))? < since {
                return Ok((from, Reach::Time));
            }
            from = position - 1;
            let previous = previous_of(&mut cursors[place], self.to)?;
            next.extend(previous.map(|position| (position, place)));
        }
        Ok((from, Reach::Count))
    }

    /// What all events that are kept of the topics are.
    fn reach_of_all(&self) -> Result<Reach, Fault> {
        if self.state.trimmed == 0 {
            return Ok(Reach::All);
        }
        match self.check_nothing_is_missed(0) {
            Ok(()) => Ok(Reach::All),
            Err(Fault::Trimmed) => Ok(Reach::Retained),
            Err(fault) => Err(fault),
        }
    }
}

/// Adds the topics that match a pattern and have events, by skipping from one to the next in the index.
fn add_topics_of(
    pattern: &TopicPattern,
    index: &Index,
    topics: &mut Vec<Topic>,
) -> Result<(), Fault> {
    let mut name = pattern.prefix().to_owned();
    let mut from = Bound::Included(0);
    loop {
        let rows = (from.map(|position| (name.as_str(), position)), Bound::Unbounded);
        let Some(row) = index.range::<(&str, u64)>(rows)?.next() else { break };
        let (key, _) = row?;
        let (found, _) = key.value();
        if !found.starts_with(pattern.prefix()) {
            break;
        }
        name.clear();
        name.push_str(found);
        // Even in an index that is damaged, no row is read twice.
        from = Bound::Excluded(u64::MAX);
        let topic = Topic::new(found).map_err(Fault::damaged)?;
        if pattern.matches(&topic) {
            topics.push(topic);
        }
    }
    Ok(())
}

fn next_of(positions: &mut Positions<'_>, to: u64) -> Result<Option<u64>, Fault> {
    let next = positions.next().transpose()?.map(|(key, _)| key.value().1);
    Ok(next.filter(|position| *position <= to))
}

fn previous_of(positions: &mut Positions<'_>, to: u64) -> Result<Option<u64>, Fault> {
    loop {
        let Some((key, _)) = positions.next_back().transpose()? else { return Ok(None) };
        let position = key.value().1;
        if position <= to {
            return Ok(Some(position));
        }
    }
}

#[cfg(test)]
mod tests;
