use tidings::Topic;
use tidings::backend::{Append, Record};

use crate::fault::Fault;
use crate::file::{u32_at, u64_at};

/// An event as it is stored: a checksum over all that follows, four numbers, and the fields, each with its
/// name. Numbers are little-endian.
///
/// redb's own checksums are checked when a file is opened. This one covers damage after that. It includes the position,
/// because a page in the wrong place would look whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a>(&'a [u8]);

const FIELDS_AT: usize = 4 + 4 * 8;

impl<'a> Entry<'a> {
    /// Writes an event.
    pub(crate) fn encode(append: &Append, header: EntryHeader) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        for number in [header.position, header.previous, header.at, header.time] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (name, value) in append.fields() {
            // Names of fields are short, and an event is far smaller than 4 GiB.
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        let checksum = crc32fast::hash(&bytes[4..]).to_le_bytes();
        bytes[..4].copy_from_slice(&checksum);
        bytes
    }

    /// Checks what was found at a position.
    pub(crate) fn checked(bytes: &'a [u8], position: u64) -> Result<Self, Fault> {
        let entry = Self(bytes);
        let is_whole = bytes.len() >= FIELDS_AT && crc32fast::hash(&bytes[4..]) == u32_at(bytes, 0);
        if !is_whole || entry.header().position != position {
            return Err(Fault::damaged(format_args!(
                "the event at position {position} is not whole"
            )));
        }
        Ok(entry)
    }

    pub(crate) fn header(self) -> EntryHeader {
        let [position, previous, at, time] = [4, 12, 20, 28].map(|at| u64_at(self.0, at));
        EntryHeader { position, previous, at, time }
    }

    /// How many bytes it counts towards the log's limit.
    pub(crate) fn cost(self) -> u64 {
        Self::cost_of(self.0)
    }

    /// The same, for one that was just encoded.
    pub(crate) fn cost_of(bytes: &[u8]) -> u64 {
        bytes.len() as u64 + BOOKKEEPING
    }

    pub(crate) fn record(self) -> Result<Record, Fault> {
        let EntryHeader { position, at, .. } = self.header();
        Record::from_fields(position, at, Fields(&self.0[FIELDS_AT..])).map_err(|error| {
            Fault::damaged(format_args!("the event at position {position}: {error}"))
        })
    }

    /// Whether nothing may follow in its topic.
    pub(crate) fn is_last(self) -> bool {
        Fields(&self.0[FIELDS_AT..]).any(|(name, _)| name == b"is_last")
    }

    pub(crate) fn topic(self) -> Result<Topic, Fault> {
        let topic = Fields(&self.0[FIELDS_AT..]).find(|(name, _)| *name == b"topic");
        let topic = topic.and_then(|(_, value)| Topic::new(std::str::from_utf8(value).ok()?).ok());
        topic.ok_or_else(|| {
            let position = self.header().position;
            Fault::damaged(format_args!("the event at position {position} has no topic"))
        })
    }
}

/// For the index and the trees.
const BOOKKEEPING: u64 = 64;

/// Where and when an event was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) position: u64,
    /// The newest position before it that may be an event of the same topic: either it is one, or none comes after it.
    pub(crate) previous: u64,
    /// By the wall clock, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// By the log's own clock: see `LogClock`.
    pub(crate) time: u64,
}

struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&length, rest) = self.0.split_first()?;
        let (name, rest) = rest.split_at_checked(length.into())?;
        let (length, rest) = rest.split_at_checked(4)?;
        let (value, rest) = rest.split_at_checked(u32_at(length, 0) as usize)?;
        self.0 = rest;
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidings::{Comment, Event};

    use super::*;

    fn append() -> Append {
        let event = Event::named("created", "a\r\nb\0\u{2028}").unwrap();
        let event = event.with_retry(Duration::from_millis(1_500));
        let event = event.with_comment(Comment::new("c").unwrap());
        let event = event.with_attribute("role", "admin").unwrap();
        Append::new(Topic::new("orders").unwrap(), event, None)
    }

    const HEADER: EntryHeader = EntryHeader { position: 7, previous: 3, at: 1, time: 2 };

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let bytes = Entry::encode(&append(), HEADER);
        let entry = Entry::checked(&bytes, 7).unwrap();
        assert_eq!(entry.header(), HEADER);
        assert_eq!(entry.topic().unwrap(), append().topic);
        let record = entry.record().unwrap();
        assert_eq!((record.position, record.at), (7, 1));
        assert_eq!((record.topic, record.event), (append().topic, append().event));
    }

    #[test]
    fn every_change_of_a_byte_and_every_cut_is_noticed() {
        let bytes = Entry::encode(&append(), HEADER);
        assert!(Entry::checked(&bytes, 8).is_err());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(Entry::checked(&changed, 7).is_err(), "byte {at}");
            assert!(Entry::checked(&bytes[..at], 7).is_err(), "{at} bytes");
        }
    }
}
