//! The parts in which the stream is read, several at a time.

use std::collections::BTreeMap;
use std::iter::{repeat_n, successors};

use parking_lot::Mutex;

/// How many parts are read at a time, or topics asked for.
pub(crate) const AT_ONCE: usize = 16;
/// The length of the first parts, in positions.
const SHORTEST: u64 = 16;
/// The length of the last ones, if there are many.
const LONGEST: u64 = 4_096;

/// Where the parts of so many positions begin and end. They become longer: so little is read in vain where there are many
/// messages, and few requests are needed where there are none.
pub(crate) fn cut(positions: u64) -> impl Iterator<Item = (u64, u64)> {
    let lengths = successors(Some(SHORTEST), |length| Some(LONGEST.min(4 * length)));
    let lengths = lengths.flat_map(|length| repeat_n(length, AT_ONCE));
    lengths.scan(0_u64, move |begin, length| {
        let part = (*begin, positions.min(begin.saturating_add(length)));
        *begin = part.1;
        (part.0 < part.1).then_some(part)
    })
}

/// The room for what is read of all parts. It is for those at the front: a part is read no further when what was read up to it
/// takes all of it.
#[derive(Debug)]
pub(crate) struct Room {
    bytes: usize,
    /// What was read of each part, by its beginning.
    taken: Mutex<BTreeMap<u64, usize>>,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes, taken: Mutex::default() }
    }

    /// Takes some for the part that begins there. Returns whether it is to be read further.
    pub(crate) fn take(&self, part: u64, bytes: usize) -> bool {
        let mut taken = self.taken.lock();
        *taken.entry(part).or_default() += bytes;
        taken.range(..=part).map(|(_, bytes)| bytes).sum::<usize>() < self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_one_another_and_become_longer() {
        for positions in [0, 1, 15, 16, 17, 1_000, 1_000_000] {
            let (mut end, mut longest) = (0, 0);
            for part in cut(positions) {
                assert_eq!(part.0, end);
                let length = part.1 - part.0;
                assert!(length > 0 && length <= LONGEST, "{part:?}");
                assert!(length >= longest || part.1 == positions, "{part:?}");
                (end, longest) = (part.1, length);
            }
            assert_eq!(end, positions);
        }
        assert!(cut(100_000).count() < 120);
    }

    #[test]
    fn a_part_is_read_no_further_when_those_before_it_take_all_the_room() {
        let room = Room::new(100);
        assert!(room.take(16, 60));
        assert!(room.take(0, 30), "what comes after it does not matter");
        assert!(!room.take(32, 10));
        assert!(room.take(0, 60));
        assert!(!room.take(16, 0));
    }
}
