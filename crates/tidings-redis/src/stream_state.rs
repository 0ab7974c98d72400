//! The state of the stream, and whether it continues what was read from it.

use redis::{RedisResult, Value};
use tidings::backend::Epoch;

use crate::entry::{bytes, unexpected};
use crate::entry_id::EntryId;
use crate::history;

/// What [`STATE`](crate::script::STATE) reports.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StreamState {
    pub(crate) length: u64,
    pub(crate) last_generated: EntryId,
    /// Entries ever added. Unknown before Redis 7.
    added: Option<u64>,
    /// The largest id that was deleted, other than by trimming. Unknown before Redis 7.
    max_deleted: Option<EntryId>,
    pub(crate) first: Option<EntryId>,
    pub(crate) newest: Option<EntryId>,
    /// Whether the entry that was asked for is present.
    has_entry: bool,
    groups: Vec<String>,
}

/// What has happened to the stream since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything that was not read yet is present.
    Continued,
    /// Some of it may be gone. The rest begins after this entry.
    Trimmed(EntryId),
    /// The stream does not continue what was read.
    AnotherHistory,
}

impl StreamState {
    /// Reads the script's answer; `None` where there is no stream.
    pub(crate) fn read(answer: Value) -> RedisResult<Option<Self>> {
        let Value::Array(parts) = answer.extract_error()? else {
            return Err(unexpected("the state of a stream", &Value::Nil));
        };
        if parts.is_empty() {
            return Ok(None);
        }
        let parts = parts.into_iter().map(bytes).collect::<RedisResult<Vec<_>>>()?;
        let mut parts = parts.into_iter().map(|part| String::from_utf8_lossy(&part).into_owned());
        let mut next = || parts.next().unwrap_or_default();
        let id = |text: String| EntryId::parse(text.as_bytes());
        Ok(Some(Self {
            length: next().parse().unwrap_or_default(),
            last_generated: id(next()).unwrap_or_default(),
            added: next().parse().ok(),
            max_deleted: id(next()),
            first: id(next()),
            newest: id(next()),
            has_entry: next() == "1",
            groups: parts.collect(),
        }))
    }

    /// The group that names the history.
    pub(crate) fn history(&self) -> Option<&str> {
        self.groups.iter().map(String::as_str).find(|group| history::is_name(group))
    }

    pub(crate) fn is_of(&self, epoch: &Epoch) -> bool {
        let group = history::group(epoch);
        self.groups.contains(&group)
    }

    /// Whether no entry was ever removed.
    pub(crate) fn is_complete(&self) -> bool {
        self.added == Some(self.length)
    }

    /// Whether an entry after this one may be gone. Entries are trimmed from the oldest on, so while an older
    /// one is present, none is.
    pub(crate) fn may_lack_after(&self, id: EntryId) -> bool {
        if self.last_generated <= id {
            return false;
        }
        if self.max_deleted.is_some_and(|deleted| deleted > id) {
            return true;
        }
        self.first.is_none_or(|first| first > id) && !self.is_complete()
    }

    /// Whether nothing was removed but entries up to `cursor`, when the stream had got `added_at_cursor`: all that it got
    /// since is present.
    fn has_all_added_since(&self, cursor: EntryId, added_at_cursor: Option<u64>) -> bool {
        let Some((added, before)) = self.added.zip(added_at_cursor) else { return false };
        self.first.is_none_or(|first| first > cursor)
            && self.max_deleted <= Some(cursor)
            && added.checked_sub(before) == Some(self.length)
    }

    /// How many entries the stream had got with this one, if that can be told: of the newest, and of the oldest that is
    /// left unless somebody deleted one after it.
    pub(crate) fn added_at(&self, id: EntryId) -> Option<u64> {
        if id == self.last_generated {
            return self.added;
        }
        let is_countable = self.first == Some(id) && self.max_deleted <= Some(id);
        is_countable.then_some(self.added?.checked_sub(self.length.checked_sub(1)?)?)
    }

