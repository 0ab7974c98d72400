//! Reads events back.

use std::sync::Arc;

use redis::cmd;
use tidings::Topic;
use tidings::backend::{Epoch, LogError, LogErrorKind, Page, Reach, Read, Record, Start};

use crate::batch_size::BatchSize;
use crate::engine::Engine;
use crate::entry::{Entry, entries, texts};
use crate::entry_id::EntryId;
use crate::error::failed;
use crate::script::FINISHED;
use crate::stream_state::StreamState;

/// Answers one [`Read`].
pub(crate) async fn read(engine: Arc<Engine>, read: Read) -> Result<Page, LogError> {
    let epoch = engine.epoch().ok_or_else(another_history)?;
    let mut reader = Reader { engine: &engine, read: &read, epoch, batch: BatchSize::default() };
    match read.start {
        Start::After(from) => {
            let page = reader.page(from).await?;
            // Last, so that trimming during this read is noticed.
            reader.check(Some(from)).await?;
            Ok(page)
        }
        Start::Newest { count, since } => {
            let (from, is_count) = reader.before_newest(count, since).await?;
            let mut page = reader.page(from).await?;
            // What is gone before the first is not missed, and not claimed either.
            page.from = page.records.first().map_or(page.to, |first| first.position - 1).max(from);
            let state = reader.check(None).await?;
            let begin = EntryId::before(since);
            let reach = match state.first {
                // What was counted may be trimmed by now.
                _ if is_count && page.from == from => Reach::Count,
                first if state.is_complete() && first.is_none_or(|first| first > begin) => {
                    Reach::All
                }
                _ if state.may_lack_after(begin) => Reach::Retained,
                _ => Reach::Time,
            };
            Ok(page.with_reach(reach))
        }
    }
}

/// The position of the newest entry.
pub(crate) async fn end(engine: &Engine) -> Result<u64, LogError> {
    let newest = engine.state(None).await?.and_then(|state| state.newest);
    Ok(newest.and_then(EntryId::position).unwrap_or(0))
}

/// Those of some topics that are finished, with the positions of their last events.
pub(crate) async fn finished(
    engine: Arc<Engine>,
    topics: Vec<Topic>,
) -> Result<Vec<(Topic, u64)>, LogError> {
    let mut command = FINISHED.on(&[&engine.keys.stream, &engine.keys.ends]);
    command.arg(topics.iter().map(Topic::as_str).collect::<Vec<_>>());
    let answer = engine.ask("read", &command).await?;
    let ids = texts(answer).map_err(|error| failed("read", &error))?;
    let position = |id: Vec<u8>| EntryId::parse(&id).and_then(EntryId::position);
    let ends = topics.into_iter().zip(ids);
    Ok(ends.filter_map(|(topic, id)| Some((topic, position(id)?))).collect())
}

struct Reader<'a> {
    engine: &'a Engine,
    read: &'a Read,
    epoch: Epoch,
    batch: BatchSize,
}

impl Reader<'_> {
    /// A page ends after as many entries, whether they are asked for or not.
    const MAX_SCANNED: usize = 20_000;

    /// The events after a position.
    async fn page(&mut self, from: u64) -> Result<Page, LogError> {
        let mut page = Page::new(self.epoch.clone(), Vec::new(), from, from);
        let mut begin = format!("({}", EntryId::at(from));
        let end = EntryId::at(self.read.to).to_string();
        let (mut bytes, mut scanned) = (0, 0);
        while page.to < self.read.to && scanned < Self::MAX_SCANNED {
            let (entries, is_all) = self.range("XRANGE", [&begin, &end]).await?;
            scanned += entries.len();
            for entry in &entries {
                let Some(position) = entry.id.position() else { continue };
                page.to = position;
                let Some(record) = self.record(entry) else { continue };
                bytes += entry.size();
                page.records.push(record);
                if bytes >= self.read.max_bytes {
                    return Ok(page);
                }
            }
            match entries.last() {
                Some(newest) if !is_all => begin = format!("({}", newest.id),
                _ => page.to = self.read.to,
            }
        }
        Ok(page)
    }

    /// The position before the newest events, and whether there are as many as were asked for.
    async fn before_newest(&mut self, count: usize, since: u64) -> Result<(u64, bool), LogError> {
        let begin = format!("{since}-0");
        let mut end = EntryId::at(self.read.to).to_string();
        let (mut from, mut found) = (self.read.to, 0);
        while found < count {
            let (entries, is_all) = self.range("XREVRANGE", [&end, &begin]).await?;
            let records = entries.iter().filter_map(|entry| self.record(entry));
            for record in records.take(count - found) {
                from = record.position - 1;
                found += 1;
            }
            match entries.last() {
                Some(oldest) if !is_all => end = format!("({}", oldest.id),
                _ => break,
            }
        }
        Ok((from, found == count))
    }

    /// Some entries of a range, and whether these are all.
    async fn range(
        &mut self,
        command: &str,
        range: [&str; 2],
    ) -> Result<(Vec<Entry>, bool), LogError> {
        let asked = self.batch.entries();
        let mut command = cmd(command);
        command.arg(&self.engine.keys.stream).arg(&range).arg("COUNT").arg(asked);
        let answer = self.engine.ask("read", &command).await?;
        let read = entries(answer).map_err(|error| failed("read", &error))?;
        self.batch.seen(read.len(), read.iter().map(Entry::size).sum());
        let is_all = read.len() < asked;
        Ok((read, is_all))
    }

    /// The event that an entry is, if it is one and its topic was asked for.
    fn record(&self, entry: &Entry) -> Option<Record> {
        let topic = std::str::from_utf8(entry.topic()?).ok()?;
        self.read.is_of(topic).then_some(())?;
        entry.record(entry.id.position()?).ok()
    }

    /// Whether the history is still the one that was read, and everything after a position is present.
    async fn check(&self, from: Option<u64>) -> Result<StreamState, LogError> {
        let state = self.engine.state(None).await?;
        let state = state.filter(|state| state.is_of(&self.epoch)).ok_or_else(another_history)?;
        match from {
            Some(from) if state.may_lack_after(EntryId::at(from)) => {
                let message = format!("redis: events after position {from} may have been trimmed");
                Err(LogError::new(LogErrorKind::Trimmed, message))
            }
            _ => Ok(state),
        }
    }
}

fn another_history() -> LogError {
    LogError::new(LogErrorKind::Trimmed, "redis: the stream is of another history by now")
}
