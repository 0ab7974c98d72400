//! How a stream is, and whether it is a continuation of what was read from it.

use redis::{RedisResult, Value};

use crate::entry::{bytes, unexpected};
use crate::position::EntryId;

/// What [`STATE`](crate::script::STATE) says of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) length: u64,
    pub(crate) last_generated: EntryId,
    /// Not known before Redis 7.
    added: Option<u64>,
    /// The largest id that was deleted, other than by trimming. Not known before Redis 7.
    max_deleted: Option<EntryId>,
    pub(crate) first: Option<EntryId>,
    pub(crate) newest: Option<EntryId>,
    /// Whether the entry that was asked for is there.
    has: bool,
    groups: Vec<String>,
}

/// What has become of a stream since somebody has read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All that was not read is there.
    Continued,
    /// Some of it may be gone. The rest begins behind this entry.
    Trimmed(EntryId),
    /// It is not the history that was read.
    Another,
}

impl State {
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
            has: next() == "1",
            groups: parts.collect(),
        }))
    }

    /// The group that names the history, of those that the stream has.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.groups.iter().map(String::as_str).find(|group| group.starts_with(super::tag::PREFIX))
    }

    pub(crate) fn has_tag(&self, tag: &str) -> bool {
        self.groups.iter().any(|group| group == tag)
    }

    /// Whether nothing was ever removed.
    pub(crate) fn is_complete(&self) -> bool {
        self.added == Some(self.length)
    }

    /// Whether an entry behind this one may be gone. Entries are trimmed from the oldest on, so that
    /// none is, where an older one is there.
    pub(crate) fn may_lack_behind(&self, id: EntryId) -> bool {
        if self.last_generated <= id {
            return false;
        }
        if self.max_deleted.is_some_and(|deleted| deleted > id) {
            return true;
        }
        self.first.is_none_or(|first| first > id) && !self.is_complete()
    }

    /// What has become of it since `cursor`, up to where it was read. The state is one that was asked
    /// for that entry; `is_entry` says whether it was one.
    pub(crate) fn since(&self, tag: &str, cursor: EntryId, is_entry: bool) -> Verdict {
        if !self.has_tag(tag) || is_entry && self.last_generated < cursor {
            return Verdict::Another;
        }
        let lacks = match self.first {
            _ if !is_entry => self.may_lack_behind(cursor),
            // Not trimmed and not deleted: it never was there.
            Some(first) if first < cursor && !self.has && self.max_deleted < Some(cursor) => {
                return Verdict::Another;
            }
            _ => self.may_lack_behind(cursor),
        };
        match lacks {
            false => Verdict::Continued,
            true => Verdict::Trimmed(self.first.unwrap_or(self.last_generated)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "tidings:1:e";

    fn id(seq: u64) -> EntryId {
        EntryId::new(1, seq)
    }

    /// A stream with the entries from `first` to `newest`, of which `removed` are gone before.
    fn stream(first: u64, newest: u64, removed: u64) -> State {
        let length = newest + 1 - first;
        State {
            length,
            last_generated: id(newest),
            added: Some(length + removed),
            max_deleted: Some(EntryId::ZERO),
            first: Some(id(first)),
            newest: Some(id(newest)),
            has: false,
            groups: vec!["others".to_owned(), TAG.to_owned()],
        }
    }

    fn with(state: State) -> State {
        State { has: true, ..state }
    }

    #[test]
    fn an_answer_is_read_with_what_older_servers_do_not_say() {
        let answer = |parts: &[&str]| {
            Value::Array(parts.iter().map(|part| Value::BulkString((*part).into())).collect())
        };
        let state = State::read(answer(&["3", "1-5", "", "", "1-3", "1-5", "1", "x", TAG]));
        let state = state.unwrap().unwrap();
        assert_eq!((state.length, state.last_generated, state.has), (3, id(5), true));
        assert_eq!((state.added, state.max_deleted), (None, None));
        assert_eq!((state.first, state.newest), (Some(id(3)), Some(id(5))));
        assert_eq!(state.tag(), Some(TAG));
        assert_eq!(State::read(answer(&[])).unwrap(), None);
    }

    #[test]
    fn what_was_read_last_is_there_and_so_is_the_rest() {
        assert_eq!(with(stream(3, 9, 2)).since(TAG, id(5), true), Verdict::Continued);
        assert_eq!(with(stream(5, 9, 4)).since(TAG, id(5), true), Verdict::Continued);
    }

    #[test]
    fn another_name_is_another_history() {
        assert_eq!(with(stream(3, 9, 2)).since("tidings:1:f", id(5), true), Verdict::Another);
    }

    #[test]
    fn a_lost_tail_is_another_history() {
        assert_eq!(stream(3, 9, 2).since(TAG, id(10), true), Verdict::Another);
        assert_eq!(stream(3, 9, 2).since(TAG, id(10), false), Verdict::Continued);
    }

    #[test]
    fn a_lost_tail_that_others_have_written_over_is_another_history() {
        assert_eq!(stream(3, 9, 2).since(TAG, id(6), true), Verdict::Another);
        let older = State { max_deleted: None, added: None, ..stream(3, 9, 2) };
        assert_eq!(older.since(TAG, id(6), true), Verdict::Another);
    }

    #[test]
    fn trimming_beyond_what_was_read_is_a_hole() {
        assert_eq!(stream(7, 9, 6).since(TAG, id(5), true), Verdict::Trimmed(id(7)));
        assert_eq!(stream(7, 9, 6).since(TAG, id(5), false), Verdict::Trimmed(id(7)));
        let empty = State { length: 0, first: None, newest: None, ..stream(1, 9, 0) };
        assert_eq!(empty.since(TAG, id(5), true), Verdict::Trimmed(id(9)));
        assert_eq!(empty.since(TAG, id(9), true), Verdict::Continued);
    }

    #[test]
    fn what_somebody_deletes_is_missed_by_those_who_have_not_read_it() {
        let state = State { max_deleted: Some(id(6)), ..stream(3, 9, 2) };
        assert_eq!(state.since(TAG, id(6), true), Verdict::Continued);
        assert_eq!(with(state.clone()).since(TAG, id(5), true), Verdict::Trimmed(id(3)));
        assert!(state.may_lack_behind(id(5)));
        assert!(!state.may_lack_behind(id(6)));
    }

    #[test]
    fn nothing_is_missed_in_front_of_a_stream_that_was_never_trimmed() {
        assert!(!stream(3, 9, 0).may_lack_behind(EntryId::ZERO));
        assert!(stream(3, 9, 1).may_lack_behind(EntryId::ZERO));
        let older = State { added: None, ..stream(3, 9, 0) };
        assert!(older.may_lack_behind(EntryId::ZERO));
        assert!(!older.may_lack_behind(id(3)));
    }
}
