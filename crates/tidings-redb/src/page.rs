use redb::{Range, ReadOnlyTable, ReadTransaction};
use tidings::backend::{Page, Read, Record, Start};
use tidings::{Topic, TopicPattern};

use crate::entry::Entry;
use crate::fault::Fault;
use crate::retention::missing;
use crate::store::Store;
use crate::tables::{EVENTS, INDEX, State};

type Events = ReadOnlyTable<u64, &'static [u8]>;
type Index = ReadOnlyTable<(&'static str, u64), ()>;
type Positions<'a> = Range<'a, (&'static str, u64), ()>;

/// Reads a page, all of it from one moment.
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
            let from = reader.back(count, since)?;
            reader.forward(from, read.max_bytes)
        }
    }
}

/// Events of all topics behind a position, some at a time, for a replica that begins.
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

/// What an event takes up besides its data, more or less.
const RECORD_BYTES: usize = 100;

struct Reader {
    state: State,
    events: Events,
    index: Index,
    /// Those that there are of each family, and those that were asked for by name.
    topics: Vec<Topic>,
    /// Some of them may be gone without a trace.
    has_families: bool,
    /// No event behind this position.
    to: u64,
}

/// A topic's positions that are still to be read, and how far it was.
struct Strand<'a> {
    topic: &'a Topic,
    positions: Positions<'a>,
    next: Option<u64>,
    /// Behind this position, nothing of the topic was read yet.
    read: u64,
}

impl Reader {
    fn open(txn: &ReadTransaction, read: &Read) -> Result<Self, Fault> {
        let state = State::load(txn)?.ok_or_else(|| Fault::damaged("its state is missing"))?;
        let (events, index) = (txn.open_table(EVENTS)?, txn.open_table(INDEX)?);
        let to = read.to.min(state.last);
        let mut topics: Vec<_> = read.topics.iter().filter_map(TopicPattern::topic).collect();
        for family in read.families() {
            topics_of(family, &index, &mut topics)?;
        }
        topics.sort_unstable();
        topics.dedup();
        let has_families = read.families().next().is_some();
        Ok(Self { state, events, index, topics, has_families, to })
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

    /// Some events behind the position were trimmed. Each topic's first event that is kept knows which one
    /// came before it, so it is known whether one of *this* topic was among them; unless nothing of it is
    /// kept. Of a family's topics, nobody knows which ones nothing is kept of.
    fn check_nothing_is_missed(&self, position: u64) -> Result<(), Fault> {
        if self.has_families {
            return Err(Fault::Trimmed);
        }
        for topic in &self.topics {
            let kept = self.positions(topic.as_str(), self.state.trimmed, u64::MAX)?.next();
            let (first, _) = kept.transpose()?.ok_or(Fault::Trimmed)?;
            let previous = self.entry(first.value().1, |entry| Ok(entry.place().previous))?;
            if previous > position {
                return Err(Fault::Trimmed);
            }
        }
        Ok(())
    }

    fn forward(&self, from: u64, max_bytes: usize) -> Result<Page, Fault> {
        let start = from.max(self.state.trimmed);
        let mut strands = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let mut positions = self.positions(topic.as_str(), start, self.to)?;
            let next = next_of(&mut positions, self.to)?;
            strands.push(Strand { topic, positions, next, read: start });
        }
        let mut page = Page {
            epoch: self.state.epoch.clone(),
            records: Vec::new(),
            from,
            to: self.to.max(from),
        };
        let mut bytes = 0;
        while let Some(strand) = strands
            .iter_mut()
            .filter(|strand| strand.next.is_some())
            .min_by_key(|strand| strand.next)
        {
            let record = self.advance(strand)?;
            // Events without data fill a page, too.
            bytes += record.event.data().map_or(0, str::len) + RECORD_BYTES;
            let position = record.position;
            page.records.push(record);
            if bytes >= max_bytes {
                page.to = position;
                break;
            }
        }
        Ok(page)
    }

    /// Reads the next event of a topic, which must be the very next.
    fn advance(&self, strand: &mut Strand<'_>) -> Result<Record, Fault> {
        let position = strand.next.unwrap_or_default();
        let (previous, record) =
            self.entry(position, |entry| Ok((entry.place().previous, entry.record()?)))?;
        if record.topic != *strand.topic || previous > strand.read {
            return Err(Fault::damaged(format_args!(
                "the index has not all events before position {position}"
            )));
        }
        strand.read = position;
        strand.next = next_of(&mut strand.positions, self.to)?;
        Ok(record)
    }