    /// What has happened since the history of `epoch` was read up to `cursor`. Where the cursor is an entry
    /// (`is_entry`), the state must be one that was asked for with it. `added_at_cursor` is how many entries the stream
    /// had got then, or fewer.
    pub(crate) fn since(
        &self,
        epoch: &Epoch,
        cursor: EntryId,
        is_entry: bool,
        added_at_cursor: Option<u64>,
    ) -> Verdict {
        if !self.is_of(epoch) || is_entry && self.last_generated < cursor {
            return Verdict::AnotherHistory;
        }
        // Neither trimmed nor deleted: it never was in this stream.
        let was_never_here = is_entry
            && !self.has_entry
            && self.first.is_some_and(|first| first < cursor)
            && self.max_deleted < Some(cursor);
        if was_never_here {
            return Verdict::AnotherHistory;
        }
        if self.may_lack_after(cursor) && !self.has_all_added_since(cursor, added_at_cursor) {
            return Verdict::Trimmed(self.first.unwrap_or(self.last_generated));
        }
        Verdict::Continued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "tidings:e";

    fn id(seq: u64) -> EntryId {
        EntryId { ms: 1, seq }
    }

    fn since(state: &StreamState, seq: u64, is_entry: bool) -> Verdict {
        state.since(&Epoch::new("e").unwrap(), id(seq), is_entry, None)
    }

    fn since_added(state: &StreamState, seq: u64, added: u64) -> Verdict {
        state.since(&Epoch::new("e").unwrap(), id(seq), true, Some(added))
    }

    /// A stream with the entries from `first` to `newest`, from which `removed` older ones are gone.
    fn stream(first: u64, newest: u64, removed: u64) -> StreamState {
        let length = newest + 1 - first;
        StreamState {
            length,
            last_generated: id(newest),
            added: Some(length + removed),
            max_deleted: Some(EntryId::ZERO),
            first: Some(id(first)),
            newest: Some(id(newest)),
            has_entry: false,
            groups: vec!["others".to_owned(), GROUP.to_owned()],
        }
    }

    fn with_entry(state: StreamState) -> StreamState {
        StreamState { has_entry: true, ..state }
    }

    #[test]
    fn an_answer_is_read_also_without_what_older_servers_do_not_report() {
        let answer = |parts: &[&str]| {
            Value::Array(parts.iter().map(|part| Value::BulkString((*part).into())).collect())
        };
        let state = StreamState::read(answer(&["3", "1-5", "", "", "1-3", "1-5", "1", "x", GROUP]));
        let state = state.unwrap().unwrap();
        assert_eq!((state.length, state.last_generated, state.has_entry), (3, id(5), true));
        assert_eq!((state.added, state.max_deleted), (None, None));
        assert_eq!((state.first, state.newest), (Some(id(3)), Some(id(5))));
        assert_eq!(state.history(), Some(GROUP));
        assert_eq!(StreamState::read(answer(&[])).unwrap(), None);
    }

    #[test]
    fn a_stream_that_has_what_was_read_last_continues_it() {
        assert_eq!(since(&with_entry(stream(3, 9, 2)), 5, true), Verdict::Continued);
        assert_eq!(since(&with_entry(stream(5, 9, 4)), 5, true), Verdict::Continued);
    }

    #[test]
    fn another_name_is_another_history() {
        let state = StreamState { groups: vec!["tidings:f".to_owned()], ..stream(3, 9, 2) };
        assert_eq!(since(&with_entry(state), 5, true), Verdict::AnotherHistory);
    }

    #[test]
    fn a_lost_tail_is_another_history() {
        assert_eq!(since(&stream(3, 9, 2), 10, true), Verdict::AnotherHistory);
        assert_eq!(since(&stream(3, 9, 2), 10, false), Verdict::Continued);
    }

    #[test]
    fn a_lost_tail_that_others_have_written_over_is_another_history() {
        assert_eq!(since(&stream(3, 9, 2), 6, true), Verdict::AnotherHistory);
        let older = StreamState { max_deleted: None, added: None, ..stream(3, 9, 2) };
        assert_eq!(since(&older, 6, true), Verdict::AnotherHistory);
    }

    #[test]
    fn trimming_past_what_was_read_is_a_gap() {
        assert_eq!(since(&stream(7, 9, 6), 5, true), Verdict::Trimmed(id(7)));
        assert_eq!(since(&stream(7, 9, 6), 5, false), Verdict::Trimmed(id(7)));
        let empty = StreamState { length: 0, first: None, newest: None, ..stream(1, 9, 0) };
        assert_eq!(since(&empty, 5, true), Verdict::Trimmed(id(9)));
        assert_eq!(since(&empty, 9, true), Verdict::Continued);
    }

    #[test]
    fn a_stream_that_has_all_it_got_since_is_continued_though_all_before_expired() {
        // Its 6 entries up to the cursor are gone, and only they.
        assert_eq!(since_added(&stream(7, 9, 6), 6, 6), Verdict::Continued);
        // Another one is gone, that came after the cursor.
        assert_eq!(since_added(&stream(7, 9, 6), 5, 5), Verdict::Trimmed(id(7)));
        let empty = StreamState { length: 0, first: None, newest: None, ..stream(1, 9, 0) };
        assert_eq!(since_added(&empty, 8, 8), Verdict::Trimmed(id(9)));
        // Somebody has deleted one.
        let state = StreamState { max_deleted: Some(id(8)), ..stream(7, 9, 6) };
        assert_eq!(since_added(&state, 6, 6), Verdict::Trimmed(id(7)));
        let older = StreamState { added: None, max_deleted: None, ..stream(7, 9, 6) };
        assert_eq!(since_added(&older, 6, 6), Verdict::Trimmed(id(7)));
    }

    #[test]
    fn entries_are_counted_up_to_the_newest_and_the_oldest() {
        let state = stream(7, 9, 6);
        assert_eq!([6, 7, 8, 9].map(|seq| state.added_at(id(seq))), [None, Some(7), None, Some(9)]);
        let state = StreamState { max_deleted: Some(id(8)), length: 2, ..state };
        assert_eq!([7, 9].map(|seq| state.added_at(id(seq))), [None, Some(9)]);
        let older = StreamState { added: None, max_deleted: None, ..state };
        assert_eq!([7, 9].map(|seq| older.added_at(id(seq))), [None, None]);
    }

    #[test]
    fn an_entry_that_somebody_deletes_is_missed_by_those_that_have_not_read_it() {
        let state = StreamState { max_deleted: Some(id(6)), ..stream(3, 9, 2) };
        assert_eq!(since(&state, 6, true), Verdict::Continued);
        assert_eq!(since(&with_entry(state.clone()), 5, true), Verdict::Trimmed(id(3)));
        assert!(state.may_lack_after(id(5)));
        assert!(!state.may_lack_after(id(6)));
    }

    #[test]
    fn nothing_is_missed_before_a_stream_that_was_never_trimmed() {
        assert!(!stream(3, 9, 0).may_lack_after(EntryId::ZERO));
        assert!(stream(3, 9, 1).may_lack_after(EntryId::ZERO));
        let older = StreamState { added: None, ..stream(3, 9, 0) };
        assert!(older.may_lack_after(EntryId::ZERO));
        assert!(!older.may_lack_after(id(3)));
    }
}
