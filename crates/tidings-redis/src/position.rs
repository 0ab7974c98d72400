//! Entry ids of streams, and the positions that they are in the log.

use std::fmt;

/// How many bits of a position say which key an event is on.
const KEY_BITS: u32 = 6;
/// How many bits of a position count the events of a millisecond.
const SEQ_BITS: u32 = 14;
const MS_BITS: u32 = 44;

/// A log is spread over this many keys at most.
pub(crate) const MAX_KEYS: usize = 1 << KEY_BITS;

/// From this count on a stream is moved on to the next millisecond. It is reached when the server's
/// clock was set back, and its streams stay in the last millisecond that they knew.
pub(crate) const SEQ_CROWDED: u64 = 1 << (SEQ_BITS - 1);

/// The id of a stream's entry: `<milliseconds>-<sequence>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct EntryId {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

impl EntryId {
    /// In front of every entry.
    pub(crate) const ZERO: Self = Self { ms: 0, seq: 0 };

    pub(crate) fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// Reads an id as Redis writes it.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
    }

    /// The position of the entry on the key of this index; `None` where the id is too large.
    pub(crate) fn position(self, key: usize) -> Option<u64> {
        let fits = self.ms >> MS_BITS == 0 && self.seq >> SEQ_BITS == 0 && key < MAX_KEYS;
        fits.then_some(self.ms << (SEQ_BITS + KEY_BITS) | self.seq << KEY_BITS | key as u64)
    }

    /// The newest id on the key of this index whose position is not behind this one.
    pub(crate) fn up_to(position: u64, key: usize) -> Self {
        let ms = position >> (SEQ_BITS + KEY_BITS);
        let seq = position >> KEY_BITS & ((1 << SEQ_BITS) - 1);
        let at = Self { ms, seq };
        if key as u64 <= position & (MAX_KEYS as u64 - 1) { at } else { at.before() }
    }

    /// The largest id that is smaller, of those that fit into a position.
    pub(crate) fn before(self) -> Self {
        match (self.ms, self.seq) {
            (0, 0) => Self::ZERO,
            (ms, 0) => Self { ms: ms - 1, seq: (1 << SEQ_BITS) - 1 },
            (ms, seq) => Self { ms, seq: seq - 1 },
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> EntryId {
        EntryId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn ids_are_read_as_redis_writes_them() {
        assert_eq!(id("1785000000000-17"), EntryId::new(1_785_000_000_000, 17));
        assert_eq!(id("1785000000000-17").to_string(), "1785000000000-17");
        for text in ["", "1", "1-", "-1", "a-1", "1-2-3", "18446744073709551616-0"] {
            assert_eq!(EntryId::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn positions_are_in_the_order_of_ids_and_then_of_keys() {
        let mut positions = Vec::new();
        for text in ["0-1", "1-0", "1-16383", "2-0", "1785000000000-0", "17592186044415-16383"] {
            for key in [0, 1, 63] {
                positions.push(id(text).position(key).unwrap());
            }
        }
        assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
        assert_eq!(positions.last(), Some(&u64::MAX));
    }

    #[test]
    fn what_does_not_fit_has_no_position() {
        assert_eq!(id("17592186044416-0").position(0), None);
        assert_eq!(id("1-16384").position(0), None);
        assert_eq!(id("1-0").position(64), None);
    }

    #[test]
    fn a_position_divides_every_key_into_what_is_read_and_what_is_not() {
        let position = id("5-3").position(1).unwrap();
        for (key, up_to) in [(0, "5-3"), (1, "5-3"), (2, "5-2")] {
            assert_eq!(EntryId::up_to(position, key), id(up_to), "key {key}");
        }
        let position = id("5-0").position(0).unwrap();
        assert_eq!(EntryId::up_to(position, 1), id("4-16383"));
        assert_eq!(EntryId::up_to(0, 5), EntryId::ZERO);
    }
}