    /// Where the newest events begin: behind the position that is returned.
    fn back(&self, count: usize, since: u64) -> Result<u64, Fault> {
        let mut strands = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let mut positions = self.positions(topic.as_str(), self.state.trimmed, self.to)?;
            strands.push((previous_of(&mut positions, self.to)?, positions));
        }
        let mut from = self.to;
        for _ in 0..count {
            let newest = strands.iter_mut().max_by_key(|(position, _)| *position);
            let Some((next, positions)) = newest else { break };
            let Some(position) = *next else { break };
            // A look at every event only where it matters.
            if since > 0 && self.entry(position, |entry| Ok(entry.place().at))? < since {
                break;
            }
            from = position - 1;
            *next = previous_of(positions, self.to)?;
        }
        Ok(from)
    }
}

/// Adds those topics of a family that there are events of, from one to the next in the index.
fn topics_of(family: &TopicPattern, index: &Index, topics: &mut Vec<Topic>) -> Result<(), Fault> {
    let mut name = family.prefix().to_owned();
    let mut behind = 0;
    while let Some(row) = index.range((name.as_str(), behind)..)?.next() {
        let (key, _) = row?;
        let (found, _) = key.value();
        if !found.starts_with(family.prefix()) {
            break;
        }
        name.clear();
        name.push_str(found);
        behind = u64::MAX;
        let topic = Topic::new(found).map_err(Fault::damaged)?;
        if family.matches(&topic) {
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
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use tempfile::TempDir;
    use tidings::Event;
    use tidings::backend::{Append, Log, Reply};

    use super::*;
    use crate::RedbLog;

    fn topic() -> Topic {
        Topic::new("a").unwrap()
    }

    fn append(log: &RedbLog, data: &str) -> u64 {
        let event = Event::new(data);
        let (reply, appended) = Reply::new();
        log.append(Append { topic: topic(), event, key: None }, reply);
        appended.wait().unwrap().position
    }

    fn closed_log(path: &Path) {
        let log = RedbLog::open(path).unwrap();
        for n in 1..=50 {
            append(&log, &format!("<{n}> {}", "x".repeat(500)));
        }
    }

    fn after(position: u64) -> Read {
        let (topics, start) = (vec![topic().into()], Start::After(position));
        Read { topics, start, to: 50, max_bytes: usize::MAX }
    }

    fn noticed(store: &Store, position: u64, cause: &str) {
        let fault = read(store, &after(position)).unwrap_err();
        let Fault::Damaged(said) = fault else { panic!("{fault:?}") };
        assert_eq!(said, cause);
    }

    #[test]
    fn damage_that_comes_while_the_file_is_open_is_noticed_where_it_is_read() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events.redb");
        closed_log(&path);
        let mut image = fs::read(&path).unwrap();
        let at = image.windows(5).position(|bytes| bytes == b"<33> ").unwrap();
        image[at + 100] ^= 1;
        fs::write(&path, image).unwrap();
        let (store, _) = Store::open_unchecked(&path, Arc::default()).unwrap();
        noticed(&store, 0, "the event at position 33 is not whole");
        noticed(&store, 32, "the event at position 33 is not whole");
        assert_eq!(read(&store, &after(33)).unwrap().records.len(), 17);
    }

    #[test]
    fn an_index_that_has_not_everything_is_noticed() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events.redb");
        closed_log(&path);
        let (store, _) = Store::open_unchecked(&path, Arc::default()).unwrap();
        let txn = store.begin_write().unwrap();
        txn.open_table(INDEX).unwrap().remove(("a", 20)).unwrap();
        txn.commit().unwrap();
        for from in [0, 10, 19] {
            noticed(&store, from, "the index has not all events before position 21");
        }
        assert_eq!(read(&store, &after(20)).unwrap().records.len(), 30);
    }

    #[test]
    fn reads_do_not_wait_for_a_commit() {
        let folder = TempDir::new().unwrap();
        let log = RedbLog::open(folder.path().join("events.redb")).unwrap();
        let to = append(&log, "one");
        let page = log.shelf().with(|store| {
            let _writing = store.begin_write()?;
            let (reply, page) = Reply::new();
            log.read(Read { to, ..after(0) }, reply);
            let (send, receive) = mpsc::channel();
            thread::spawn(move || send.send(page.wait()));
            Ok(receive.recv_timeout(Duration::from_secs(10)).expect("an answer meanwhile"))
        });
        assert_eq!(page.unwrap().unwrap().records.len(), 1);
    }
}
