//! Entry ids of the stream, and the positions that they are in the log.

use std::fmt;

/// How many bits of a position count the entries of one millisecond.
const SEQ_BITS: u32 = 22;
const MS_BITS: u32 = u64::BITS - SEQ_BITS;

/// The id of a stream entry: `<milliseconds>-<sequence>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct EntryId {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
}

impl EntryId {
    /// Before every entry.
    pub(crate) const ZERO: Self = Self { ms: 0, seq: 0 };

    /// Reads an id as Redis writes it.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
    }

    /// The position of the entry; `None` if the id is too large for one.
    pub(crate) fn position(self) -> Option<u64> {
        let fits = self.ms >> MS_BITS == 0 && self.seq >> SEQ_BITS == 0;
        fits.then_some(self.ms << SEQ_BITS | self.seq)
    }

    /// Before every entry of a time, in milliseconds since the Unix epoch.
    pub(crate) fn before(ms: u64) -> Self {
        ms.checked_sub(1).map_or(Self::ZERO, |ms| Self { ms, seq: u64::MAX })
    }

    /// The id at a position.
    pub(crate) fn at(position: u64) -> Self {
        Self { ms: position >> SEQ_BITS, seq: position & ((1 << SEQ_BITS) - 1) }
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
        assert_eq!(id("1785000000000-17"), EntryId { ms: 1_785_000_000_000, seq: 17 });
        assert_eq!(id("1785000000000-17").to_string(), "1785000000000-17");
        for text in ["", "1", "1-", "-1", "a-1", "1-2-3", "18446744073709551616-0"] {
            assert_eq!(EntryId::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn positions_are_in_the_order_of_ids_and_lead_back_to_them() {
        let ids =
            ["0-0", "0-1", "1-0", "1-4194303", "2-0", "1785000000000-0", "4398046511103-4194303"];
        let ids = ids.map(id);
        let positions = ids.map(|id| id.position().unwrap());
        assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
        assert_eq!(positions.map(EntryId::at), ids);
        assert_eq!(positions.last(), Some(&u64::MAX));
    }

    #[test]
    fn an_id_that_does_not_fit_has_no_position() {
        assert_eq!(id("4398046511104-0").position(), None);
        assert_eq!(id("1-4194304").position(), None);
    }
}
