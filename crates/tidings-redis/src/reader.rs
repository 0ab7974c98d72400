//! Reads events back.

use std::sync::Arc;

use redis::cmd;
use tidings::backend::{LogError, LogErrorKind, Page, Read, Record, Start};

use crate::batch::BatchSize;
use crate::entry::{Entry, entries};
use crate::error::failed;
use crate::position::EntryId;
use crate::streams::Streams;
use crate::tag::Tag;

/// Answers one [`Read`].
pub(crate) async fn read(streams: Arc<Streams>, read: Read) -> Result<Page, LogError> {
    let tag = streams.tag().ok_or_else(another)?;
    let mut reader = Reader::new(&streams, &read, tag);
    match read.start {
        Start::After(from) => {
            let mut page = reader.page(from).await?;
            // Looked at last: what was trimmed while this read is noticed, too.
            reader.check(Some(from)).await?;
            page.from = from;
            Ok(page)
        }
        Start::Newest { count, since } => {
            let from = reader.newest(count, since).await?;
            let mut page = reader.page(from).await?;
            // What is gone in front of the first is not missed, and not claimed either.
            page.from = page.records.first().map_or(page.to, |first| first.position - 1).max(from);
            reader.check(None).await?;
            Ok(page)
        }
    }
}

/// The position of the newest entry.
pub(crate) async fn end(streams: &Streams) -> Result<u64, LogError> {
    let mut end = 0;
    for index in 0..streams.keys.count() {
        let state = streams.state(index, None).await?;
        let newest = state.and_then(|state| state.newest);
        end = end.max(newest.and_then(|newest| newest.position(index)).unwrap_or(0));
    }
    Ok(end)
}

struct Reader<'a> {
    streams: &'a Streams,
    read: &'a Read,
    tag: Tag,
    batch: BatchSize,
}

impl<'a> Reader<'a> {
    /// A page ends after so many entries that are of no use, too.
    const MAX_SCANNED: usize = 20_000;

    fn new(streams: &'a Streams, read: &'a Read, tag: Tag) -> Self {
        Self { streams, read, tag, batch: BatchSize::default() }
    }

    /// What is behind a position.
    async fn page(&mut self, from: u64) -> Result<Page, LogError> {
        let mut page = Page { epoch: self.tag.epoch.clone(), records: Vec::new(), from, to: from };
        let mut bytes = 0;
        let mut scanned = 0;
        while page.to < self.read.to && bytes < self.read.max_bytes && scanned < Self::MAX_SCANNED {
            let (stretch, end) = self.stretch(page.to).await?;
            scanned += stretch.len();
            page.to = end;
            for (position, entry) in stretch {
                let Some(record) = self.wanted(position, &entry) else { continue };
                bytes += record.event.data().map_or(0, str::len);
                page.records.push(record);
                if bytes >= self.read.max_bytes {
                    page.to = position;
                    break;
                }
            }
        }
        Ok(page)
    }

    /// All entries of a stretch behind a position, in order, and where it ends.
    async fn stretch(&mut self, from: u64) -> Result<(Vec<(u64, Entry)>, u64), LogError> {
        let mut stretch = Vec::new();
        let mut end = self.read.to;
        for index in 0..self.streams.keys.count() {
            let (after, to) =
                (EntryId::up_to(from, index), EntryId::up_to(self.read.to, index).to_string());
            let asked = self.batch.entries();
            let read = self.range("XRANGE", index, [format!("({after}"), to], asked).await?;
            if let Some(last) = read.last().filter(|_| read.len() == asked) {
                // There may be more on this stream, so the others are of use up to here only.
                end = end.min(last.id.position(index).unwrap_or(self.read.to));
            }
            let at = |entry: Entry| Some((entry.id.position(index)?, entry));
            stretch.extend(read.into_iter().filter_map(at));
        }
        stretch.retain(|(position, _)| *position <= end);
        stretch.sort_unstable_by_key(|(position, _)| *position);
        Ok((stretch, end))
    }

    /// The position in front of the newest events.
    async fn newest(&mut self, count: usize, since: u64) -> Result<u64, LogError> {
        let mut newest = Vec::new();
        for index in 0..self.streams.keys.count() {
            self.newest_of(index, count, since, &mut newest).await?;
        }
        newest.sort_unstable_by(|a: &u64, b| b.cmp(a));
        newest.truncate(count);
        Ok(newest.last().map_or(self.read.to, |oldest| oldest - 1))
    }

    async fn newest_of(
        &mut self,
        index: usize,
        count: usize,
        since: u64,
        positions: &mut Vec<u64>,
    ) -> Result<(), LogError> {
        let mut found = 0;
        let mut end = EntryId::up_to(self.read.to, index).to_string();
        while found < count {
            let asked = self.batch.entries();
            let range = [end, format!("{since}-0")];
            let read = self.range("XREVRANGE", index, range, asked).await?;
            let Some(oldest) = read.last() else { break };
            end = format!("({}", oldest.id);
            for entry in &read {
                let position = entry.id.position(index);
                let Some(position) = position.filter(|at| self.wanted(*at, entry).is_some()) else {
                    continue;
                };
                positions.push(position);
                found += 1;
                if found == count {
                    break;
                }
            }
            if read.len() < asked {
                break;
            }
        }
        Ok(())
    }

    async fn range(
        &mut self,
        command: &str,
        index: usize,
        range: [String; 2],
        count: usize,
    ) -> Result<Vec<Entry>, LogError> {
        let mut command = cmd(command);
        command.arg(self.streams.keys.stream(index)).arg(&range).arg("COUNT").arg(count);
        let answer = self.streams.ask(index, "read", &command).await?;
        let read = entries(answer).map_err(|error| failed("read", &error))?;
        self.batch.seen(read.len(), read.iter().map(Entry::size).sum());
        Ok(read)
    }

    /// The event that an entry is, if it is one and its topic was asked for.
    fn wanted(&self, position: u64, entry: &Entry) -> Option<Record> {
        let topic = std::str::from_utf8(entry.topic()?).ok()?;
        self.read.is_of(topic).then_some(())?;
        entry.record(position).ok()
    }

    /// Whether this is still the history that was begun with, and all that was behind a position is
    /// there.
    async fn check(&self, from: Option<u64>) -> Result<(), LogError> {
        for index in 0..self.streams.keys.count() {
            let state = self.streams.state(index, None).await?;
            let state =
                state.filter(|state| state.has_tag(self.tag.as_str())).ok_or_else(another)?;
            let Some(from) = from else { continue };
            if state.may_lack_behind(EntryId::up_to(from, index)) {
                let message = format!("redis: events behind position {from} may have been trimmed");
                return Err(LogError::new(LogErrorKind::Trimmed, message));
            }
        }
        Ok(())
    }
}

fn another() -> LogError {
    LogError::new(LogErrorKind::Trimmed, "redis: the stream is of another history by now")
}
